"""Several updates in one call are those that are made one after the other, to the last bit."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from src import recurrence
from src.directions import Omega
from src.network import Network
from src.population.stack import Stack
from src.run import build
from src.training.clipping import clip_stack
from src.training.update import Method, advance, update
from tasks.block import Block
from tasks.data import TrainingData
from tests.conftest import compose, fit, make_architecture, make_task

INF = float("inf")
SEEDS = [4, 5, 6]
PLAIN = {"lr": 0.01, "clip": INF, "alpha": 0.0}


def make_stack(cell, task, settings, replicas=3, momentum=0.0):
    network = Network.start(make_architecture(cell, 19), task, SEEDS[:replicas])
    values = {name: torch.tensor(value).expand(replicas).clone() for name, value in settings.items()}
    return Stack(network, values, Method(Omega(), clip_stack, momentum=momentum).make_optimizer)


def draw(task, count, lengths=(0, 0, 0)):
    """The mini-batches of so many updates, each replica's so many steps longer."""
    data = TrainingData(task)
    tasks = [task.at(task.length + more) if more else task for more in lengths]
    pieces = [data.pieces(seed, 0, count, own) for seed, own in zip(SEEDS, tasks, strict=False)]
    return Block.drawn(pieces, task.every_step)


def one_by_one(stack, batches, task, method):
    draws = [(seed, 0) for seed in SEEDS]
    return [update(stack, batch, task, method, stack.optimizer.step, draws) for batch in batches]


METHODS = {
    "msgd": PLAIN,
    "clipped": {"lr": [0.01, 0.1, 1.0], "clip": [1.0, INF, 1e-3], "alpha": 0.0},
    "omega": {"lr": 0.01, "clip": 1.0, "alpha": [4.0, 0.0, 0.5], "omega_is_plain": [0.0, 1.0, 1.0]},
}
TASKS = {
    "temporal_order": {"length": 23},
    "addition": {"length": 15, "max_length": 18},
    "copy": {"length": 8},
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("cell", "threads"), [("smart_tanh", 1), ("sigmoid", 2), ("lstm", 5)])
def test_one_call_is_all_of_them(as_before, cell, method, task, threads):
    """Losses, norms and Ω too, and of replicas whose sequences are of different lengths."""
    task = make_task(task, **TASKS[task])
    recurrence.use(recurrence.FUSED, threads)
    batches = draw(task, 7, (0, 9, 4) if task.name == "temporal_order" else (0, 0, 0))
    how = Method(Omega(), clip_stack)
    expected, found = (make_stack(cell, task, METHODS[method]) for _ in range(2))
    wanted = one_by_one(expected, batches, task, how)
    made = advance(found, batches, task, how)
    assert len(made) == 7
    assert torch.equal(found.theta_AP, expected.theta_AP)
    for n, theirs in enumerate(wanted):
        assert made.metrics.keys() == theirs.metrics.keys()
        for name, value_NA in made.metrics.items():
            assert torch.equal(value_NA[n].nan_to_num(7), theirs.metrics[name].nan_to_num(7)), name


@pytest.mark.parametrize(("cell", "saturating"), [("smart_tanh", 100.0), ("lstm", -100.0)])
def test_updates_of_which_some_gradients_vanish(as_before, cell, saturating):
    """All of an update's pairs count, then not those of one sequence, then all again; in one call and one by one. Both
    forms of Ω, and none, side by side."""
    task = make_task("temporal_order", length=23, batch_size=40)
    recurrence.use(recurrence.FUSED, 3)
    batches = draw(task, 6)
    settings = METHODS["omega"] | {"lr": 0.0}
    expected, found = (make_stack(cell, task, settings) for _ in range(2))
    for stack in (expected, found):
        stack.network.W_in.data[:, 0] = saturating  # slopes are 0 then, and an LSTM's gates are shut
    for n, batch in enumerate(batches):
        batch.inputs.clamp_(min=1)
        if n in (2, 3):
            batch.inputs[:, -1, 7 * n] = 0
    how = Method(Omega(), clip_stack)
    wanted = one_by_one(expected, batches, task, how)
    made = advance(found, batches, task, how)
    assert len(made) == 6
    for n, theirs in enumerate(wanted):
        for name in ("omega", "grad_norm"):
            assert torch.equal(made.metrics[name][n].nan_to_num(7), theirs.metrics[name].nan_to_num(7))
    assert torch.equal(found.grad_AP, expected.grad_AP)
    assert found.grad_AP.isfinite().all() and len(set(made.metrics["omega"][:, 0].tolist())) == 6


@pytest.mark.parametrize("begun", [0, 2])
def test_momentum_is_that_of_torch(as_before, begun):
    """v is the optimizer's own, whoever made the updates before, and is put back with the parameters."""
    task = make_task("temporal_order", length=23)
    recurrence.use(recurrence.FUSED, 2)
    how = Method(Omega(), clip_stack, momentum=0.9)
    batches = draw(task, 9)
    expected, found = (make_stack("smart_tanh", task, METHODS["omega"], momentum=0.9) for _ in range(2))
    one_by_one(expected, batches, task, how)
    one_by_one(found, batches[:begun], task, how)
    assert len(advance(found, batches[begun:7], task, how)) == 7 - begun
    one_by_one(found, batches[7:], task, how)
    assert torch.equal(found.theta_AP, expected.theta_AP)
    assert torch.equal(found.state["momentum_buffer"], expected.state["momentum_buffer"])


def test_momentum_is_put_back_too(as_before):
    task = make_task("addition", length=12)
    recurrence.use(recurrence.FUSED, 2)
    how = Method(Omega(), clip_stack, momentum=0.9)
    batches = draw(task, 6)
    batches[4].target[1] = INF
    expected, found = (make_stack("smart_tanh", task, PLAIN, momentum=0.9) for _ in range(2))
    one_by_one(expected, batches[:4], task, how)
    assert len(advance(found, batches, task, how)) == 4
    assert torch.equal(found.theta_AP, expected.theta_AP)
    assert torch.equal(found.state["momentum_buffer"], expected.state["momentum_buffer"])


def test_a_replica_does_not_notice_its_neighbours(as_before):
    """Alone, and on more threads than there are replicas."""
    task = make_task("temporal_order", length=23)
    how = Method(Omega(), clip_stack)
    settings = {"lr": 0.01, "clip": 1.0, "alpha": 4.0}
    recurrence.use(recurrence.FUSED, 2)
    together, alone = make_stack("lstm", task, settings), make_stack("lstm", task, settings, replicas=1)
    advance(together, draw(task, 9), task, how)
    recurrence.use(recurrence.FUSED, 5)
    advance(alone, draw(task, 9).select([0]), task, how)
    assert torch.equal(alone.theta_AP[0], together.theta_AP[0])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("at", [0, 4, 8])
def test_it_stops_before_a_gradient_that_is_of_no_use(as_before, at, threads):
    """All replicas do: those that had gone on are put back."""
    task = make_task("addition", length=12)
    recurrence.use(recurrence.FUSED, threads)
    batches = draw(task, 9)
    batches[at].target[1] = INF
    how = Method(Omega(), clip_stack)
    expected, found = (make_stack("smart_tanh", task, PLAIN) for _ in range(2))
    one_by_one(expected, batches[:at], task, how)
    assert len(advance(found, batches, task, how)) == at
    assert torch.equal(found.theta_AP, expected.theta_AP)


def test_it_stops_before_parameters_that_are_no_numbers(as_before):
    recurrence.use(recurrence.FUSED, 2)
    task = make_task("temporal_order", length=12)
    stack = make_stack("smart_tanh", task, PLAIN)
    stack.theta_AP[1, -1] = math.nan
    before = stack.theta_AP.clone()
    assert len(advance(stack, draw(task, 3), task, Method(Omega(), clip_stack))) == 0
    assert torch.equal(stack.theta_AP.nan_to_num(7), before.nan_to_num(7))


@pytest.mark.parametrize(
    "keys",
    [
        ["optimizer=msgd", "optimizer.lr=3e38", "cell.std=3", "replicas=4"],
        ["optimizer=msgd_c", "optimizer.lr=3e4", "cell=irnn", "replicas=4"],
        ["optimizer=msgd_cr", "success.max_error=0.72", "replicas=6"],
        ["optimizer=msgd_cr", "success.max_error=0.72", "replicas=6", "optimizer.momentum=.9"],
        [
            "optimizer=msgd_cr",
            "curriculum=grow",
            "curriculum.first=10",
            "task.length=14",
            "success.max_error=0.7",
            "curriculum.patience=1",
            "optimizer.momentum=.5",
        ],
    ],
    ids=["diverge", "are shrunk", "solve it", "with momentum", "grow"],
)
def test_a_run_is_the_same_update_by_update(tmp_path, keys):
    """Whoever wants to see each step makes the updates come one by one."""
    seen = []

    class Watching(pl.Callback):
        def on_before_optimizer_step(self, trainer, module, *_):
            seen.append(module.population.step)

    cfg = compose("experiment=smoke", "cell.hidden_size=9", *keys)
    once, watched = build(cfg), build(cfg)
    fit(once, cfg, tmp_path / "a")
    fit(watched, cfg, tmp_path / "b", Watching())
    assert len(seen) >= watched.module.population.updates.max() > 0
    a, b = once.module.population, watched.module.population
    assert a.status == b.status and a.updates.tolist() == b.updates.tolist()
    for name, value in a.parameters().items():
        assert torch.equal(value.nan_to_num(7), b.parameters()[name].nan_to_num(7)), name
    for name, values in a.last.items():
        if name == "seconds":
            continue
        np.testing.assert_array_equal(values, b.last[name])


class Annealed(Omega):
    """Ω whose weight falls: it wants to be asked in each update."""

    def terms(self, settings):
        return super().terms(settings | {"alpha": settings["alpha"] / 2})


class Mixed(Omega):
    """A direction that has something else made of all products."""

    def combination(self, settings, draws):
        return None


def hooked(optimizer):
    optimizer.register_step_post_hook(lambda *_: None)


def warm(optimizer):
    optimizer.param_groups[0]["lr"] = 0.5


@pytest.mark.parametrize("direction", [Omega, Annealed, Mixed])
@pytest.mark.parametrize("change", [None, hooked, warm])
def test_what_somebody_has_changed_is_made_one_by_one(as_before, direction, change):
    task = make_task("temporal_order", length=12)
    stack = make_stack("smart_tanh", task, PLAIN | {"alpha": 1.0})
    if change:
        change(stack.optimizer)
    made = advance(stack, draw(task, 2), task, Method(direction(), clip_stack))
    assert len(made) == (2 if direction is Omega and not change else 0)


def test_a_hook_that_is_no_method_is_heard(tmp_path):
    seen = []
    cfg = compose("experiment=smoke", "cell.hidden_size=9", "replicas=2")
    listening = pl.callbacks.LambdaCallback(on_before_optimizer_step=lambda *_: seen.append(1))
    fit(build(cfg), cfg, tmp_path, listening)
    assert len(seen) == 40


def test_numbers_of_another_precision_are_as_good(as_before):
    """torch's default changes what tensors are made of, and settings with them."""
    task = make_task("temporal_order", length=12)
    expected = make_stack("smart_tanh", task, PLAIN | {"clip": 0.1})
    assert len(advance(expected, draw(task, 3), task, Method(Omega(), clip_stack))) == 3
    found = make_stack("smart_tanh", task, PLAIN | {"clip": 0.1})
    found.settings = {name: value.double() for name, value in found.settings.items()}
    torch.set_default_dtype(torch.float64)
    try:
        made = advance(found, draw(task, 3), task, Method(Omega(), clip_stack))
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(made) == 3 and torch.equal(found.theta_AP, expected.theta_AP)


def test_norms_are_norms(as_before):
    """Against float64, of any number of parameters, wherever a row begins."""
    recurrence.use(recurrence.FUSED, 1)
    draws = np.random.default_rng(0)
    for P in (1, 15, 16, 17, 64, 65, 3000):
        grad_RP = torch.from_numpy(draws.normal(size=(3, P)).astype(np.float32))
        expected = np.linalg.norm(grad_RP.double().numpy(), axis=1)
        np.testing.assert_allclose(recurrence.norms(grad_RP).numpy(), expected, rtol=1e-6)
    assert recurrence.norms(torch.tensor([[1.0, INF], [math.nan, 1.0]])).isfinite().tolist() == [False, False]


def test_a_symbol_that_there_is_not_is_refused(as_before):
    recurrence.use(recurrence.FUSED, 2)
    task = make_task("temporal_order", length=12)
    batches = draw(task, 3)
    batches[2].inputs[1, 3, 0] = 99
    stack = make_stack("smart_tanh", task, PLAIN)
    before = stack.theta_AP.clone()
    with pytest.raises(IndexError, match="symbol"):
        advance(stack, batches, task, Method(Omega(), clip_stack))
    assert torch.equal(stack.theta_AP, before)


@pytest.mark.parametrize(
    "settings", [{"half_life": 10.0}, {"alpha_decay": 0.1}, {"l1": 0.1}, {"l2": 0.1}], ids=lambda each: next(iter(each))
)
def test_the_rest_is_made_one_by_one(as_before, settings):
    """Rates that fall, and penalties."""
    task = make_task("temporal_order", length=12)
    stack = make_stack("smart_tanh", task, PLAIN | settings)
    assert len(advance(stack, draw(task, 2), task, Method(Omega(), clip_stack))) == 0


def test_mini_batches_with_gaps(as_before):
    """Numbers of an update that do not lie one after the other are put so before they are read."""
    task = make_task("temporal_order", length=23)
    recurrence.use(recurrence.FUSED, 1)
    block = draw(task, 5)
    apart = Block(block.inputs.mT.contiguous().mT, block.target, block.length, block.lengths, block.every_step)
    assert not apart.inputs[0].is_contiguous()
    how = Method(Omega(), clip_stack)
    whole, found = (make_stack("smart_tanh", task, METHODS["omega"]) for _ in range(2))
    assert len(advance(whole, block, task, how)) == len(advance(found, apart, task, how)) == 5
    assert torch.equal(whole.theta_AP, found.theta_AP)
