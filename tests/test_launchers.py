"""Sweeps whose jobs run in other processes: joblib, Optuna, warnings of a queue. `make test-slurm` is Slurm itself."""

import os
import pickle
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from src.callbacks.progress import in_parallel
from src.config.again import continued
from src.jobnames import COMMON, common, note_common
from src.jobs import Jobs
from src.recurrence.process import share
from src.rundir import RunDirectory
from tests.conftest import ROOT
from tests.test_again import assert_same_run, finished, train

KEYS = ["experiment=smoke", "replicas=2", "callbacks.diagnostics.every=null", "logger=none", "threads=1"]
IN_JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


# -- joblib ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """A sweep of three jobs, one after the other."""
    directory = tmp_path_factory.mktemp("basic")
    finished("-m", *KEYS, "trainer.max_steps=600", "seed=0,7,9", f"hydra.sweep.dir={directory}")
    return directory


def test_jobs_side_by_side_give_the_same_bits(tmp_path, basic):
    """The second worker is killed: its job and those that it takes with it are named, and resume completes them."""
    long = ["trainer.max_steps=600", "seed=0,7,9", "callbacks.recorder.seconds=0"]
    slow = ["block=1"]  # so that a job lasts
    process = train("-m", *KEYS, *long, *slow, *IN_JOBLIB, f"hydra.sweep.dir={tmp_path}")
    killed = tmp_path / "1_seed=7"
    until(process, lambda: len(lines(killed / "history.csv")) > 2)
    os.kill(holder(killed), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in err, err
    assert "error: TerminatedWorkerError: " in err and f"to go on: python -m src.train resume={tmp_path}\n" in err
    (named,) = re.findall(r"without an end: (.*)$", err, flags=re.MULTILINE)
    assert {str(killed), str(tmp_path / "2_seed=9")} <= set(named.split(", "))
    assert re.search(r"^1_seed=7: +20 updates", err, flags=re.MULTILINE), "lines of jobs begin with their name"
    assert "job 1 of 3" not in err, "workers know nothing of the sweep"
    out, err = finished(f"resume={tmp_path}")
    assert not (tmp_path / "2_seed=9" / "error.txt").exists()
    for job in ("0_seed=0", "1_seed=7", "2_seed=9"):
        assert_same_run(tmp_path / job, basic / job)
    pd.testing.assert_frame_equal(*[pd.read_csv(sweep / "success_rate.csv") for sweep in (tmp_path, basic)])


def until(process, happened):
    """Waits for something that a command does."""
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


def lines(file):
    return file.read_text().splitlines() if file.is_file() else []


def holder(run):
    """The process that has a run's directory locked."""
    wanted = (run / ".lock").stat().st_ino
    for line in lines(ROOT / "/proc/locks"):
        process, node = line.split()[4:6]
        if int(node.split(":")[-1]) == wanted:
            return int(process)
    raise AssertionError(f"{run}: nobody is at work there")


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143)])
def test_a_sweep_that_is_stopped_reports_once(tmp_path, signum, status):
    where = f"hydra.sweep.dir={tmp_path}"
    process = train("-m", *KEYS, "trainer.max_steps=1000000", "seed=0,7", *IN_JOBLIB, where)
    until(process, lambda: all(len(lines(tmp_path / job / "history.csv")) > 2 for job in ("0_seed=0", "1_seed=7")))
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in err, err
    assert out.count("success rates, ") == 1 and err.count("to go on: ") == 1
    assert f"2 without an end: {tmp_path / '0_seed=0'}, {tmp_path / '1_seed=7'}\n" in err


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
    for mode, launcher, expected in (("MULTIRUN", "x.Y", True), ("RUN", "x.Y", False), ("MULTIRUN", basic, False)):
        now = OmegaConf.create({"launcher": {"_target_": launcher}})
        now.mode = HydraConfig.__annotations__.get("mode", None) or mode
        monkeypatch.setattr(HydraConfig, "get", lambda now=now: now)
        assert in_parallel() == expected


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
        ("hydra/launcher=submitit_slurm_gpu", "slurm"),
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
    """Two trials, then two more: the same four as at once, the first two from their directories."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    search = ["-m", *KEYS, "success.max_error=.8", "hydra/sweeper=optuna", "hydra.sweeper.sampler.n_startup_trials=2"]
    space = ["optimizer.lr=tag(log,interval(1e-3,1))", "optimizer.clip=interval(.1,2.)"]
    finished(*search, *space, "hydra.sweeper.n_trials=4", f"hydra.sweep.dir={whole}")
    finished(*search, *space, "hydra.sweeper.n_trials=2", f"hydra.sweep.dir={parts}")
    out, err = finished(f"resume={parts}", "hydra.sweeper.n_trials=4")
    assert err.count(": done") == 2
    names = [sorted(run.parent.name for run in sweep.glob("*/results.csv")) for sweep in (whole, parts)]
    assert names[0] == names[1] and len(names[0]) == 4
    assert all(re.fullmatch(r"\d_lr=[\d.]+_clip=[\d.]+", name) for name in names[0])
    best = [OmegaConf.load(sweep / "optimization_results.yaml") for sweep in (whole, parts)]
    rates = [pd.read_csv(whole / name / "results.csv")["solved"].mean() for name in names[0]]
    assert best[0] == best[1] and best[0].best_value == max(rates)


def test_the_ends_of_a_search_are_checked_before_it_begins(tmp_path):
    search = ["-m", *KEYS, "hydra/sweeper=optuna", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    out, err = finished(*search, "optimizer.lr=interval(-1.,1.)", "task.length=choice(20,5)", status=2)
    assert "error: optimizer.lr=-1.0: " in err and "error: task.length=5: temporal_order needs 10 steps or more" in err
    assert not (tmp_path / "sweep").exists()


# -- a queue's warning -------------------------------------------------------------------------------------------------

WAITS = """
import signal, sys
from src.train import main

def handle(signum, frame):
    import pathlib
    from src.rundir import RunDirectory
    run = RunDirectory(sys.argv[-1].split("=")[1])
    print("handed on", run.has_checkpoint, "interrupted" in run.results_file.read_text(), run.is_locked())
    sys.exit(7)

signal.signal(signal.SIGUSR2, handle)
main()
"""


@pytest.mark.parametrize("signals", [["SIGUSR2"], ["SIGTERM", "SIGUSR2"]], ids=" ".join)
def test_a_warning_is_handed_on_when_the_run_has_ended(tmp_path, signals):
    """With SIGTERM before it, as queues send both. The run that then begins again goes on, bit for bit."""
    keys = ["trainer.max_steps=3000", "block=1"]
    where = f"hydra.run.dir={tmp_path / 'run'}"
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, *KEYS, *keys, where], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    until(process, lambda: len(lines(tmp_path / "run" / "history.csv")) > 2)
    for name in signals:
        process.send_signal(getattr(signal, name))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 7 and "handed on True True False" in out
    assert pd.read_csv(tmp_path / "run" / "results.csv")["updates"].max() < 3000
    if signals == ["SIGUSR2"]:
        finished(f"resume={tmp_path / 'run'}")
        finished(*KEYS, *keys, f"hydra.run.dir={tmp_path / 'whole'}")
        assert_same_run(tmp_path / "run", tmp_path / "whole")
