"""Files of a run, of a sweep and of Hydra that are damaged, missing or something else: named, or not needed."""

import shutil

import pytest

from tests.faults.conftest import differences
from tests.faults.counts import FULL, note
from tests.faults.server import FILES, Fault
from tests.faults.test_injected import RUN

RUN_FILES = ["checkpoints/last.ckpt", "checkpoints/previous.ckpt", "config.yaml", "results.csv", "history.csv"]
RUN_FILES += [
    "diagnostics.npz",
    ".hydra/config.yaml",
    ".hydra/overrides.yaml",
    ".hydra/hydra.yaml",
    ".lock",
    "train.log",
]
SWEEP_FILES = ["multirun.yaml", "jobs.csv", "replicas.csv", "success_rate.csv", "success_rate.png", "curves"]
SWEEP_FILES += [f"0_seed=0/{name}" for name in (".closed", "config.yaml", "results.csv", "checkpoints/last.ckpt")]


def empty(file):
    file.write_bytes(b"")


def torn(file):
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def zeros(file):
    file.write_bytes(bytes(file.stat().st_size or 9))


def flipped(file):
    data = bytearray(file.read_bytes() or b"x")
    data[len(data) // 3] ^= 4
    file.write_bytes(data)


def junk(file):
    file.write_bytes(bytes(range(256)) * 9)


def foreign(file):
    file.write_text("name,value\nsomething,1\n")


def folder(file):
    file.unlink()
    file.mkdir()


def missing(file):
    file.unlink()


DAMAGES = [empty, torn, zeros, flipped, junk, foreign, folder, missing]
FEW = [torn]


@pytest.fixture(scope="module")
def left(server, tmp_path_factory):
    """A run that was killed in its middle, the same run undisturbed, and a sweep that came to its end."""
    base = tmp_path_factory.mktemp("left")
    whole, killed, sweep = base / "whole", base / "killed", base / "sweep"
    calls = server.run(*RUN, f"hydra.run.dir={whole}", fault=Fault(str(whole))).counted
    fault = Fault(str(killed), FILES, call=round(0.7 * calls), kills=True)
    assert server.run(*RUN, f"hydra.run.dir={killed}", fault=fault).status == -9
    assert server.run("-m", *RUN, "seed=0,7", f"hydra.sweep.dir={sweep}").status == 0
    return whole, killed, sweep


def checked(ended):
    """Whatever came of it, it was said in lines."""
    assert ended.status in (0, 1, 2), ended
    assert "Traceback" not in ended.err, ended.err
    assert ended.status == 0 or "error: " in ended.err or "skipped: " in ended.err, ended.err
    return ended


@pytest.mark.parametrize("name", RUN_FILES if FULL else RUN_FILES[:3])
def test_a_damaged_run(name, server, left, tmp_path):
    whole, killed, _ = left
    tried = 0
    for damage in DAMAGES if FULL else FEW:
        for arguments in (["src.train"], ["src.curves"], ["src.evaluate", "task.length=12"]):
            directory = tmp_path / "run"
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(killed, directory)
            if not (directory / name).exists():
                continue
            damage(directory / name)
            module, *rest = arguments
            given = [f"resume={directory}"] if module == "src.train" else [str(directory), *rest]
            ended = checked(server.run(*given, module=module))
            if module == "src.train" and ended.status == 0:
                assert differences(whole, directory) == [], (name, damage)
            tried += 1
    note("damaged files of a run", files=1, tried=tried, tracebacks=0, different=0)


@pytest.mark.parametrize("name", SWEEP_FILES if FULL else SWEEP_FILES[-3:-1])
def test_a_damaged_sweep(name, server, left, tmp_path):
    whole = left[2]
    tried = 0
    for damage in DAMAGES if FULL else FEW:
        for module in ("src.train", "src.curves"):
            directory = tmp_path / "sweep"
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(whole, directory)
            if (directory / name).is_dir():
                shutil.rmtree(directory / name)
                (directory / name).touch()
            damage(directory / name)
            given = f"resume={directory}" if module == "src.train" else str(directory)
            ended = checked(server.run(given, module=module))
            assert differences(whole / "1_seed=7", directory / "1_seed=7") == [], (name, damage)
            if module == "src.train" and ended.status == 0:  # all is as it was, or has been mended
                assert differences(whole / "0_seed=0", directory / "0_seed=0") == [], (name, damage)
                table = (directory / "success_rate.csv").read_text()
                assert table == (whole / "success_rate.csv").read_text(), (name, damage)
            tried += 1
    note("damaged files of a sweep", files=1, tried=tried, tracebacks=0, different=0)
