"""Runs and sweeps that go on in place: ``resume=DIR`` alone, the printed command, and jobs that failed."""

import fcntl
import re
import shlex
import shutil
import signal
import time

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.config.again import continued, quoted
from src.jobnames import COMMON, job_directory, note_common
from src.jobs import how_far
from src.population import checkpoint
from src.results.missing import missing
from src.rundir import JOB_COLUMNS, RunDirectory, write_table
from tests.commands import ended
from tests.commands import started as train

KEYS = ["experiment=smoke", "replicas=2", "success.check_every=100", "task.length=20", "optimizer=msgd_c"]
KEYS.append("callbacks.diagnostics.every=null")  # its figures take most of the time


def finished(*arguments, status=0, **keys):
    """What a command wrote, which must end with this status, and without a traceback."""
    found = ended(*arguments, **keys)
    assert found.status == status, found.err
    assert "Traceback" not in found.err
    return found.out, found.err


def interrupted(directory, signum, *arguments):
    """Starts a command, and stops it when a history is there; returns what it wrote to stderr."""
    process = train(*arguments)
    deadline = time.monotonic() + 120
    while not (directory / "history.csv").is_file() or len((directory / "history.csv").read_text().splitlines()) < 4:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(signum)
    return process.communicate(timeout=60)[1]


def assert_same_run(one, other):
    """Parameters, and tables but for their seconds."""
    parameters = [checkpoint.read(RunDirectory(path).checkpoint_file).parameters for path in (one, other)]
    assert [name for name in parameters[0] if not torch.equal(parameters[0][name], parameters[1][name])] == []
    for table in ("results.csv", "history.csv"):
        pd.testing.assert_frame_equal(*[pd.read_csv(path / table).drop(columns="seconds") for path in (one, other)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep of two jobs that nothing disturbed."""
    directory = tmp_path_factory.mktemp("whole")
    finished("-m", *KEYS, "trainer.max_steps=3000", "seed=0,7", f"hydra.sweep.dir={directory}")
    return directory


def test_the_printed_command_goes_on_in_place_as_if_nothing_had_happened(tmp_path, whole):
    """In a directory whose name needs quoting."""
    name = "a [b] c'd=1"
    directory = tmp_path / name
    err = interrupted(directory, signal.SIGTERM, *KEYS, "trainer.max_steps=3000", f"hydra.run.dir={quoted(directory)}")
    (printed,) = re.findall(r"^to go on: python -m src.train (.*)$", err, flags=re.MULTILINE)
    finished(*shlex.split(printed))
    assert_same_run(directory, whole / "0_seed=0")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == sorted(set(steps)) and steps[-1] <= 3000
    finished(*shlex.split(printed), status=2)  # the budget is spent
    finished(*shlex.split(printed), "trainer.max_steps=3100")
    assert pd.read_csv(directory / "results.csv")["updates"].max() in (3100, *range(3000))


def test_what_may_not_change_is_refused_by_name(tmp_path, whole):
    _, err = finished(f"resume={whole / '0_seed=0'}", "optimizer.lr=.5", "trainer.max_steps=7000", status=2)
    assert err == f"error: resume={whole / '0_seed=0'}: was run with optimizer.lr=0.01, not 0.5\n"


@pytest.mark.parametrize("job", ["0_seed=0", "1_seed=7"])
def test_a_killed_sweep_goes_on(tmp_path, whole, job):
    """Killed in its first or second job: done jobs are passed over, the killed one goes on, missing ones begin."""
    sweep = ["-m", *KEYS, "trainer.max_steps=3000", "seed=0,7", f"hydra.sweep.dir={tmp_path}"]
    interrupted(tmp_path / job, signal.SIGKILL, *sweep)
    again = sweep if job == "0_seed=0" else [f"resume={tmp_path}"]  # the same command again does it too
    _, err = finished(*again)
    assert err.count(": done") == int(job[0]) and re.search("^job 2 of 2.*: 1_seed=7$", err, flags=re.MULTILINE)
    for number in ("0_seed=0", "1_seed=7"):
        assert_same_run(tmp_path / number, whole / number)
    table = pd.read_csv(tmp_path / "success_rate.csv")
    pd.testing.assert_frame_equal(table, pd.read_csv(whole / "success_rate.csv"))


def test_how_far_a_sweep_is():
    assert how_far(0, 15, 0.1, []) == "job 1 of 15"
    assert how_far(3, 15, 305, [100, 110, 90]) == "job 4 of 15, 5 min gone, about 20 min left"
    assert how_far(1, 2, 9000, [9000]) == "job 2 of 2, 2.5 h gone, about 2.5 h left"
    assert how_far(14, 15, 30, [2, 3]) == "job 15 of 15, 30 s gone, about 2 s left"


def test_directories_of_jobs_say_what_distinguishes_them(monkeypatch):
    note_common(["experiment=smoke", "threads=1"])
    job = ["experiment=smoke", "optimizer=msgd_c", "task.length=100", "seed=3", "threads=1"]
    assert job_directory(3, job) == "3_msgd_c_length=100_seed=3"
    assert job_directory(0, ["+a.parts=[1,2]", "x.dir=/some where/[b]"]) == "0_parts=-1,2-_dir=-some-where-b"
    assert len(job_directory(7, ["a.b=" + 300 * "x"])) == 100
    monkeypatch.delenv(COMMON)
    assert job_directory(1, ["optimizer=msgd"]) == "1_msgd"


OWN = '''
from tasks.temporal_order import TemporalOrder

class Failing(TemporalOrder):
    """Temporal order that cannot draw more than a few mini-batches of 30 steps."""
    drawn = 0

    def draw(self, length, *rest):
        Failing.drawn += length == 30
        if length == 30 and Failing.drawn > 10:
            raise RuntimeError("out of luck")
        return super().draw(length, *rest)
'''


def test_a_job_that_fails_does_not_end_its_sweep(tmp_path):
    (tmp_path / "failing.py").write_text(OWN)
    where = tmp_path / "sweep"
    keys = [*KEYS, "task._target_=failing.Failing", "success.check_every=20", f"hydra.sweep.dir={where}"]
    out, err = finished("-m", *keys, "task.length=20,30,40", status=1, path=tmp_path)
    assert (
        f"error: {where / '1_length=30'}: RuntimeError: out of luck" in err
        and f"1 failed: {where / '1_length=30'}" in err
    )
    assert pd.read_csv(where / "success_rate.csv")["length"].tolist() == [20, 30, 40]
    assert "out of luck" in (where / "1_length=30" / "error.txt").read_text()
    (tmp_path / "failing.py").write_text(OWN.replace("> 10", "> 10**9"))  # mended
    _, err = finished(f"resume={where}", path=tmp_path)
    assert err.count(": done") == 2 and not (where / "1_length=30" / "error.txt").exists()
    assert pd.read_csv(where / "success_rate.csv")["interrupted"].tolist() == [0, 0, 0]


def test_arguments_that_name_no_run_stay_as_they_are(tmp_path):
    nowhere = f"resume={quoted(tmp_path)}"
    for arguments in ([], ["task.length=20"], ["resume=null"], [nowhere], ["-m", "seed=1,2", "--cfg=job"]):
        assert continued(arguments) == arguments


def test_ones_own_folder_is_remembered_and_what_is_given_wins(tmp_path):
    hydra = tmp_path / ".hydra"
    hydra.mkdir()
    (hydra / "overrides.yaml").write_text("- task=mine\n- +optimizer.extra=1\n- trainer.max_steps=10\n- resume=x\n")
    (hydra / "hydra.yaml").write_text(
        "hydra: {overrides: {hydra: [hydra.run.dir=elsewhere, 'hydra.searchpath=[file://x]', "
        "+hydra.callbacks.x._target_=os.getcwd]},"
        " runtime: {config_sources: [{path: /mine/conf, provider: command-line}]}}"
    )
    found = continued(["trainer.max_steps=15", f"resume={tmp_path}", "trainer.max_steps=20"])  # the last one counts
    assert found == [
        *("--config-dir", "/mine/conf"),
        *("task=mine", "+optimizer.extra=1", "trainer.max_steps=20", "hydra.searchpath=[file://x]"),
        f"resume='{tmp_path}'",
        *(f"hydra.run.dir='{tmp_path}'", "hydra.mode=RUN"),
    ]


def test_a_second_run_is_kept_out_of_a_directory(tmp_path):
    """While the first is at work, and afterwards, unless it is meant; the first one's files stay as they are."""
    where = f"hydra.run.dir={tmp_path}"
    first = train(*KEYS, "trainer.max_steps=100000", where)
    while not (tmp_path / "history.csv").is_file():
        assert first.poll() is None
        time.sleep(0.02)
    for second in ([*KEYS, where], [*KEYS, where, "overwrite=true"], [f"resume={tmp_path}"]):
        assert finished(*second, status=2)[1] == f"error: {tmp_path}: a run is at work there\n"
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    results = (tmp_path / "results.csv").read_text()
    words = f"error: {tmp_path}: holds a run already; resume={tmp_path} goes on with it, overwrite=true replaces it\n"
    assert finished(*KEYS, "seed=5", where, status=2)[1] == words
    assert (tmp_path / "results.csv").read_text() == results
    finished(*KEYS, "seed=5", where, "trainer.max_steps=20", "overwrite=true")
    assert pd.read_csv(tmp_path / "results.csv")["seed"].tolist() == [5, 6]
    assert checkpoint.read(tmp_path / "checkpoints" / "previous.ckpt").outcomes["seeds"] == [5, 6]


def test_a_sweep_that_goes_on_refuses_before_anything_runs_and_takes_a_larger_budget(tmp_path, whole):
    sweep = tmp_path / "sweep"
    shutil.copytree(whole, sweep)
    multirun = (sweep / "multirun.yaml").read_text()
    shutil.rmtree(sweep / "1_seed=7")
    _, err = finished(f"resume={sweep}", "optimizer.lr=.5", status=2)
    assert err == f"error: resume={sweep / '0_seed=0'}: was run with optimizer.lr=0.01, not 0.5\n"
    assert not (sweep / "1_seed=7").exists() and (sweep / "multirun.yaml").read_text() == multirun
    (sweep / "0_seed=0").rename(sweep / "0")  # as in a sweep of before
    assert (
        finished(f"resume={sweep}", status=2)[1] == f"error: {sweep / '0'}: holds a run that is no job of this sweep\n"
    )
    (sweep / "0").rename(sweep / "0_seed=0")
    finished(f"resume={sweep}", "seed=0,7", "trainer.max_steps=3050", "threads=1")
    for seed, folder in ((0, "0_seed=0"), (7, "1_seed=7")):
        results = pd.read_csv(sweep / folder / "results.csv")
        assert results["seed"].tolist() == [seed, seed + 1] and results["updates"].max() in (3050, *range(3000))


def test_tables_that_cannot_be_written_are_one_line_and_status_1(tmp_path, whole):
    sweep = tmp_path / "sweep"
    shutil.copytree(whole, sweep)
    (sweep / "replicas.csv").unlink()
    (sweep / "replicas.csv").mkdir()
    _, err = finished(f"resume={sweep}", status=1)
    assert err.count(": done") == 2 and f"error: {sweep}: no tables: " in err


def test_curves_say_what_a_sweep_lacks(tmp_path, whole):
    """Of four jobs one has ended, one was interrupted, one failed, one has not begun; and one is at work."""
    sweep = tmp_path / "sweep"
    shutil.copytree(whole, sweep)
    names = ["0_seed=0", "1_seed=7", "2", "3", "4"]
    write_table(sweep / "jobs.csv", JOB_COLUMNS, [(name, "") for name in names])
    (sweep / "1_seed=7" / ".closed").unlink()
    for name in names[2:4]:
        (sweep / name).mkdir()
    (sweep / "2" / "error.txt").write_text("out of luck")
    with RunDirectory(sweep / "3").locked():
        (line,) = missing([tmp_path])
    assert line == (
        f"{sweep}: 1 of 5 jobs have ended; interrupted: 1_seed=7; failed: 2; running: 3; not begun: 4; "
        f"to go on: python -m src.train resume={sweep}"
    )
    with RunDirectory(sweep).locked():
        assert missing([tmp_path])[0].endswith(f"to go on: python -m src.train resume={sweep}"), "the report at its end"
    with RunDirectory(sweep).lock_file.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert missing([tmp_path])[0].endswith("; not begun: 3, 4; the sweep is at work")
    shown = ended(sweep, module="src.curves")
    assert "1 of 5 jobs have ended" in shown.out and shown.status == 0
    assert missing([whole]) == []


def test_a_job_that_needs_no_larger_budget_takes_it_all_the_same(tmp_path):
    """All replicas have solved the task: with its old budget the job would have a line of its own in the figure."""
    keys = ["experiment=smoke", "replicas=2", "threads=1", "success.max_error=0.99", "success.check_every=20"]
    sweep = ["-m", *keys, "optimizer=msgd,msgd_c", f"hydra.sweep.dir={tmp_path}"]
    finished(*sweep, "trainer.max_steps=100")
    _, err = finished(f"resume={tmp_path}", "trainer.max_steps=200")
    assert err.count(": done") == 2
    assert {OmegaConf.load(file).trainer.max_steps for file in tmp_path.glob("*/config.yaml")} == {200}
    _, err = finished(f"resume={tmp_path}", "trainer.max_steps=50", status=2)
    assert "0_msgd: was run with trainer.max_steps=100; it may be larger, not 50\n" in err
    assert {OmegaConf.load(file).trainer.max_steps for file in tmp_path.glob("*/config.yaml")} == {200}


def test_a_copy_without_hidden_files_goes_on(tmp_path, whole):
    """As `cp -r DIR/* COPY` makes it: it is a run, and no sweep of which no job has begun."""
    copy = tmp_path / "copy"
    shutil.copytree(whole / "0_seed=0", copy, ignore=shutil.ignore_patterns(".*"))
    finished(f"resume={copy}", "trainer.max_steps=3100")
    assert pd.read_csv(copy / "results.csv")["updates"].max() == 3100
    assert list(copy.glob("*/results.csv")) == []


def test_a_sweep_that_overwrites_another_leaves_nothing_of_its_jobs(tmp_path):
    keys = ["-m", "experiment=smoke", "threads=1", "replicas=2", f"hydra.sweep.dir={tmp_path}"]
    finished(*keys, "optimizer=msgd,msgd_c")
    finished(*keys, "optimizer=msgd,msgd_cr", "overwrite=true")
    assert set(pd.read_csv(tmp_path / "replicas.csv")["optimizer"]) == {"msgd", "msgd_cr"}


def test_what_was_begun_with_overwrite_is_not_overwritten_when_it_goes_on(tmp_path):
    keys = ["experiment=smoke", "threads=1", f"hydra.sweep.dir={tmp_path}", "seed=0,7", "overwrite=true"]
    finished("-m", *keys)
    checkpoints = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("last.ckpt")}
    _, err = finished(f"resume={tmp_path}")
    assert err.count(": done") == 2
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("last.ckpt")} == checkpoints
    _, err = finished(f"resume={tmp_path}", "overwrite=true", status=2)
    assert err == "error: overwrite=true: resume goes on with what is there; leave it out\n"
    finished("-m", *keys)  # this means it
    assert not checkpoints.items() & {file: file.stat().st_mtime_ns for file in tmp_path.rglob("last.ckpt")}.items()


def test_going_on_runs_nobodys_code(tmp_path):
    """What is remembered of a command may name classes, made from ours, and no functions."""
    directory = tmp_path / "run"
    finished("experiment=smoke", "threads=1", f"hydra.run.dir={directory}")
    command = directory / "command.yaml"
    left = OmegaConf.load(command)
    evil = tmp_path / "evil"
    for override in ("+task.extra={_target_:os.makedirs,name:EVIL}", "+task.more=[{_target_:os.makedirs,name:EVIL}]"):
        again = OmegaConf.create(left)
        again.overrides.append(override.replace("EVIL", str(evil)))
        OmegaConf.save(again, command)
        _, err = finished(f"resume={directory}", "trainer.max_steps=60", status=2)
        assert "names os.makedirs, which is no class, or one of Python's own" in err and not evil.exists()
    again = OmegaConf.create(left)
    again.hydra.append(f"+hydra.callbacks.evil={{_target_:os.makedirs,name:{evil}}}")
    OmegaConf.save(again, command)
    finished(f"resume={directory}", "trainer.max_steps=60")
    assert not evil.exists()


def test_two_starts_in_one_directory(tmp_path):
    """The second one is refused before Hydra has written anything."""
    first = train(*KEYS, "trainer.max_steps=100000", f"hydra.run.dir={tmp_path}")
    while not (tmp_path / ".lock").is_file():
        assert first.poll() is None
        time.sleep(0.01)
    _, err = finished("experiment=smoke", "optimizer=msgd", f"hydra.run.dir={tmp_path}", "overwrite=true", status=2)
    assert err == f"error: {tmp_path}: a run is at work there\n"
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert "optimizer=msgd\n" not in (tmp_path / ".hydra" / "overrides.yaml").read_text()


def test_a_job_whose_checkpoint_is_damaged_fails_alone(tmp_path):
    finished("-m", "experiment=smoke", "threads=1", f"hydra.sweep.dir={tmp_path}", "seed=0,7")
    shutil.rmtree(tmp_path / "1_seed=7")
    for name in ("last.ckpt", "previous.ckpt"):
        (tmp_path / "0_seed=0" / "checkpoints" / name).write_bytes(b"")
    _, err = finished(f"resume={tmp_path}", status=1)
    assert "last.ckpt: no checkpoint, or damaged" in err and f"1 failed: {tmp_path / '0_seed=0'}" in err
    assert len(pd.read_csv(tmp_path / "1_seed=7" / "results.csv")) == 5


def test_a_directory_that_is_deleted_while_a_run_is_at_work_there(tmp_path):
    directory = tmp_path / "run"
    run = train(*KEYS, "trainer.max_steps=1000000", "logger=none", f"hydra.run.dir={directory}")
    while not (directory / "history.csv").is_file():
        assert run.poll() is None
        time.sleep(0.01)
    while directory.exists():  # the run may write a file between the emptying and the removal
        shutil.rmtree(directory, ignore_errors=True)
    _, err = run.communicate(timeout=100)
    assert run.returncode == 1 and "Traceback" not in err and not directory.exists()
    assert re.search(rf"^error: {directory}\S*: No such file or directory$", err, flags=re.MULTILINE)


@pytest.mark.parametrize("where", ["/proc/run", "/dev/null/run"])
def test_a_directory_that_cannot_be_made(where):
    _, err = finished("experiment=smoke", f"hydra.run.dir={where}", status=1)
    assert re.fullmatch(rf"error: {where}\S*: [A-Za-z ]+\n", err)
