"""What the diagnostics measure, against autograd and closed forms; and that looking changes nothing."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from src import recurrence
from src.directions import Omega
from src.network import Network
from src.population import checkpoint
from src.results.run_plots import temporal_gradients
from src.run import run
from src.training.measure import jacobians, measure
from tasks.batch import collate
from tasks.data import TrainingData
from tests.conftest import CELLS, WITHOUT_OMEGA, compose, make_architecture, make_cell, make_task

SMALL = [
    "experiment=smoke",
    "replicas=3",
    "trainer.max_steps=20",
    "success.check_every=5",
    "callbacks.diagnostics.every=2",
]


def arrays_in(directory):
    """What diagnostics.npz holds."""
    with np.load(directory / "diagnostics.npz") as found:
        return dict(found)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_jacobians_are_autograds_and_below_the_bound(activation):
    """∂a_T/∂a_k of a whole trajectory, sequence by sequence."""
    T, S, H = 9, 3, 6
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(H, H, generator=generator, dtype=torch.float64) * 0.5
    z_TSH = torch.randn(T, S, H, generator=generator, dtype=torch.float64)
    f = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}[activation]
    cell = make_cell("spectral", H, activation=activation)

    def onwards(a_SH, k):
        for t in range(k + 1, T):
            a_SH = z_TSH[t] + f(a_SH) @ W
        return a_SH

    a_TSH = [z_TSH[0]]
    for t in range(1, T):
        a_TSH.append(z_TSH[t] + f(a_TSH[-1]) @ W)
    slope = torch.stack([cell.slope(0, f(a)) for a in a_TSH[:-1]])
    mine = jacobians(W, slope)
    mu = np.linalg.norm(W.numpy(), 2)
    for k in range(T):
        whole = torch.autograd.functional.jacobian(lambda a, k=k: onwards(a, k), a_TSH[k])
        each = [np.linalg.norm(whole[s, :, s].numpy(), 2) for s in range(S)]
        np.testing.assert_allclose(mine[k], np.mean(each), rtol=1e-10)
        assert max(each) <= (cell.steepest(0) * mu) ** (T - 1 - k) * (1 + 1e-12)


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("name", ["fused", "reference"])
def test_a_measurement_of_a_ragged_batch(name):
    """Ω is the method's own; what is beyond a replica's length is NaN; the bound holds; the sum over parameters is the
    whole."""
    recurrence.use(name)
    task, architecture = make_task(length=12, max_length=20), make_architecture("spectral", 20)
    network, data = Network.start(architecture, task, range(3)), TrainingData(task)
    batch = collate([data(seed, 1) for seed in range(3)])
    assert len(set(batch.length.tolist())) > 1
    found = measure(network, task, batch, sequences=4)
    learned = network.learn(batch, task, Omega(), {"alpha": torch.ones(3)})
    np.testing.assert_allclose(found["omega"], learned["omega"], rtol=1e-4)
    np.testing.assert_allclose(found["spectral_radius"], 1.2, rtol=1e-5)
    for r, length in enumerate(batch.length.tolist()):
        for part in ("temporal_gradient", "jacobian", "bound"):
            assert np.isfinite(found[part][r, :length]).all() and np.isnan(found[part][r, length:]).all()
        assert (found["jacobian"][r, :length] <= found["bound"][r, :length] * (1 + 1e-9)).all()
        np.testing.assert_allclose(
            found["singular_value"][r], np.linalg.norm(network.W[r].detach().double().numpy(), 2)
        )
    parts = [value for part, value in found.items() if part.startswith("temporal_gradient.")]
    assert len(parts) == 5
    np.testing.assert_allclose(np.sqrt(sum(part**2 for part in parts)), found["temporal_gradient"], rtol=1e-6)


def test_saturated_units_are_counted():
    """All of them where W_in is huge, none where everything is small."""
    task, architecture = make_task(length=12), make_architecture("spectral", 20)
    batch = collate([TrainingData(task)(0, 0)])
    for scale, share in ((1e4, 1.0), (1e-3, 0.0)):
        network = Network.start(architecture, task, range(1))
        network.W_in.data = network.W_in.data.sign() * scale
        assert measure(network, task, batch, 1)["saturated"][0] == share


@pytest.mark.parametrize("task", ["temporal_order", "memorization_5bit"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_measured(cell, task, tmp_path):
    """At the start, every second check and at the end; of all replicas."""
    method = "msgd_c" if cell in WITHOUT_OMEGA else "msgd_cr"
    run(compose(*SMALL, f"cell={cell}", f"task={task}", "task.length=12", f"optimizer={method}"), tmp_path)
    found = arrays_in(tmp_path)
    assert found["updates"].tolist() == [[n] * 3 for n in (0, 10, 20)]
    assert found["temporal_gradient"].shape[:2] == (3, 3) and np.isfinite(found["temporal_gradient"]).all()
    simple = cell not in ("lstm", "dense_lstm", "gru")
    assert np.isfinite(found["jacobian"]).all() == np.isfinite(found["saturated"]).all() == simple
    assert np.isfinite(found["omega"]).all() == (cell != "gru")


def test_looking_changes_nothing(tmp_path):
    ends = {}
    for every in (1, "null"):
        cfg = compose(*SMALL, "optimizer=simplex", f"callbacks.diagnostics.every={every}", "task.max_length=24")
        ends[every] = run(cfg, tmp_path / str(every)).parameters()
    assert all(torch.equal(p, ends["null"][name]) for name, p in ends[1].items())
    assert not (tmp_path / "null" / "diagnostics.npz").exists()
    lengths = arrays_in(tmp_path / "1")["length"]
    assert len(lengths) == 5 and len(np.unique(lengths)) > 1


@pytest.mark.parametrize("stop", [5, 7, 10])
def test_a_resumed_run_goes_on_with_its_measurements(tmp_path, stop):
    run(compose(*SMALL), tmp_path / "whole")
    run(compose(*SMALL, f"trainer.max_steps={stop}"), tmp_path / "half")
    assert arrays_in(tmp_path / "half")["updates"][:, 0].tolist() == [0, stop]
    run(compose(*SMALL, f"resume={tmp_path / 'half'}"), tmp_path / "rest")
    whole, rest = (arrays_in(tmp_path / name) for name in ("whole", "rest"))
    assert {*whole} == {*rest}
    for name in whole:
        np.testing.assert_array_equal(whole[name], rest[name], err_msg=name)
    radii = [pd.read_csv(tmp_path / name / "results.csv")["spectral_radius"] for name in ("whole", "rest")]
    pd.testing.assert_series_equal(*radii)


def test_measurements_beyond_the_checkpoint_are_made_anew(tmp_path):
    """A run killed after a measurement and before the checkpoint of the same update."""
    run(compose(*SMALL), tmp_path / "whole")
    run(compose(*SMALL, "trainer.max_steps=10"), tmp_path / "killed")
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    assert checkpoint.read(last).outcomes["updates"] == [10] * 3
    os.replace(last.with_name("previous.ckpt"), last)  # of five updates
    run(compose(*SMALL, f"resume={tmp_path / 'killed'}"), tmp_path / "killed")
    whole, rest = (arrays_in(tmp_path / name) for name in ("whole", "killed"))
    for name in whole:
        np.testing.assert_array_equal(whole[name], rest[name], err_msg=name)


def test_figures_go_to_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cfg = compose(*SMALL)
    cfg.logger = compose("logger=tensorboard").logger
    cfg.logger.save_dir = str(tmp_path)
    run(cfg, tmp_path)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    assert "diag/temporal_gradient" in events.Tags()["images"]
    assert {"diag/singular_value", "diag/saturated", "diag/omega", "diag/spectral_radius"} <= {
        *events.Tags()["scalars"]
    }
    assert [image.step for image in events.Images("diag/temporal_gradient")] == [0, 10, 20]


def test_a_bound_of_hundreds_of_decades_hides_no_gradient():
    """1e307, as the bound is after 600 steps of a trained network, is beyond what an axis may show."""
    t = np.arange(600)
    found = {"temporal_gradient": np.ones((2, 600)), "jacobian": np.full((2, 600), [[2.0], [3.0]])}
    found["bound"] = np.stack([10.0 ** (307 - 0.5 * t), np.full(600, 5.0)])
    figure = temporal_gradients(found, [0, 1])
    figure.draw_without_rendering()
    low, high = figure.axes[1].get_ylim()
    assert 1 < low < 2 and 3 < high < 4
    assert len(figure.axes[1].lines) == 4


def test_who_left_is_measured_no_more(tmp_path):
    """Their last numbers stay, and they are those of their last parameters."""
    population = run(compose(*SMALL, "replicas=8", "success.max_error=0.72"), tmp_path)  # some pass by chance
    found = arrays_in(tmp_path)
    gone = [r for r, status in enumerate(population.status) if status == "solved"]
    assert 0 < len(gone) < 8, population.status
    last = found["updates"][-1]
    assert last.tolist() == population.updates.tolist()
    for r in gone:
        rows = np.flatnonzero(found["updates"][:, r] == last[r])
        assert (found["temporal_gradient"][rows, r] == found["temporal_gradient"][rows[0], r]).all()
        norm = np.linalg.norm(population.parameters()["W"][r].double().numpy(), 2)
        np.testing.assert_allclose(found["singular_value"][-1, r], norm, rtol=1e-6)


def test_wide_networks_hold_nothing_up(tmp_path, capsys):
    """Fewer sequences, then none, then no singular values; everything else is measured, and it is said."""
    keys = ["experiment=smoke", "replicas=2", "trainer.max_steps=2", "success.sequences=10", "task.length=20"]
    for units, seconds, line in (
        (30, 1, None),
        (30, 0.003, "Jacobians of 1 instead of 4 sequences (callbacks.diagnostics.seconds=1 makes them all)"),
        (500, 0.5, "Jacobians of 0 instead of 4 sequences (callbacks.diagnostics.seconds=4 makes them all)"),
        (500, 0.1, "Jacobians of 0 instead of 4 sequences, no singular values ("),
    ):
        where = tmp_path / f"{units} {seconds}"
        run(compose(*keys, f"cell.hidden_size={units}", f"callbacks.diagnostics.seconds={seconds}"), where)
        err = capsys.readouterr().err
        assert line in err if line else "diagnostics:" not in err
        found = arrays_in(where)
        jacobians = line is None or "of 1" in line
        assert np.isfinite(found["jacobian"][0, 0]).any() == jacobians
        assert np.isfinite(found["singular_value"]).all() == (line is None or "singular" not in line)
        assert np.isfinite(found["omega"]).all() and np.isfinite(found["temporal_gradient"][0, 0]).any()


def test_no_number_depends_on_how_many_are_measured_at_a_time(tmp_path, monkeypatch):
    keys = ["experiment=smoke", "trainer.max_steps=20", "task.length=10", "task.max_length=15"]
    run(compose(*keys), tmp_path / "together")
    monkeypatch.setattr("src.callbacks.diagnostics.KEPT", 1)
    run(compose(*keys), tmp_path / "alone")
    together, alone = (arrays_in(tmp_path / name) for name in ("together", "alone"))
    for name in together:
        np.testing.assert_array_equal(together[name], alone[name])
