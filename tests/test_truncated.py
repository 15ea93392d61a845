"""Truncated backpropagation through time of fresh sequences: tasks against a plain loop that detaches the state."""

import numpy as np
import pytest
import torch

from src import recurrence
from src.config import check
from src.directions import Direction, Omega, Simplex
from src.network import Network
from src.population.stack import Stack
from src.recurrence import FUSED, REFERENCE
from src.run import run
from src.training.update import learn_in_parts
from tasks.batch import collate
from tasks.data import TrainingData
from tests.conftest import compose, make_architecture, make_task

pytestmark = pytest.mark.usefixtures("as_before")

R, STEPS = 3, 7
TASKS = {
    "temporal_order": {"length": 20, "max_length": 30},
    "temporal_order_3bit": {"length": 20},
    "addition": {"length": 22, "stretch": 0.5},
    "multiplication": {"length": 22},
    "permutation": {"length": 20, "predict": "every"},
    "memorization_5bit": {"length": 10, "max_length": 14},
}
PLAIN = torch.optim.SGD


def make(name: str, cell: str = "smart_tanh"):
    """A task, a stack of R replicas, and a mini-batch."""
    task = make_task(name, **{"batch_size": 5, **TASKS[name]})
    network = Network.start(make_architecture(cell, 11), task, range(R))
    settings = {"alpha": torch.full((R,), 2.0), "psi": torch.full((R,), torch.inf), "tiny": torch.full((R,), 1e-25)}
    stack = Stack(network, settings, lambda parameters: PLAIN(parameters, lr=1.0))
    data = TrainingData(task)
    return task, stack, collate([data(seed, 3) for seed in range(R)])


def cuts(task, batch) -> list[list[int]]:
    """Borders of parts of STEPS steps: from the first step on or, with one target, back from the last."""
    found = []
    for length in batch.length.tolist():
        borders = [*range(0, length, STEPS), length]
        found.append(borders if task.every_step else [length - border for border in reversed(borders)])
    return found


def by_a_plain_loop(task, stack, batch, r: int, borders: list[int]):
    """The gradients and the loss of one replica, step by step, the state detached at each border."""
    p = {name: x[r].detach().clone().requires_grad_() for name, x in stack.network.named_parameters()}
    length = int(batch.length[r])
    h = torch.zeros(batch.inputs.shape[2], len(p["W"]))
    outputs = []
    for t in range(length):
        if t in borders:
            h = h.detach()
        x = batch.inputs[r, t]
        drive = x @ p["W_in"] if x.is_floating_point() else p["W_in"][x.long()]
        h = torch.tanh(drive + p["b"] + h @ p["W"])
        outputs.append(h @ p["W_out"] + p["b_out"])
    if task.every_step:
        loss = task.loss(torch.stack(outputs)[None], batch.target[r : r + 1, :length])
    else:
        loss = task.loss(outputs[-1][None], batch.target[r : r + 1])
    loss.sum().backward()
    return {name: x.grad for name, x in p.items()}, loss.item()


@pytest.mark.parametrize("backend", [FUSED, REFERENCE])
@pytest.mark.parametrize("name", TASKS)
def test_the_gradient_stops_at_each_border(name, backend):
    recurrence.use(backend)
    task, stack, batch = make(name)
    borders = cuts(task, batch)
    metrics = learn_in_parts(stack, batch, task, Direction(), [(r, 3) for r in range(R)], borders)
    mine = {name: p.grad.clone() for name, p in stack.network.named_parameters()}
    stack.network.learn(batch, task, Direction(), stack.settings)
    whole = stack.network.W.grad
    for r in range(R):
        wanted, loss = by_a_plain_loop(task, stack, batch, r, borders[r])
        assert metrics["loss"][r].item() == pytest.approx(loss, rel=1e-5)
        for parameter, grad in wanted.items():
            torch.testing.assert_close(mine[parameter][r], grad, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(whole[r], mine["W"][r], rtol=1e-2)


@pytest.mark.parametrize("direction", [Omega(), Simplex()], ids=["omega", "simplex"])
def test_a_direction_is_made_of_the_last_part(direction):
    """With one target at the end; of it alone, begun with the state that the steps before left."""
    task, stack, batch = make("temporal_order")
    draws = [(r, 3) for r in range(R)]
    metrics = learn_in_parts(stack, batch, task, direction, draws, cuts(task, batch))
    mine = stack.grad_AP.clone()
    reference = make("temporal_order")[1]
    recurrence.use(REFERENCE)
    learn_in_parts(reference, batch, task, direction, draws, cuts(task, batch))
    torch.testing.assert_close(mine, reference.grad_AP, rtol=1e-3, atol=1e-5)
    learn_in_parts(reference, batch, task, Direction(), draws, cuts(task, batch))
    assert not torch.allclose(mine, reference.grad_AP, rtol=1e-2)
    assert all(value.isfinite().all() for value in metrics.values())


@pytest.mark.parametrize("task", ["temporal_order", "memorization_5bit"])
@pytest.mark.parametrize("cell", ["smart_tanh", "lstm", "gru"])
def test_neighbours_and_blocks_change_nothing(tmp_path, task, cell):
    """Replicas of different lengths, cut: each is what it is alone, bit for bit; and parts matter."""

    def end(name, *keys):
        own = [f"task={task}", f"cell={cell}", "task.length=10", "task.max_length=14", "trainer.max_steps=12"]
        cfg = compose("experiment=smoke", "optimizer=msgd_c", *own, *keys)
        return run(cfg, tmp_path / name).parameters()

    cut = "callbacks.truncated_bptt.steps=4"
    together = end("together", "replicas=3", "seed=5", cut)
    alone = end("alone", "replicas=1", "seed=6", "block=1", cut)
    whole = end("whole", "replicas=1", "seed=6")
    long = end("long", "replicas=1", "seed=6", "callbacks.truncated_bptt.steps=100")
    for name in alone:
        assert torch.equal(together[name][1], alone[name][0]), name
        assert torch.equal(whole[name], long[name]), name
    assert not torch.equal(whole["W"], alone["W"])


def test_several_parts_of_equal_size():
    """``parts`` of fresh sequences; stages and noise are refused."""
    parts = "callbacks.truncated_bptt.parts"
    assert check(compose(f"{parts}=[2]")) == []
    assert "stages need epochs" in check(compose(f"{parts}=[2,1]"))[0]
    assert "stages need epochs" in check(compose("callbacks.truncated_bptt.patience=3"))[0]
    assert "51 parts are more" in check(compose(f"{parts}=[51]"))[0]
    noisy = ["cell=dense_lstm", "optimizer=msgd_c", "cell.noise=0.1"]
    assert check(compose(*noisy)) == []
    assert "can have none" in check(compose(*noisy, f"{parts}=[2]"))[0]


def test_steps_between_two_borders():
    """Of each replica its own, with the targets where there is one at every step."""
    inputs = np.arange(12).reshape(6, 2)
    batch = collate([(inputs, inputs), (inputs[:4] + 100, inputs[:4] + 100)])
    part = batch.between(torch.tensor([2, 4]), torch.tensor([5, 4]), every_step=True)
    assert part.length.tolist() == [3, 0]
    assert part.inputs[0].tolist() == inputs[2:5].tolist() == part.target[0].tolist()
    last = batch.between(torch.tensor([0, 3]), torch.tensor([2, 4]), every_step=False)
    assert last.inputs[1, :1].tolist() == [[106, 107]] and last.target is batch.target
