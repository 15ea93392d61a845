"""A run goes on with another recurrence, or without the GPU that began it."""

import pandas as pd
import pytest
import torch

from src import storage
from src.config import ConfigurationError, check
from src.evaluate import run as evaluated
from src.recurrence import fitting
from src.run import run
from src.rundir import RunDirectory
from tests.conftest import compose


def test_a_run_may_go_on_with_another_recurrence_and_says_so(tmp_path, capsys):
    run(compose("experiment=smoke", "recurrence=fused"), tmp_path)
    cfg = compose("experiment=smoke", f"resume={tmp_path}", "trainer.max_steps=80", "recurrence=reference")
    assert check(cfg) == []
    capsys.readouterr()
    run(cfg, tmp_path)
    assert "fused ran until here and rounds in another way" in capsys.readouterr().err
    assert RunDirectory(tmp_path).configuration().recurrence == "reference"
    run(compose("experiment=smoke", f"resume={tmp_path}", "trainer.max_steps=120"), tmp_path)
    assert "rounds in another way" not in capsys.readouterr().err  # auto: on with what ran last


@pytest.fixture
def begun_on_a_gpu(tmp_path, monkeypatch):
    """A directory whose run says so, on a machine without one."""
    keys = ["experiment=smoke", "optimizer.momentum=.9", "trainer.accelerator=cpu"]
    run(compose(*keys), tmp_path)
    file = tmp_path / "checkpoints" / "last.ckpt"
    content, _ = storage.read(file)
    content["config"]["recurrence"] = "triton"
    storage.write(file, content)
    saved = RunDirectory(tmp_path).configuration()
    saved.recurrence, saved.trainer.accelerator = "triton", "gpu"
    RunDirectory(tmp_path).write_configuration(saved)
    monkeypatch.setattr("src.recurrence.missing", lambda name: "no GPU here" if name.startswith("triton") else None)
    return tmp_path


def test_what_a_gpu_began_goes_on_without_one_if_that_is_asked(begun_on_a_gpu, tmp_path_factory, capsys):
    """The line says how; and then it is what it would have been, had the CPU begun it."""
    keys = ["experiment=smoke", "optimizer.momentum=.9", f"resume={begun_on_a_gpu}", "trainer.max_steps=80"]
    cfg = compose(*keys, "trainer.accelerator=auto")
    (problem,) = check(cfg)
    assert problem.startswith("recurrence=triton: no GPU here; with trainer.accelerator=cpu ")
    with pytest.raises(ConfigurationError, match=r"with trainer\.accelerator=cpu"):
        run(cfg, begun_on_a_gpu)  # as a job of a sweep, of which it is not known before
    cfg = compose(*keys, "trainer.accelerator=cpu")
    assert check(cfg) == []
    run(cfg, begun_on_a_gpu)
    assert "triton ran until here and rounds in another way" in capsys.readouterr().err
    whole = tmp_path_factory.mktemp("whole")
    run(compose(*keys[:2], "trainer.accelerator=cpu", "trainer.max_steps=80"), whole)
    tables = [RunDirectory(path).read_results().drop(columns="seconds") for path in (begun_on_a_gpu, whole)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_what_a_gpu_trained_is_evaluated_without_one(begun_on_a_gpu):
    evaluated(begun_on_a_gpu, ["task.length=10", "success.sequences=50"], begun_on_a_gpu)
    assert len(pd.read_csv(begun_on_a_gpu / "evaluation.csv")) == 5


def test_without_a_compiler_a_run_goes_on_with_the_reference(tmp_path, monkeypatch):
    run(compose("experiment=smoke", "recurrence=fused"), tmp_path)
    monkeypatch.setattr("src.recurrence.missing", {"fused": "there is no compiler", "reference": None}.get)
    (problem,) = check(compose("experiment=smoke", f"resume={tmp_path}", "trainer.max_steps=80"))
    assert problem.startswith("recurrence=fused: there is no compiler; with recurrence=reference ")


@pytest.mark.parametrize(
    ("name", "device", "fits"),
    [
        ("fused", "cpu", "fused"),
        ("fused", "cuda", "auto"),
        ("triton", "cpu", "auto"),
        ("triton_tf32", "cuda", "triton_tf32"),
        ("reference", "cuda", "reference"),
    ],
)
def test_a_recurrence_is_kept_where_it_is_made_for_the_device(name, device, fits):
    assert fitting(name, torch.device(device)) == fits
