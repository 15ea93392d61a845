"""An update is a function: called by hand it gives what a Trainer gives. And the rows that it works on."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src.cells import Vanilla
from src.directions import Omega
from src.network import Architecture, Network
from src.population.stack import Rows, Stack
from src.run import run
from src.training.clipping import clip_stack
from src.training.update import Method, rates, update
from tasks.batch import collate
from tasks.data import TrainingData
from tests.conftest import compose, make_architecture, make_task

INF = float("inf")
ADAM = partial(torch.optim.Adam, lr=0.001, betas=(0.9, 0.999), eps=1e-8)
METHODS = {
    "msgd_cr": (Method(Omega(), clip_stack), {"lr": 0.01, "clip": 1.0, "alpha": 4.0}),
    "adam": (Method(Omega(), clip_stack, ADAM), {"lr": 0.001, "clip": INF, "alpha": 0.0}),
}


@pytest.mark.parametrize("recurrence", ["auto", "reference"])
@pytest.mark.parametrize("name", METHODS)
def test_updates_by_hand_are_those_of_a_trainer(tmp_path, name, recurrence):
    """Twenty of three replicas, without Lightning, bit for bit."""
    keys = ["task.length=12", "task.max_length=16", "trainer.max_steps=20", f"recurrence={recurrence}", "block=7"]
    population = run(compose("experiment=smoke", *keys, "replicas=3", "seed=4", f"optimizer={name}"), tmp_path)
    assert population.updates.tolist() == [20] * 3
    method, settings = METHODS[name]
    task, seeds = make_task(length=12, max_length=16), [4, 5, 6]
    network = Network.start(make_architecture("smart_tanh", 10), task, seeds)
    started = network.W.detach().clone()
    stack = Stack(network, {key: torch.full((3,), value) for key, value in settings.items()}, method.make_optimizer)
    data = TrainingData(task)
    for n in range(20):
        batch = collate([data(seed, n) for seed in seeds])
        found = update(stack, batch, task, method, stack.optimizer.step, [(seed, n) for seed in seeds])
        assert found.diverged_A is None
        assert ("omega" in found.metrics) == (name == "msgd_cr")
        assert {"loss", "grad_norm", "clipped"} <= set(found.metrics)
    mine, theirs = dict(network.named_parameters()), population.parameters()
    assert mine.keys() == theirs.keys() and not torch.equal(network.W, started)
    assert [parameter for parameter in mine if not torch.equal(mine[parameter], theirs[parameter])] == []


ORDERS = {
    "clipping last": lambda names: [name for name in names if name != "clipping"] + ["clipping"],
    "turned round": lambda names: names[::-1],
}
STAGED = ["task=price", "task.length=60", "task.batch_size=4", "task.window=5", "cell=lstm", "optimizer=adam"]
STAGED += ["optimizer.clip=0.5", "callbacks.truncated_bptt.parts=[6,2,1]", "callbacks.truncated_bptt.patience=2"]
STAGED += ["optimizer.lr=0.3", "trainer.max_epochs=15", "trainer.max_steps=10000"]


@pytest.mark.parametrize(
    "keys",
    [["replicas=8", "success.max_error=0.72"], ["optimizer=msgd", "optimizer.lr=3e38", "cell.std=3"], STAGED],
    ids=["some solve it", "some diverge", "in stages"],
)
def test_the_order_of_callbacks_changes_no_parameter(tmp_path, keys):
    """Of what they do around the updates, and of who leaves when."""
    cfg = compose("experiment=smoke", "replicas=3", "cell.hidden_size=9", *keys)
    names = [str(name) for name in cfg.callbacks]
    found = {}
    for order, arrange in {"as it is": lambda names: names, **ORDERS}.items():
        other = cfg.copy()
        arranged = arrange(names)
        other.callbacks = OmegaConf.create({name: cfg.callbacks[name] for name in arranged})
        assert list(other.callbacks) == arranged
        population = run(other, tmp_path / order)
        found[order] = (population.parameters(), population.updates.tolist())
    parameters, updates = found.pop("as it is")
    assert len(set(updates)) > 1 or keys[0] == "optimizer=msgd"
    for order, (theirs, theirs_updates) in found.items():
        assert theirs_updates == updates, order
        assert [name for name in parameters if not torch.equal(parameters[name], theirs[name])] == [], order


# -- rows --------------------------------------------------------------------------------------------------------------


def some_rows(rng, replicas, columns=11, memory=("mean",)):
    """Rows of these replicas, each with an activation of its own."""
    A = len(replicas)

    def drawn(*shape):
        return torch.from_numpy(rng.normal(size=shape)).float()

    names = [("tanh", "relu", "sigmoid")[replica % 3] for replica in replicas]
    architecture = Architecture(Vanilla("v", 3, activation=names))
    return Rows(
        list(replicas), drawn(A, columns), {name: drawn(A, columns) for name in memory}, {"lr": drawn(A)}, architecture
    )


@pytest.mark.parametrize("chosen", [[0], [3, 1], [4, 3, 2, 1, 0], []])
def test_taking_rows_is_indexing(rng, chosen):
    rows = some_rows(rng, [7, 2, 5, 0, 9])
    before = rows.theta_AP.clone()
    taken = rows.take(chosen)
    assert taken.replicas == [rows.replicas[row] for row in chosen]
    assert taken.architecture.cell.activation == [rows.architecture.cell.activation[row] for row in chosen]
    assert np.array_equal(taken.theta_AP, rows.theta_AP.numpy()[chosen])
    assert np.array_equal(taken.memory["mean"], rows.memory["mean"].numpy()[chosen])
    assert np.array_equal(taken.settings["lr"], rows.settings["lr"].numpy()[chosen])
    taken.theta_AP.zero_()
    assert torch.equal(rows.theta_AP, before)  # a copy


def test_putting_rows_is_assigning_them(rng):
    """By whose they are, in whatever order; memory that comes in new is 0 for those who had none."""
    rows, other = some_rows(rng, [7, 2, 5, 0, 9]), some_rows(rng, [0, 7, 5], memory=("mean", "square"))
    theta, mean, lr = rows.theta_AP.numpy().copy(), rows.memory["mean"].numpy().copy(), rows.settings["lr"].clone()
    square = np.zeros_like(theta)
    for row, replica in enumerate(other.replicas):
        at = rows.replicas.index(replica)
        theta[at], mean[at] = other.theta_AP[row].numpy(), other.memory["mean"][row].numpy()
        square[at] = other.memory["square"][row].numpy()
    rows.put(other)
    assert rows.replicas == [7, 2, 5, 0, 9]
    assert np.array_equal(rows.theta_AP, theta) and np.array_equal(rows.memory["mean"], mean)
    assert np.array_equal(rows.memory["square"], square) and torch.equal(rows.settings["lr"], lr)


def test_putting_back_what_was_taken_changes_nothing(rng):
    rows = some_rows(rng, [7, 2, 5, 0, 9])
    before = rows.theta_AP.clone(), rows.memory["mean"].clone()
    rows.put(rows.take([4, 0, 2]))
    assert torch.equal(rows.theta_AP, before[0]) and torch.equal(rows.memory["mean"], before[1])


def test_a_learning_rate_halves_by_each_replicas_own_updates():
    settings = {"lr": torch.tensor([0.5, 0.5, 0.25]), "half_life": torch.tensor([10.0, 10.0, math.inf])}
    found_A = rates(settings, [(0, 0), (1, 20), (2, 1000)])
    assert found_A.tolist() == [0.5, 0.125, 0.25]
    assert rates({"lr": settings["lr"]}, []) is settings["lr"]
