"""Several regularisers at once: a term of one's own beside Ω."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from src import recurrence
from src.directions import Direction, Omega, Simplex, Together
from src.network import Network
from src.recurrence import FUSED, REFERENCE, cpu
from tasks.batch import Batch, collate
from tasks.data import TrainingData
from tests.conftest import make_architecture, make_task

pytestmark = pytest.mark.usefixtures("as_before")
RECURRENCES = [pytest.param(FUSED, marks=pytest.mark.skipif(not cpu.available(), reason="no compiler")), REFERENCE]
R = 4
ALPHA = [2.0, 0.0, 3.0, 0.0]
SIZE = [0.5, 0.7, 0.0, 0.0]


@dataclass
class SizeTerm:
    """Σ ‖v‖² / B beside the loss."""

    weight_R: torch.Tensor

    def __call__(self, factors):
        B = factors.v2_RTB.shape[2]
        value_R = factors.v2_RTB.sum(2).sum(1) / B
        coefficient_RTB = (2 / B * self.weight_R)[:, None, None].expand(factors.v2_RTB.shape)
        return torch.where(self.weight_R == 0, torch.nan, value_R), coefficient_RTB


class Size(Direction):
    """The gradient of L + size Σ ‖v‖² / B."""

    settings = {"size": 0.0}  # noqa: RUF012
    metrics = ("size",)

    def terms(self, settings):
        return {"size": SizeTerm(settings["size"])} if bool(settings["size"].any()) else {}


def setup(name, cell, layers):
    """Networks away from their start, and a ragged batch; in double precision where that runs."""
    recurrence.use(name)
    dtype = torch.float32 if name == FUSED else torch.float64
    task = make_task("addition", length=10, max_length=14, batch_size=5)
    network = Network.start(make_architecture(cell, 7, layers=layers), task, range(R)).to(dtype)
    draws = torch.Generator().manual_seed(1)
    for p in network.parameters():
        p.data = 0.4 * torch.randn(p.shape, generator=draws, dtype=torch.float64).to(dtype)
    data = TrainingData(task)
    batch = collate([data(seed, 3) for seed in range(R)])
    assert len(set(batch.length.tolist())) > 1
    assert recurrence.backend_of(network.architecture.cell, network.W).name == name
    settings = {"alpha": torch.tensor(ALPHA, dtype=dtype), "size": torch.tensor(SIZE, dtype=dtype)}
    return network, task, Batch(batch.inputs.to(dtype), batch.target.to(dtype), batch.length), settings


def learned(network, task, batch, settings, direction):
    for p in network.parameters():
        p.grad = torch.full_like(p, float("nan"))
    metrics = network.learn(batch, task, direction, settings)
    return {name: p.grad.clone() for name, p in network.named_parameters()}, metrics


@pytest.mark.parametrize("name", RECURRENCES)
@pytest.mark.parametrize(("cell", "layers"), [("basic_tanh", 1), ("lstm", 1), ("basic_tanh", 2)])
@pytest.mark.parametrize("turned", [False, True])
def test_two_regularisers_add_up(name, cell, layers, turned):
    """Gradients: the two apart less the plain one. Values: those of each. Where a weight is 0, NaN and nothing."""
    made = setup(name, cell, layers)
    plain, _ = learned(*made, Direction())
    one, of_omega = learned(*made, Omega())
    two, of_size = learned(*made, Size())
    parts = [Size(), Omega()] if turned else [Omega(), Size()]
    both, of_both = learned(*made, Together(parts))
    close = {"rtol": 1e-9, "atol": 1e-12} if name == REFERENCE else {"rtol": 1e-4, "atol": 2e-6}
    for parameter, mine in both.items():
        torch.testing.assert_close(mine, one[parameter] + two[parameter] - plain[parameter], msg=parameter, **close)
        for r, (alpha, size) in enumerate(zip(ALPHA, SIZE, strict=True)):
            if not alpha:
                torch.testing.assert_close(mine[r], two[parameter][r], **close)
            if not size:
                torch.testing.assert_close(mine[r], one[parameter][r], **close)
            if name == REFERENCE and not (alpha or size):
                assert torch.equal(mine[r], plain[parameter][r])
    moved = [(both["W"][r] - plain["W"][r]).abs().max() > 1e-4 for r in range(R)]
    assert moved == [True, True, True, False]
    torch.testing.assert_close(of_both["omega"], of_omega["omega"], equal_nan=True, rtol=1e-5, atol=0)
    torch.testing.assert_close(of_both["size"], of_size["size"], equal_nan=True, rtol=1e-5, atol=0)
    assert of_both["omega"].isnan().tolist() == [weight == 0 for weight in ALPHA]
    assert of_both["size"].isnan().tolist() == [weight == 0 for weight in SIZE]
    torch.testing.assert_close(of_both["loss"], of_omega["loss"])


@pytest.mark.parametrize("name", RECURRENCES)
def test_a_regulariser_that_nobody_wants_costs_nothing(name):
    """All weights of one are 0: bit for bit the other alone, and no value; all of both: the plain gradient."""
    network, task, batch, settings = setup(name, "basic_tanh", 1)
    together, nothing = Together([Omega(), Size()]), torch.zeros(R).to(network.W)
    alone, _ = learned(network, task, batch, settings, Omega())
    mine, metrics = learned(network, task, batch, settings | {"size": nothing}, together)
    assert all(torch.equal(mine[n], alone[n]) for n in alone) and set(metrics) == {"loss", "omega"}
    plain, _ = learned(network, task, batch, settings, Direction())
    mine, metrics = learned(network, task, batch, {"size": nothing, "alpha": nothing}, together)
    assert all(torch.equal(mine[n], plain[n]) for n in plain) and set(metrics) == {"loss"}


def test_what_together_asks_for_and_refuses():
    together = Together([Omega("plain"), Size()])
    assert together.settings == {"alpha": 0.0, "omega_is_plain": 1.0, "size": 0.0} and together.metrics == (
        "omega",
        "size",
    )
    assert together.combination({}, []) is None
    assert Direction.settings == {} and Omega.metrics == ("omega",)  # theirs as before
    with pytest.raises(ValueError, match="name of its own"):
        Together([Omega(), Omega("plain")])
    with pytest.raises(ValueError, match="Simplex is no regulariser"):
        Together([Omega(), Simplex()])


def test_the_term_is_the_derivative_of_its_value():
    """Finite differences of Σ ‖δ Wᵀ‖² / B in W, with δ as it was."""
    network, task, batch, settings = setup(REFERENCE, "basic_tanh", 1)
    plain, _ = learned(network, task, batch, settings, Direction())
    mine, metrics = learned(network, task, batch, settings, Size())
    (tape,) = network.tapes(keep=True)
    network.backward(batch, task, [tape])
    delta, W = tape.factors.delta_RTBG[1].detach().numpy(), network.W[1].detach().numpy()

    def value(W_HH):
        return ((delta @ W_HH.T) ** 2).sum() / 5

    assert float(metrics["size"][1]) == pytest.approx(value(W))
    for i, j in ((0, 0), (2, 5), (6, 1)):
        step = np.zeros((7, 7))
        step[i, j] = 1e-5
        slope = (value(W + step) - value(W - step)) / 2e-5
        assert float((mine["W"] - plain["W"])[1, i, j]) == pytest.approx(SIZE[1] * slope, rel=1e-6, abs=1e-10)
