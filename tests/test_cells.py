"""How cells start."""

import numpy as np
import pytest
import torch

from src.cells import Identity, Orthogonal
from src.linalg import orthogonal, spectral_radius
from tasks.draws import Stream, generator
from tests.conftest import CELLS, make_cell


def start(name, seed=0, hidden=50, inputs=6, outputs=4, **keys):
    return make_cell(name, hidden, **keys).start(inputs, outputs, generator(seed, Stream.START, 0))


def drawn_by(own):
    """What a start draws for 50 units."""
    return own(6, 50, 4, generator(0, Stream.START, 0))


def radius(W):
    return np.abs(np.linalg.eigvals(W.astype(np.float64))).max()


@pytest.mark.parametrize("name", CELLS)
def test_shapes_types_and_independence(name):
    gates = make_cell(name).gates
    one, again, other = start(name), start(name), start(name, seed=1)
    assert [p.shape for p in one] == [(6, 50 * gates), (50, 50 * gates), (50 * gates,), (50, 4), (4,)]
    assert all(p.dtype == np.float32 for p in one)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one.W_in, other.W_in)
    assert np.array_equal(one.W, other.W) == (name == "irnn")


@pytest.mark.parametrize(("name", "std"), [("sigmoid", 0.01), ("basic_tanh", 0.1)])
def test_dense_starts(name, std):
    """N(0, std), a standard deviation: mean and deviation over many entries, and normal tails."""
    draws = [start(name, seed) for seed in range(40)]
    for part in ("W", "W_in", "W_out"):
        entries = np.concatenate([getattr(d, part).ravel() for d in draws]) / std
        assert abs(entries.mean()) < 5 / np.sqrt(entries.size)
        assert abs(entries.std() - 1) < 5 / np.sqrt(2 * entries.size)
        assert np.mean(np.abs(entries) > 1.96) == pytest.approx(0.05, abs=5 * np.sqrt(0.05 / entries.size))
    assert not any(d.b.any() or d.b_out.any() for d in draws)


@pytest.mark.parametrize("side", ["outgoing", "incoming"])
def test_smart_tanh(side):
    for seed in range(5):
        p = start("smart_tanh", seed, side=side)
        nonzero = (p.W != 0).sum(1 if side == "outgoing" else 0)
        assert (nonzero == 15).all()
        assert radius(p.W) == pytest.approx(0.95, abs=1e-5)
        assert p.W_in.std() == pytest.approx(0.01, rel=0.2) and not p.b.any()
    other = (p.W != 0).sum(0 if side == "outgoing" else 1)
    assert other.min() < 15 < other.max()
    assert (start("smart_tanh", hidden=10).W != 0).all()  # fewer units than connections


@pytest.mark.parametrize("rho", [0.8, 1.0, 1.2])
def test_spectral(rho):
    p = start("spectral", spectral_radius=rho)
    assert radius(p.W) == pytest.approx(rho, abs=1e-5)
    assert p.W_in.std() == pytest.approx(0.1, rel=0.2)
    assert start("spectral", std=0.5).W_in.std() == pytest.approx(0.5, rel=0.2)


def test_irnn():
    p = start("irnn")
    assert np.array_equal(p.W, np.eye(50, dtype=np.float32)) and not p.b.any() and not p.b_out.any()
    assert p.W_in.std() == pytest.approx(0.001, rel=0.2) and p.W_out.std() == pytest.approx(0.001, rel=0.2)
    scaled = drawn_by(Identity(std=0.5, scale=0.25))
    assert np.array_equal(scaled.W, np.eye(50) / 4) and scaled.W_in.std() == pytest.approx(0.5, rel=0.2)
    assert make_cell("irnn").activation == "relu"


@pytest.mark.parametrize("gain", [1.0, 1.3])
def test_orthogonal(gain):
    p = drawn_by(Orthogonal(gain=gain))
    W = p.W.astype(np.float64)
    np.testing.assert_allclose(W @ W.T, gain**2 * np.eye(50), atol=1e-6)
    assert p.W_in.std() == pytest.approx(0.1, rel=0.2) and not p.b.any()


def test_orthogonal_matrices_are_uniform():
    """The trace of a uniform one has mean 0 and variance 1; LAPACK's own signs would make its mean negative."""
    draws = np.random.default_rng(0)
    traces = [float(orthogonal(torch.from_numpy(draws.normal(size=(6, 6)))).trace()) for _ in range(2000)]
    assert abs(np.mean(traces)) < 5 / np.sqrt(2000)
    assert np.var(traces) == pytest.approx(1, rel=5 * np.sqrt(2 / 2000))


def test_an_orthogonal_matrix_does_not_depend_on_threads():
    normal = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 200)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = orthogonal(normal)
        torch.set_num_threads(2)
        assert torch.equal(orthogonal(normal), alone)
    finally:
        torch.set_num_threads(before)


def test_lstm_starts_as_torch_does():
    """Same distributions: bounds, and the deviation of a sum of two uniform biases."""
    draws = [start("lstm", seed) for seed in range(20)]
    own, bound = torch.nn.LSTM(6, 50), 50**-0.5
    for part, theirs in (("W", own.weight_hh_l0), ("W_in", own.weight_ih_l0)):
        entries = np.concatenate([getattr(d, part).ravel() for d in draws])
        assert 0.99 * bound < np.abs(entries).max() <= bound >= float(theirs.detach().abs().max())
        assert entries.std() == pytest.approx(float(theirs.detach().std()), rel=0.1)
    b = np.concatenate([d.b for d in draws])
    assert b.std() == pytest.approx(bound * np.sqrt(2 / 3), rel=0.05) and np.abs(b).max() > bound
    biased = start("lstm", forget_bias=1.5).b.reshape(4, 50)
    assert (biased[1] == 1.5).all() and np.array_equal(biased[[0, 2, 3]], draws[0].b.reshape(4, 50)[[0, 2, 3]])


def test_spectral_radius_by_hand():
    assert spectral_radius(torch.tensor([[0.0, 2.0], [-2.0, 0.0]])) == pytest.approx(2.0)
    assert np.isnan(spectral_radius(torch.tensor([[float("inf"), 0.0], [0.0, 1.0]])))
