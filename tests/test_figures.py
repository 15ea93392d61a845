"""The explaining figures: what they draw, against closed forms, simulation and finite differences."""

import sys
from types import SimpleNamespace

import hydra
import numpy as np
import pandas as pd
import pytest

from src.figures import __main__ as command_line
from src.figures import after_training, leaving, one_unit, pairs, price, reach, rivals, sequence, starts, training
from src.intervals import wilson
from src.network import Network, build_architecture
from src.training.measure import measure
from tasks.batch import collate
from tasks.data import TrainingData
from tasks.temporal_order import temporal_order
from tests import numpy_reference as ref
from tests.conftest import ROOT, compose

SMALL = ["cell.hidden_size=20", "task.batch_size=4", "success.sequences=50", "threads=1"]
"""Overrides that make a run take less than a second."""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Six updates of two replicas with MSGD-C and with MSGD-CR."""
    runs = tmp_path_factory.mktemp("runs")
    after_training.train_both(runs, 20, 6, 2, *SMALL)
    return runs


def test_turning_points_are_where_the_end_changes():
    """-2.656 and -2.344 for w = 5 (SCIENCE.md), and where two starts end apart from each other, and nowhere else."""
    low, high = one_unit.turning_points(5.0)
    assert (round(low, 3), round(high, 3)) == (-2.656, -2.344)
    for w in (4.5, 5.0, 7.0):
        low, high = one_unit.turning_points(w)
        b = np.array([low - 0.01, low + 0.001, (low + high) / 2, high - 0.001, high + 0.01])
        ends = [one_unit.asymptote(w, b, start) for start in (-8.0, 8.0)]
        assert (np.abs(ends[0] - ends[1]) > 0.1).tolist() == [False, True, True, True, False]
        for end in ends:
            np.testing.assert_allclose(end, w * one_unit.logistic(end) + b, rtol=1e-9)
    with pytest.raises(ValueError, match="above 4"):
        one_unit.turning_points(4.0)


@pytest.mark.parametrize("at", [(5.0, -2.0), (4.2, -2.1), (0.9, 0.3), (6.0, -3.3), (4.69, -2.4)])
def test_the_surfaces_gradient_equals_finite_differences(at):
    _, by_w, by_b = one_unit.surface(*at)
    numeric = ref.finite_differences(lambda p: float(one_unit.surface(p[0], p[1])[0]), np.array(at), 1e-7)
    np.testing.assert_allclose([by_w, by_b], numeric, rtol=1e-4, atol=1e-8)


def test_the_surface_is_the_formula():
    x = 0.5
    for _ in range(50):
        x = 4.7 / (1 + np.exp(-x)) - 2.4
    assert float(one_unit.surface(4.7, -2.4)[0]) == pytest.approx((1 / (1 + np.exp(-x)) - 0.7) ** 2)


def test_clipping_keeps_a_descent_near_the_wall():
    """Plain descent is thrown off; no clipped step is longer than learning rate times threshold, and it gets down."""
    plain, clipped = (one_unit.descend((5.0, -2.4), 0.1, clip, 300) for clip in (np.inf, 1.0))
    steps = [np.linalg.norm(np.diff(path, axis=0), axis=1).max() for path in (plain, clipped)]
    assert steps[0] > 1 and steps[1] <= 0.1 + 1e-12
    ends = [float(one_unit.surface(*path[-1])[0]) for path in (plain, clipped)]
    assert ends[1] < 1e-3 < ends[0]


def test_gradients_vanish_where_the_radius_is_small():
    """ρ = .8 loses orders of magnitude over 60 steps, and far more than ρ = 1.2."""
    found = {radius: np.median(starts.at_the_start(radius, 60, 3)["temporal_gradient"], 0) for radius in (0.8, 1.2)}
    assert found[0.8][0] < 1e-3 * found[0.8][-1]
    assert found[0.8][0] / found[0.8][-1] < 0.01 * found[1.2][0] / found[1.2][-1]


@pytest.mark.parametrize("seed", range(12))
def test_the_drawn_sequence_has_the_class_of_its_symbols(seed):
    """A, B at the steps of the two windows, counted from 1, nowhere else; classes as v0 + 2 v1 of A = 0, B = 1."""
    symbols, answer = sequence.draw_sequence(50, seed)
    assert len(symbols) == 50 and set(symbols) <= set("ABcdef")
    (p0, first), (p1, second) = [(step, s) for step, s in enumerate(symbols, start=1) if s in "AB"]
    assert p0 in range(6, 11) and p1 in range(26, 31)
    assert {"AA": 0, "BA": 1, "AB": 2, "BB": 3}[first + second] == answer
    assert sequence.CLASSES[answer] == first + second


@pytest.mark.parametrize("length", [10, 33, 50, 100])
def test_the_windows_are_where_relevant_symbols_come(length):
    """Every step of the windows, and no other, holds A or B in one of 2000 sequences."""
    symbols_TB, _ = temporal_order(length, 2000, np.random.default_rng(0))
    found = np.flatnonzero((symbols_TB < 2).any(1)) + 1
    expected = [step for first, last in sequence.windows(length) for step in range(first, last + 1)]
    assert found.tolist() == expected


def test_gradients_after_training(both):
    """All replicas of both methods are at the same update; they start from the same gradients, and end with others."""
    for method in after_training.METHODS:
        results = pd.read_csv(both / method / "results.csv")
        assert results["updates"].tolist() == [6, 6] and results["seed"].tolist() == [0, 1]
    (start, clipped), (same, regularized) = (after_training.norms_by_step(both / m) for m in ("msgd_c", "msgd_cr"))
    for norms_RT in (start, clipped, regularized):
        assert norms_RT.shape == (2, 20) and (norms_RT > 0).all()
    np.testing.assert_array_equal(start, same)
    assert (clipped != start).all() and (clipped != regularized).all()
    cfg = compose("task.length=20", *SMALL)
    task = hydra.utils.instantiate(cfg.task)
    data = TrainingData(task)
    batch = collate([data(seed, 0) for seed in (0, 1)])
    found = measure(Network.start(build_architecture(cfg.cell), task, [0, 1]), task, batch, sequences=1)
    np.testing.assert_allclose(start, found["temporal_gradient"], rtol=1e-5)


def test_the_ratio_is_of_the_first_step_to_the_last():
    assert after_training.ratio(np.array([[1.0, 5.0, 4.0], [6.0, 0.0, 2.0]])).tolist() == [0.25, 3.0]


def test_who_still_learns_and_what_it_takes():
    """Two replicas leave after 1000 and 3000 updates of the third's 4000."""
    results = pd.DataFrame({"updates": [1000, 4000, 3000]})
    steps = np.array([1000, 2000, 3000, 4000])
    assert leaving.learning(results, steps).tolist() == [3, 2, 2, 1]
    history = pd.DataFrame({"step": [500, 500, 1000, 3000], "seconds": [2.0, 2.0, 3.0, 5.0]})
    assert leaving.seconds_per_1000(history).to_dict() == {500: 4.0, 1000: 2.0, 3000: 1.0}


def test_a_figure_of_an_interrupted_run_is_not_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "run", lambda cfg, directory: SimpleNamespace(interrupt=2))
    with pytest.raises(SystemExit) as stopped:
        training.train(tmp_path)
    assert stopped.value.code == 130


def test_all_figures_are_written(tmp_path, monkeypatch, capsys, both):
    table = tmp_path / "success_rate.csv"
    table.write_text(
        "task,cell,optimizer,length,replicas,rate,ci_low,ci_high,cell.spectral_radius\n"
        "temporal_order,spectral,msgd_c,10,3,1,0.4,1,1.2\ntemporal_order,spectral,msgd_c,20,3,0,0,0.6,0.9\n"
        "temporal_order,spectral,msgd_c,20,3,0,0,0.6,\n"
    )

    def small_population(command):
        easy = ["success.max_error=0.9", "trainer.max_steps=12", "task.length=20", *SMALL]
        leaving.train_population(tmp_path / "run", 2, 3, *easy)
        assert pd.read_csv(tmp_path / "run" / "results.csv")["solved"].all()
        return leaving.draw_leaving(command, tmp_path / "run", 3)

    small = command_line.FIGURES | {
        "gradients_at_the_start": lambda c: starts.gradients_at_the_start(c, length=12, seeds=2),
        "gradients_after_training": lambda c: after_training.draw_after_training(c, both, 20, 6),
        "replicas_leaving": small_population,
        "price_losses": lambda c: price.price_losses(c, length=300),
    }
    monkeypatch.setattr(command_line, "FIGURES", small)
    monkeypatch.setattr(sys, "argv", ["figures", "all", "--out", str(tmp_path), "--table", str(table)])
    command_line.main()
    written = [line for line in capsys.readouterr().out.splitlines() if line.endswith(".png")]
    assert written == [str(tmp_path / f"{name}.png") for name in small]
    for name in small:
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    twice, without = tmp_path / "twice.csv", tmp_path / "without.csv"
    twice.write_text("length,rate,cell.spectral_radius\n10,1,1.2\n10,0,1.2\n")
    without.write_text("length,rate\n10,1\n")
    wrong = {tmp_path / "none.csv": "no such file", twice: "more differs", without: "no column cell.spectral_radius"}
    for bad, words in wrong.items():
        monkeypatch.setattr(sys, "argv", ["figures", "success_by_radius", "--table", str(bad)])
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        assert stopped.value.code == 2 and words in capsys.readouterr().err


def test_the_share_that_passed_a_length():
    """Of four: one has passed 60, one 50 within the budget and 60 later, two nothing."""
    rows = [(0, 50, 10), (0, 60, 30), (1, 50, 40), (1, 60, 90), (2, None, None), (3, None, None)]
    passed = pd.DataFrame(rows, columns=["seed", "length", "updates"]).assign(replicas=4)
    shares = reach.passed_shares(passed, 40, [50, 60])
    assert shares["length"].tolist() == [50, 60] and shares["rate"].tolist() == [0.5, 0.25]
    assert (shares.loc[1, ["ci_low", "ci_high"]].tolist()) == list(wilson(1, 4))


def test_pairs_end_at_the_median_of_each_run():
    """The last point of each line, where both runs have ended."""
    panels = pairs.reach_settings("").axes
    assert len(panels) == len(pairs.PAIRS) == 8
    for panel, pair in zip(panels, pairs.PAIRS, strict=True):
        end = panel.get_xlim()[1] * 1000
        lines = [line for line in panel.get_lines() if not line.get_label().startswith("_")]
        for line, way in zip(lines, (pair.first, pair.second), strict=True):
            table = pd.read_csv(ROOT / "results" / way.folder / "passed.csv")
            own = table[(table["run"] == way.run) & (table["updates"] <= end)]
            assert own["seed"].nunique() == 10
            assert line.get_ydata()[-1] == own.groupby("seed")["length"].max().median()


def test_clocks_shows_every_network_once_as_it_was_last():
    """Two of the four runs were looked at twice."""
    panels = reach.clocks("").axes
    assert len(panels) == 3
    for panel in panels:
        assert [len(line.get_xdata()) for line in panel.get_lines()] == [10, 10, 10, 10]
    _, light, heavy, _ = panels[0].get_lines()
    assert max(light.get_xdata()) == 4044 and max(heavy.get_xdata()) == 4002


def test_who_has_solved_the_task_against_seconds():
    """The last share of each line is that of results/rivals_seconds, and lines are told apart by a hair."""
    rows = rivals.seconds_rows()
    rates = rows.groupby("setting")["solved"].mean()
    panel = rivals.rivals("").axes[1]
    last = {line.get_label(): line.get_ydata()[-1] for line in panel.get_lines()}
    assert len(last) == len(rates) == 10
    for setting, name in (rivals.NAMES | rivals.OTHERS).items():
        assert last[name] == pytest.approx(rates[setting], abs=0.03)
