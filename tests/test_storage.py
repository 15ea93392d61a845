"""Checkpoints on disk: torn, flipped, foreign and empty files, full disks, and runs that are killed at any moment."""

import errno
import signal
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from src import storage, train
from src.callbacks import Recorder, Success
from src.config import ConfigurationError, check
from src.population import checkpoint
from src.run import run
from src.rundir import RunDirectory, write_table
from src.trained import load_population
from tests.commands import started
from tests.conftest import compose

CONTENT = {"state_dict": {"W": torch.arange(600.0)}, "config": {"seed": 3}, "number": 1}
KEYS = ["experiment=smoke", "replicas=2", "callbacks.diagnostics.every=null", "success.check_every=10", "block=3"]


@pytest.fixture
def pair(tmp_path):
    """The file of two checkpoints, written one after the other; ``number`` tells which."""
    file = tmp_path / "last.ckpt"
    storage.write(file, CONTENT | {"number": 1})
    storage.write(file, CONTENT | {"number": 2})
    return file


def test_what_was_written_is_read_and_torch_reads_it_too(pair):
    content, problems = storage.read(pair)
    assert content["number"] == 2 and problems == []
    assert torch.equal(content["state_dict"]["W"], CONTENT["state_dict"]["W"])
    assert torch.load(pair, weights_only=True)["number"] == 2
    assert sorted(path.name for path in pair.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_a_torn_file_is_named_and_the_previous_one_read(pair):
    whole = pair.read_bytes()
    for length in [0, 1, 100, *np.linspace(200, len(whole) - 1, 40).astype(int)]:
        pair.write_bytes(whole[:length])
        content, (problem,) = storage.read(pair)
        assert content["number"] == 1 and problem.startswith(f"{pair}: ") and "\n" not in problem


def test_a_flipped_bit_anywhere_is_noticed(pair):
    """In the archive and in the checksum's digits. torch.load alone notices few of them."""
    whole = pair.read_bytes()
    places = [*range(0, len(whole) - storage.COMMENT - 2, 61), *range(len(whole) - 64, len(whole), 7)]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 4
        pair.write_bytes(flipped)
        content, (problem,) = storage.read(pair)
        assert content["number"] == 1 and problem == f"{pair}: damaged, its checksum is wrong"


JUNK = [b"", b"\0" * 1000, b"seed,step\n0,1\n" * 50, bytes(range(256)) * 3, b"PK\x05\x06" + b"\0" * 18]


@pytest.mark.parametrize("junk", JUNK, ids=["empty", "zeros", "table", "bytes", "zip"])
def test_a_file_that_is_no_checkpoint(tmp_path, junk):
    file = tmp_path / "last.ckpt"
    file.write_bytes(junk)
    with pytest.raises(storage.DamagedFile) as refused:
        storage.read(file)
    assert str(refused.value).startswith(f"{file}: ") and "\n" not in str(refused.value)


def test_somebody_elses_checkpoint_is_named(tmp_path):
    file = tmp_path / "last.ckpt"
    for foreign in ([1, 2], {"weights": torch.ones(2)}):
        torch.save(foreign, file)
        with pytest.raises(storage.DamagedFile, match="no checkpoint of this program"):
            storage.read(file)


def test_checkpoints_of_before_have_no_checksum(tmp_path):
    file = tmp_path / "last.ckpt"
    torch.save(CONTENT, file)
    assert storage.read(file)[0]["config"] == {"seed": 3}


def test_a_damaged_file_does_not_replace_the_previous_one(pair):
    pair.write_bytes(b"torn")
    storage.write(pair, CONTENT | {"number": 3})
    assert storage.read(pair)[0]["number"] == 3
    pair.unlink()
    assert storage.read(pair)[0]["number"] == 1


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_whatever_fails_one_whole_checkpoint_is_there(pair, monkeypatch, call):
    """Each call of that name in a write fails once: at its first, second, ... time."""
    module = storage.os
    real = getattr(module, call)
    for failing in range(1, 9):
        calls = []

        def fails(*arguments, failing=failing, calls=calls, **keys):
            calls.append(arguments)
            if len(calls) == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **keys)

        monkeypatch.setattr(module, call, fails)
        try:
            storage.write(pair, CONTENT | {"number": 10 + failing})
            done = True
        except OSError:
            done = False
        monkeypatch.setattr(module, call, real)
        content, _ = storage.read(pair)
        assert content["number"] == 10 + failing if done else content["number"] >= 1
        if len(calls) < failing:
            break
    assert done and len(calls) < failing


def test_a_table_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    file = tmp_path / "results.csv"
    write_table(file, ["a"], [[1]])

    def full_disk():
        yield [2]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=f"No space left on device: '{file}'"):
        write_table(file, ["a"], full_disk())
    assert file.read_text() == "a\n1\n" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_ends_a_run_in_one_line(tmp_path, monkeypatch, capsys):
    """Status 1, and what was written before can be read."""

    def full(file, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(train, "job", lambda: full(tmp_path / "last.ckpt", {}))
    monkeypatch.setattr(sys, "argv", ["train"])
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'last.ckpt'}: No space left on device\n"


def parameters(directory):
    return checkpoint.read(RunDirectory(directory).checkpoint_file).parameters


@pytest.mark.parametrize("damage", ["torn", "missing"])
def test_a_run_goes_on_from_the_previous_checkpoint(tmp_path, damage, capfd):
    run(compose(*KEYS, "trainer.max_steps=80"), tmp_path / "whole")
    run(compose(*KEYS, "trainer.max_steps=40"), tmp_path / "first")
    last = RunDirectory(tmp_path / "first").checkpoint_file
    if damage == "torn":
        last.write_bytes(last.read_bytes()[:1000])
    else:
        last.unlink()
    assert len(load_population(tmp_path / "first").seeds) == 2
    run(compose(*KEYS, "trainer.max_steps=80", f"resume={tmp_path / 'first'}"), tmp_path / "rest")
    assert f"{last}: " in capfd.readouterr().err.replace("\n", "")
    whole, rest = parameters(tmp_path / "whole"), parameters(tmp_path / "rest")
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_nothing_left_to_read_is_one_line(tmp_path):
    run(compose(*KEYS, "trainer.max_steps=20"), tmp_path / "first")
    for file in (tmp_path / "first" / "checkpoints").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"resume=.*damaged"):
        run(compose(*KEYS, "trainer.max_steps=40", f"resume={tmp_path / 'first'}"), tmp_path / "rest")
    with pytest.raises(ConfigurationError, match="damaged"):
        load_population(tmp_path / "first")


def test_a_run_can_go_on_from_before_its_first_update(tmp_path, monkeypatch):
    keys = [*KEYS, "trainer.max_steps=40"]
    run(compose(*keys), tmp_path / "whole")
    monkeypatch.setattr(Recorder, "on_train_batch_end", lambda *_: None)
    monkeypatch.setattr(Recorder, "on_train_end", lambda *_: None)
    run(compose(*keys), tmp_path / "begun")
    monkeypatch.undo()
    run(compose(*keys, f"resume={tmp_path / 'begun'}"), tmp_path / "rest")
    whole, rest = parameters(tmp_path / "whole"), parameters(tmp_path / "rest")
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


SLOW = [
    *KEYS,
    "trainer.max_steps=4000",
    "success.leave=false",
    "callbacks.recorder.seconds=0.05",
    "logger=none",
    "success.check_every=500",
]


def written_at(directory):
    """When the last checkpoint was written; None: there is none."""
    file = RunDirectory(directory).checkpoint_file
    return file.stat().st_mtime_ns if file.is_file() else None


def test_killed_at_any_moment_it_goes_on_bit_for_bit(tmp_path):
    """SIGKILL, then on from what lies there: as if nothing had happened. tests/faults kills again and again."""
    keys = [*SLOW, "task.length=10"]
    run(compose(*keys), tmp_path / "whole")
    directory = tmp_path / "killed"
    command = [*keys, f"hydra.run.dir={directory}"]
    draws = np.random.default_rng(0)
    for kill in range(2):
        before = written_at(directory)
        process = started(*command)
        while process.poll() is None and written_at(directory) == before:
            time.sleep(0.01)
        if kill < 1:
            time.sleep(draws.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
        error = process.communicate()[1]
        assert process.returncode == (-signal.SIGKILL if kill < 1 else 0), error
        command = [f"resume={directory}"]
    whole, rest = parameters(tmp_path / "whole"), parameters(directory)
    assert all(torch.equal(whole[name], rest[name]) for name in whole)
    folders = (tmp_path / "whole", directory)
    histories = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in folders]
    pd.testing.assert_frame_equal(*histories)


class Killed(Exception):
    """Stands for a kill: nothing after it is written."""


def killed(monkeypatch, place, cfg, directory):
    """Runs a population up to the call of a callback's hook."""

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(*place, kill)
        run(cfg, directory)


@pytest.mark.parametrize("task", ["price", "temporal_order"])
def test_a_last_test_that_was_missed_is_made(tmp_path, monkeypatch, task):
    """Of a task in epochs too, whose table says that the budget is spent before it."""
    small = {"price": ["trainer.max_epochs=3", "task.length=40", "cell=lstm"], "temporal_order": []}[task]
    keys = ["experiment=smoke", "replicas=2", "cell.hidden_size=5", "optimizer=msgd", f"task={task}", *small]
    run(compose(*keys), tmp_path / "whole")
    killed(monkeypatch, (Success, "on_train_end"), compose(*keys), tmp_path / "killed")
    cfg = compose(*keys, f"resume={tmp_path / 'killed'}")
    assert check(cfg) == []
    run(cfg, tmp_path / "killed")
    tables = [pd.read_csv(tmp_path / name / "results.csv").drop(columns="seconds") for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*tables)
    (problem,) = check(cfg)
    assert "has made" in problem


@pytest.mark.parametrize("name", ["results.csv", "history.csv", "diagnostics.npz"])
def test_damaged_tables_do_not_keep_a_run_from_going_on(tmp_path, name):
    keys = ["experiment=smoke", "replicas=2", "callbacks.diagnostics.every=1"]
    run(compose(*keys, "trainer.max_steps=20"), tmp_path)
    (tmp_path / name).write_bytes(b"PK damaged")
    cfg = compose(*keys, f"resume={tmp_path}")
    assert check(cfg) == []
    assert run(cfg, tmp_path).updates.tolist() == [40, 40]


def test_a_smaller_budget_is_refused_of_a_run_that_is_not_closed(tmp_path, monkeypatch):
    keys = ["experiment=smoke", "replicas=2"]
    killed(monkeypatch, (Success, "on_train_end"), compose(*keys), tmp_path)
    (problem,) = check(compose(*keys, "trainer.max_steps=30", f"resume={tmp_path}"))
    assert problem == f"resume={tmp_path}: was run with trainer.max_steps=40; it may be larger, not 30"


def test_nothing_of_a_run_that_is_replaced_stays(tmp_path):
    run(compose("experiment=smoke", "replicas=2"), tmp_path)
    (tmp_path / "evaluation.csv").touch()
    (tmp_path / "mine.csv").touch()
    RunDirectory(tmp_path).clear()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".lock", "checkpoints", "config.yaml", "mine.csv"]
    assert not list((tmp_path / "checkpoints").iterdir())


def test_whole_numbers_are_kept_as_such(tmp_path):
    run(compose("experiment=smoke", "replicas=2", "task.length=1.2e1", "trainer.max_steps=2e1"), tmp_path)
    saved = RunDirectory(tmp_path).configuration()
    assert isinstance(saved.task.length, int) and isinstance(saved.trainer.max_steps, int)
    assert load_population(tmp_path).task.length == 12


def test_an_older_checkpoint_is_not_read_in_silence(tmp_path, capsys):
    run(compose(*KEYS, "trainer.max_steps=20"), tmp_path)
    file = RunDirectory(tmp_path).checkpoint_file
    file.write_bytes(file.read_bytes()[:500])
    load_population(tmp_path)
    assert f"{file}: no checkpoint, or damaged; the one before is used, of 10 updates" in capsys.readouterr().err
