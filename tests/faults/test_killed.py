"""Runs and sweeps that are killed at any time: they go on, and end as if nothing had happened."""

import random
import shutil

import pandas as pd
import pytest

from tests.faults.conftest import differences, go_on
from tests.faults.counts import FULL, note

SMALL = ["experiment=smoke", "replicas=2", "threads=1", "trainer.max_steps=400", "success.check_every=100", "block=7"]
PRICE = ["task=price", "task.length=120", "task.window=3", "task.batch_size=2", "cell=lstm", "cell.hidden_size=6"]
OFTEN = ["callbacks.recorder.seconds=0.05"]

KILLED = {
    "clipping": [*SMALL, "optimizer=msgd_c"],
    "a checkpoint every moment": [*SMALL, *OFTEN, "optimizer=msgd_cr"],
    "lengths that vary": [*SMALL, "task=addition", "task.length=10", "task.max_length=30"],
    "lengths that grow": ["experiment=reach_smoke", "replicas=3", "threads=1", "block=7", "curriculum.patience=1"],
    "solved one after the other": [*SMALL, "replicas=5", "success.max_error=0.71", "success.check_every=20"],
    "Adam, LSTM": [*SMALL, "cell=lstm", "optimizer=adam", "task.length=12"],
    "simplex": [*SMALL, "task=memorization_5bit", "task.length=12", "optimizer=simplex", "trainer.max_steps=200"],
    "autograd": [*SMALL, "cell=gru", "optimizer=rmsprop", "task.length=12", "trainer.max_steps=200"],
    "truncated": [*SMALL, "callbacks.truncated_bptt.steps=7", "optimizer=sgd_momentum"],
    "epochs in stages": [*PRICE, "replicas=2", "threads=1", "optimizer=adadelta", "schedule=parts", *OFTEN]
    + ["callbacks.truncated_bptt.parts=[10,5,1]", "callbacks.truncated_bptt.patience=2", "trainer.max_epochs=25"],
    "a sweep of methods": ["-m", *SMALL, "optimizer=msgd,msgd_c,msgd_cr", "trainer.max_steps=200"],
    "a packed sweep": ["-m", *SMALL, *OFTEN, "hydra/launcher=packed", "optimizer=msgd,msgd_cr", "task.length=10,15"],
    "a sweep of lengths": ["-m", *SMALL, "task.length=10,15", "seed=0,7", "trainer.max_steps=200"],
}
KILLS = 12 if FULL else 1
CHOSEN = list(KILLED) if FULL else ["solved one after the other", "lengths that grow"]


@pytest.mark.parametrize("name", CHOSEN)
def test_killed_at_any_time(name, server, tmp_path):
    arguments = KILLED[name]
    key = "hydra.sweep.dir" if "-m" in arguments else "hydra.run.dir"
    whole, directory = tmp_path / "whole", tmp_path / "killed"
    undisturbed = server.run(*arguments, f"{key}={whole}")
    assert undisturbed.status == 0, undisturbed.err
    jobs = [file.parent.relative_to(whole) for file in whole.rglob("results.csv")]
    draws = random.Random(name)
    killed = 0
    for number in range(KILLS):
        shutil.rmtree(directory, ignore_errors=True)
        seconds = undisturbed.seconds * (number + draws.random()) / KILLS
        ended = server.run(*arguments, f"{key}={directory}", kill=seconds)
        killed += ended.status == -9
        if ended.status != 0:
            again = go_on(server, arguments, directory, key)
            over = again.status == 2 and ("nothing is left" in again.err or " already" in again.err)
            assert again.status == 0 or over, (seconds, again)
            assert "Traceback" not in again.err
        for job in jobs:
            assert differences(whole / job, directory / job) == [], (seconds, job)
        if "-m" in arguments:
            tables = [pd.read_csv(path / "success_rate.csv") for path in (whole, directory)]
            pd.testing.assert_frame_equal(*tables)
    note(f"SIGKILL: {name}", tried=killed, lost=0, different=0, stuck=0)
