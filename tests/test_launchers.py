"""Sweeps whose jobs run in other processes: joblib, Optuna, warnings of a queue. `make test-slurm` is Slurm itself."""

import os
import pickle
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack

import pandas as pd
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from src.callbacks.progress import in_parallel
from src.config.again import continued
from src.jobnames import COMMON, common, note_common
from src.jobs import Jobs
from src.recurrence import process as own_process
from src.recurrence.process import share
from src.rundir import RunDirectory
from tests.commands import started as train
from tests.test_again import assert_same_run, finished

KEYS = ["experiment=smoke", "replicas=2", "callbacks.diagnostics.every=null", "logger=none", "threads=1"]
IN_JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


# -- packed ------------------------------------------------------------------------------------------------------------

PACKED = "hydra/launcher=packed"


def test_jobs_that_train_together_give_the_same_bits(tmp_path, basic):
    """Though they are stopped in the middle, and a single job goes on before the others."""
    keys = [*KEYS, "trainer.max_steps=2000", "seed=0,7", "block=1", PACKED]
    process = train("-m", *keys, f"hydra.sweep.dir={tmp_path}")
    jobs = [tmp_path / "0_seed=0", tmp_path / "1_seed=7"]
    until(process, lambda: all(len(lines(job / "history.csv")) > 2 for job in jobs))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in err, err
    assert "pack 1 of 1: 2 jobs, 4 replicas\n" in err and err.count(" recurrence, ") == 1
    assert f"2 without an end: {jobs[0]}, {jobs[1]}\n" in err
    assert f"to go on: python -m src.train resume={tmp_path}\n" in err
    finished(f"resume={jobs[1]}")
    out, err = finished(f"resume={tmp_path}")
    assert f"{jobs[1]}: done" in err
    for job in jobs:
        assert_same_run(job, basic / job.name)
    pd.testing.assert_frame_equal(*[pd.read_csv(sweep / "success_rate.csv") for sweep in (tmp_path, basic)])


def test_a_job_that_cannot_be_packed_trains_as_ever(tmp_path):
    """Price is learned in epochs: each job by itself."""
    price = ["task=price", "task.length=120", "task.window=3", "task.batch_size=2", "cell=lstm", "cell.hidden_size=6"]
    price += ["optimizer=adam", "schedule=parts", "callbacks.truncated_bptt.parts=[10,5,1]", "trainer.max_epochs=3"]
    keys = ["-m", *price, "replicas=2", "threads=1", "logger=none", "seed=0,7"]
    for name in ("packed", "basic"):
        _, err = finished(*keys, f"hydra/launcher={name}", f"hydra.sweep.dir={tmp_path / name}")
        assert ("(alone: learned in epochs)" in err) == (name == "packed")
    for job in ("0_seed=0", "1_seed=7"):
        assert_same_run(tmp_path / "packed" / job, tmp_path / "basic" / job)
    epochs = RunDirectory(tmp_path / "packed" / "0_seed=0").read_history()["epoch"]
    assert epochs.max() == 3


# -- joblib ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """A sweep of two jobs, one after the other."""
    directory = tmp_path_factory.mktemp("basic")
    finished("-m", *KEYS, "trainer.max_steps=2000", "seed=0,7", f"hydra.sweep.dir={directory}")
    return directory


def test_jobs_side_by_side_give_the_same_bits(tmp_path, basic):
    """Though a worker is killed: its job and those that it takes with it are named, and resume completes them."""
    keys = [*KEYS, "trainer.max_steps=2000", "seed=0,7", "block=1"]
    process = train("-m", *keys, *IN_JOBLIB, f"hydra.sweep.dir={tmp_path}")
    jobs = [tmp_path / "0_seed=0", tmp_path / "1_seed=7"]
    for job in jobs:
        until(process, lambda job=job: len(lines(job / "history.csv")) > 2)
        os.kill(worker(process, job), signal.SIGSTOP)  # or the first may be done before the second begins
    os.kill(worker(process, jobs[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in err, err
    assert "error: TerminatedWorkerError: " in err and f"to go on: python -m src.train resume={tmp_path}\n" in err
    assert f"2 without an end: {jobs[0]}, {jobs[1]}\n" in err
    assert re.search(r"^1_seed=7: +20 updates", err, flags=re.MULTILINE), "lines of jobs begin with their name"
    assert "job 1 of 2" not in err, "workers know nothing of the sweep"
    out, err = finished(f"resume={tmp_path}")
    for job in jobs:
        assert_same_run(job, basic / job.name)
    pd.testing.assert_frame_equal(*[pd.read_csv(sweep / "success_rate.csv") for sweep in (tmp_path, basic)])


def until(process, happened):
    """Waits for something that a command does."""
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


def lines(file):
    return file.read_text().splitlines() if file.is_file() else []


def worker(process, job):
    """The process that joblib has started for a job: it holds the job's lock."""
    command = ["pgrep", "-P", str(process.pid), "-f", "popen_loky"]
    numbers = subprocess.run(command, capture_output=True, text=True).stdout.split()
    (found,) = [int(number) for number in numbers if holds(number, job / ".lock")]
    return found


def holds(number, file):
    """Whether a process has a file open."""
    opened = os.listdir(f"/proc/{number}/fd")
    return any(os.path.realpath(f"/proc/{number}/fd/{name}") == str(file) for name in opened)


def test_a_sweep_that_is_stopped_reports_once(tmp_path):
    keys = [*KEYS, "trainer.max_steps=1000000", "success.leave=false"]
    process = train("-m", *keys, *IN_JOBLIB, f"hydra.sweep.dir={tmp_path}")
    until(process, lambda: any(len(lines(file)) > 2 for file in tmp_path.glob("0_*/history.csv")))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in err, err
    assert out.count("success rates, ") == 1 and err.count("to go on: ") == 1
    assert f"1 without an end: {tmp_path / '0_smoke'}" in err


def test_the_callback_takes_only_names_to_other_processes(tmp_path, monkeypatch):
    """Its lock cannot be sent, and a job elsewhere must not count jobs; an environment may not be sent along."""
    monkeypatch.setenv(COMMON, "")
    note_common(["threads=1", "replicas=2"])
    callback = Jobs()
    callback.jobs = 3
    callback.lock.enter_context(RunDirectory(tmp_path).locked())
    sent = pickle.dumps(callback)
    callback.lock.close()
    monkeypatch.delenv(COMMON)
    assert pickle.loads(sent).jobs == 0
    assert common() == ["threads=1", "replicas=2"]


def test_a_process_takes_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert share() == 8
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert share() == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "64")
    assert share() == 8


def test_only_jobs_of_a_parallel_sweep_share_a_terminal(monkeypatch):
    basic = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    for mode, launcher, expected in (
        (RunMode.MULTIRUN, "another.Launcher", True),
        (RunMode.RUN, "another.Launcher", False),
        (RunMode.MULTIRUN, basic, False),
    ):
        now = OmegaConf.create({"mode": mode, "launcher": {"_target_": launcher}})
        monkeypatch.setattr(HydraConfig, "get", lambda now=now: now)
        assert in_parallel() == expected


def test_each_process_has_a_gpu_of_its_own(monkeypatch, tmp_path):
    """The first that nobody has, for as long as the process lives; where all are taken, by the job's number."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,7")
    with ExitStack() as others:

        def another_process():
            monkeypatch.setattr(own_process, "_taken", [])
            found = own_process.take_gpu(3, job=8)
            for _, file in own_process._taken:
                others.enter_context(file)
            return found

        assert [another_process() for _ in range(4)] == [0, 1, 2, 8 % 3]
        assert sorted(path.name.split("-gpu-")[1] for path in tmp_path.iterdir()) == ["2.lock", "5.lock", "7.lock"]
    assert another_process() == 0 and own_process.take_gpu(3, job=8) == 0
    own_process._taken[0][1].close()


# -- what is not there -------------------------------------------------------------------------------------------------

WITHOUT = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.startswith("hydra_plugins.") else find(name, *rest)
"""


@pytest.mark.parametrize(
    ("choice", "extra"),
    [
        ("hydra/launcher=joblib", "joblib"),
        ("hydra/launcher=submitit_slurm", "slurm"),
        ("hydra/sweeper=optuna", "optuna"),
    ],
)
def test_a_plugin_that_is_missing_is_one_line(tmp_path, choice, extra):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    out, err = finished("-m", *KEYS, choice, f"hydra.sweep.dir={tmp_path / 'sweep'}", status=2, env=environment)
    assert err == f"error: {choice}: needs pip install -e '.[{extra}]'\n"
    assert not (tmp_path / "sweep").exists()


def test_without_slurm_its_launcher_is_refused(tmp_path):
    environment = os.environ | {"PATH": str(tmp_path)}
    out, err = finished("-m", *KEYS, "hydra/launcher=submitit_slurm", status=2, env=environment)
    assert err.startswith("error: hydra/launcher=submitit_slurm: there is no srun here")


def test_a_sweep_remembers_its_launcher_unless_another_is_given(tmp_path):
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['seed=0,7'], hydra: [hydra/launcher=joblib, hydra.launcher.n_jobs=2]},"
        " runtime: {config_sources: []}}"
    )
    where = [f"hydra.sweep.dir='{tmp_path}'", "hydra.mode=MULTIRUN"]
    resume = f"resume={tmp_path}"
    assert continued([resume]) == ["seed=0,7", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *where]
    assert continued([resume, "hydra/launcher=basic"]) == ["seed=0,7", "hydra/launcher=basic", *where]
    same = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=4"]
    assert continued([resume, *same]) == ["seed=0,7", *same, *where]


# -- Optuna ------------------------------------------------------------------------------------------------------------


def test_a_search_goes_on_where_it_was(tmp_path):
    """As if it had been stopped after two of its four trials: the others are chosen as before."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    search = ["-m", *KEYS, "success.max_error=.7", "hydra/sweeper=optuna", "hydra.sweeper.sampler.n_startup_trials=1"]
    space = ["optimizer.lr=tag(log,interval(1e-3,1))", "optimizer.clip=interval(.1,2.)"]
    finished(*search, *space, "hydra.sweeper.n_trials=4", f"hydra.sweep.dir={whole}")
    names = sorted(run.parent.name for run in whole.glob("*/results.csv"))
    assert len(names) == 4 and all(re.fullmatch(r"\d_lr=[\d.]+_clip=[\d.]+", name) for name in names)
    rates = [pd.read_csv(whole / name / "results.csv")["solved"].mean() for name in names]
    assert OmegaConf.load(whole / "optimization_results.yaml").best_value == max(rates) > min(rates)
    shutil.copytree(whole, parts)
    for name in names[2:]:
        shutil.rmtree(parts / name)
    _, err = finished(f"resume={parts}", "hydra.sweeper.n_jobs=2", status=2)
    assert err == f"error: resume={parts}: was searched with hydra.sweeper.n_jobs=1, not 2\n"
    out, err = finished(f"resume={parts}")
    assert err.count(": done") == 2
    for name in names:
        assert_same_run(whole / name, parts / name)


def test_the_ends_of_a_search_are_checked_before_it_begins(tmp_path):
    search = ["-m", *KEYS, "hydra/sweeper=optuna", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    out, err = finished(*search, "optimizer.lr=interval(-1.,1.)", "task.length=choice(20,5)", status=2)
    assert "error: optimizer.lr=-1.0: " in err and "error: task.length=5: temporal_order needs 10 steps or more" in err
    assert not (tmp_path / "sweep").exists()


# -- a queue's warning -------------------------------------------------------------------------------------------------

WAITS = """
import signal, sys

def handle(signum, frame):
    from src.rundir import RunDirectory
    run = RunDirectory(sys.argv[-1].split("=")[1])
    print("handed on", run.has_checkpoint, "interrupted" in run.results_file.read_text())
    sys.exit(7)

signal.signal(signal.SIGUSR2, handle)
"""


@pytest.mark.parametrize("signals", [["SIGUSR2"], ["SIGTERM", "SIGUSR2"]], ids=" ".join)
def test_a_warning_is_handed_on_when_the_run_has_ended(tmp_path, basic, signals):
    """With SIGTERM before it, as queues send both. The run that then begins again goes on, bit for bit."""
    keys = ["trainer.max_steps=2000", "seed=7", "block=1"]
    where = f"hydra.run.dir={tmp_path / 'run'}"
    (tmp_path / "sitecustomize.py").write_text(WAITS)
    process = train(*KEYS, *keys, where, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    until(process, lambda: len(lines(tmp_path / "run" / "history.csv")) > 2)
    for name in signals:
        process.send_signal(getattr(signal, name))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 7 and "handed on True True" in out
    assert pd.read_csv(tmp_path / "run" / "results.csv")["updates"].max() < 600
    if signals == ["SIGUSR2"]:
        finished(f"resume={tmp_path / 'run'}")
        assert_same_run(tmp_path / "run", basic / "1_seed=7")
