"""The explaining figures: what they draw, against closed forms, simulation and finite differences."""

import sys

import numpy as np
import pytest

from src.figures import __main__ as command_line
from src.figures import one_unit, starts
from tests import numpy_reference as ref


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


def test_all_figures_are_written(tmp_path, monkeypatch, capsys):
    table = tmp_path / "success_rate.csv"
    table.write_text(
        "task,cell,optimizer,length,replicas,rate,ci_low,ci_high,cell.spectral_radius\n"
        "temporal_order,spectral,msgd_c,10,3,1,0.4,1,1.2\ntemporal_order,spectral,msgd_c,20,3,0,0,0.6,0.9\n"
    )
    small = dict(
        command_line.FIGURES, gradients_at_the_start=lambda c: starts.gradients_at_the_start(c, length=12, seeds=2)
    )
    monkeypatch.setattr(command_line, "FIGURES", small)
    monkeypatch.setattr(sys, "argv", ["figures", "all", "--out", str(tmp_path), "--table", str(table)])
    command_line.main()
    assert len(capsys.readouterr().out.split()) == len(small)
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
