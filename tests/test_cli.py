"""The command line as people use it: statuses, files, refusals without traceback, interruptions."""

import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from tests.commands import ended, started
from tests.conftest import METHODS, ROOT


def train(tmp_path, *arguments, **keys):
    where = [f"hydra.run.dir={tmp_path}/run", f"hydra.sweep.dir={tmp_path}/sweep"]
    flags_only = any(argument.startswith("--") for argument in arguments)
    return ended(*arguments, *([] if flags_only else where), **keys)


def test_a_run_leaves_what_the_contract_says(tmp_path):
    done = train(tmp_path, "experiment=smoke", fresh=True)
    assert done.status == 0, done.err
    assert "0/5 solved" in done.out and "results.csv" in done.out
    assert "40 updates" in done.err  # the progress line
    run = tmp_path / "run"
    for name in (".hydra/config.yaml", "config.yaml", "checkpoints/last.ckpt", "train.log"):
        assert (run / name).is_file(), name
    results, history = pd.read_csv(run / "results.csv"), pd.read_csv(run / "history.csv")
    assert ",".join(results.columns) == (
        "task,length,max_length,cell,optimizer,seed,status,solved,solved_at,updates,error,best_error,loss,"
        "spectral_radius,seconds,test_loss,reached"
    )
    assert ",".join(history.columns) == "seed,step,epoch,seconds,loss,omega,grad_norm,error"
    assert results["seed"].tolist() == [0, 1, 2, 3, 4] and set(results["status"]) == {"budget"}
    assert history["step"].tolist() == [20] * 5 + [40] * 5 and history.notna().all().all()
    assert (history["omega"] > 0).all() and (history["grad_norm"] > 0).all()
    board = EventAccumulator(str(run)).Reload()
    tags = board.Tags()["scalars"]
    for tag in ("loss", "omega", "grad_norm", "clipped"):
        assert [event.step for event in board.Scalars(f"train/{tag}")] == [10, 20, 30, 40]
    for tag in ("val/error", "val/success_rate", "diag/spectral_radius"):
        assert [event.step for event in board.Scalars(tag)] == [20, 40]
    assert "val/error/seed_3" in tags and "outcome/success_rate" in tags
    (layout,) = board.Tensors("custom_scalars__config__")
    outcome = Layout.FromString(layout.tensor_proto.string_val[0]).category[0]
    assert [chart.title for chart in outcome.chart][:2] == ["success rate", "error"]
    for chart in outcome.chart[:2]:
        (pattern,) = chart.multiline.tag
        assert len([tag for tag in tags if re.search(pattern, tag)]) == 1
    assert board.Scalars("val/error")[-1].value == pytest.approx(results["error"].median())
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["network.W"].shape == (5, 10, 10)


def test_the_default_run(tmp_path):
    """Everything at its default but the budget: where it lands, and what ran."""
    command = [sys.executable, "-m", "src.train", "trainer.max_steps=2", "success.sequences=100"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}_temporal_order_msgd_cr", run.name)
    results = pd.read_csv(run / "results.csv")
    assert results[["task", "length", "cell", "optimizer", "updates"]].drop_duplicates().values.tolist() == [
        ["temporal_order", 50, "smart_tanh", "msgd_cr", 2]
    ]
    assert len(results) == 5


def test_a_sweep_ends_with_its_table(tmp_path):
    done = train(tmp_path, "-m", "experiment=smoke", "optimizer=msgd,msgd_c,msgd_cr", "task.length=10,20")
    assert done.status == 0, done.err
    table = pd.read_csv(tmp_path / "sweep" / "success_rate.csv")
    assert table["optimizer"].tolist() == [m for m in METHODS for _ in range(2)]
    assert table["length"].tolist() == [10, 20] * 3 and (table["replicas"] == 5).all()
    for name in ("success_rate.png", "success_rate.svg", "error.png"):
        assert (tmp_path / "sweep" / name).is_file()
    assert "success rates" in done.out
    board = EventAccumulator(str(tmp_path / "sweep" / "curves")).Reload()
    assert set(board.Tags()["images"]) == {"sweep/success_rate", "sweep/error"}


def test_an_experiment_is_a_sweep_by_itself(tmp_path):
    done = train(
        tmp_path, "experiment=success_vs_length", "task.length=10,12", "trainer.max_steps=4", "success.sequences=20"
    )
    assert done.status == 0, done.err
    assert len(pd.read_csv(tmp_path / "sweep" / "success_rate.csv")) == 6


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["optimizer=msdg"], ["optimizer=msdg"]),
        (["task.lenght=3", "cell=gro"], ["task.lenght", "cell=gro"]),
        (["task.length=9", "replicas=0"], ["task.length=9", "replicas=0"]),
        (["optimizer=msgd,msgd_c"], ["add -m"]),
        (["-m", "task.length=50,9", "optimizer=msgd,msgd_c"], ["task.length=9"]),
        (["-m", "optimizer=msgd,adm"], ["optimizer=adm"]),
        (["-m", "task.length=10,9", "optimizer=glob(msgd*)"], ["task.length=9"]),
        (["-m", "cell=smart_tanh,lstm", "++cell.connections=5"], ["cell: LSTM.__init__() got an unexpected keyword"]),
        (["hydra.mode=RUN", "experiment=success_vs_length"], ["is a sweep"]),
        (["trainer.accelerator=tpu"], ["trainer.accelerator=tpu"]),
        (["cell=null"], ["cell=null: a group needs a choice"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_refused_before_anything_runs(tmp_path, arguments, lines):
    done = train(tmp_path, *arguments)
    printed = done.err.strip().splitlines()
    assert done.status == 2
    assert len(printed) == len(lines), done.err
    for line, word in zip(sorted(printed), sorted(lines), strict=True):
        assert line.startswith("error: ") and word in line
    assert done.out == "" and not list(tmp_path.rglob("results.csv")) and not (tmp_path / "run").exists()


def test_a_script_is_told_how_to_run(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "src" / "train.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "python -m src.train" in done.stderr


@pytest.mark.parametrize(("flag", "words"), [("--help", "success_vs_length"), ("--cfg=job", "max_error: 0.01")])
def test_hydras_own_flags(tmp_path, flag, words):
    done = train(tmp_path, *flag.split("="))
    assert done.status == 0 and words in done.out


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("sweep", [False, True], ids=["run", "sweep"])
def test_interruptions_end_after_the_update_with_everything_written(tmp_path, signum, status, sweep):
    where = f"hydra.sweep.dir={tmp_path}" if sweep else f"hydra.run.dir={tmp_path}/0"
    arguments = ["-m", "optimizer=msgd,msgd_c"] if sweep else []
    keys = [where, "task.length=20", "replicas=2", "success.check_every=100"]
    process = started(*arguments, *keys, fresh=not sweep)
    folder = tmp_path / ("0_msgd" if sweep else "0")
    history = folder / "history.csv"
    deadline = time.monotonic() + 120
    while not (history.is_file() and len(history.read_text().splitlines()) > 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Traceback" not in err and "Traceback" not in out
    said = [line.split(" updates")[0] for line in err.splitlines() if " updates  solved" in line]
    assert len(said) == len(set(said)), "no line twice"
    results = pd.read_csv(folder / "results.csv")
    assert set(results["status"]) == {"interrupted"} and (results["updates"] > 0).all()
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == results["updates"].max() == pd.read_csv(history)["step"].max()
    if sweep:
        table = pd.read_csv(tmp_path / "success_rate.csv")
        assert table["interrupted"].tolist() == [2] and table["replicas"].tolist() == [0]
        assert not (tmp_path / "1_msgd_c").exists()
    else:
        assert f"to go on: python -m src.train resume={folder}" in err
        assert re.search(r"0/2 solved so far, 2 interrupted", out)


def test_a_price_with_the_defaults_of_other_tasks_is_refused_with_the_right_command(tmp_path):
    for keys in (["task=price"], ["-m", "task=price,temporal_order"]):
        refused = train(tmp_path, *keys)
        (line,) = refused.err.splitlines()
        assert refused.status == 2 and line.startswith("error: task=price: cell=smart_tanh and optimizer=msgd_cr")
    right = line.rpartition("python -m src.train ")[2].split()
    small = ["task.length=120", "task.batch_size=2", "task.window=3", "cell.hidden_size=4"]
    assert train(tmp_path, *right, *small, "trainer.max_epochs=1").status == 0
