"""L1 and L2, a falling α, and parameters that are not learned."""

import numpy as np
import pandas as pd
import pytest
import torch

from src.directions import Omega
from src.network import Network, build_architecture
from src.population import Stack
from src.run import run
from src.trained import load_population, load_replica
from src.training.clipping import clip_stack
from src.training.penalty import EVERY_WEIGHT, RECURRENT, penalise
from src.training.update import Method, update, weighted
from tasks.batch import collate
from tests.conftest import compose, make_architecture, make_task

NONE = {"lr": 0.1, "clip": float("inf"), "alpha": 0.0}


def make_stack(architecture, R=3, **settings):
    """R replicas of few units, with these numbers of the method."""
    network = Network.start(architecture, make_task("temporal_order", length=10), range(R))
    values = {name: torch.as_tensor(value, dtype=torch.float32).expand(R) for name, value in settings.items()}
    return Stack(network, values, lambda parameters: torch.optim.SGD(parameters, lr=1.0))


def penalty(theta, names, l1, l2):
    """By the definition, float64."""
    return sum(l1 * np.abs(theta[name]).sum() + l2 * (theta[name] ** 2).sum() for name in names)


@pytest.mark.parametrize(
    ("penalised", "names"), [(RECURRENT, ("W", "W_2")), (EVERY_WEIGHT, ("W", "W_2", "W_in", "W_in_2", "W_out"))]
)
def test_the_gradient_of_a_penalty_is_its_finite_difference(penalised, names):
    """Of each replica's own, beside whatever gradient there is; biases and rows without a penalty stay."""
    l1, l2 = [0.3, 0.0, 0.0], [0.0, 0.7, 0.0]
    stack = make_stack(make_architecture("basic_tanh", 5, layers=2), l1=l1, l2=l2)
    stack.theta_AP[2] = float("inf")  # has no penalty: nothing may be made of it
    stack.grad_AP.fill_(0.5)
    penalise(stack, penalised)
    assert stack.grad_AP[2].eq(0.5).all()
    gradients = {name: p.grad.numpy() for name, p in stack.network.named_parameters()}
    assert {name for name, grad in gradients.items() if (grad != 0.5).any()} == set(names)
    for r in (0, 1):
        theta = {name: p.detach()[r].double().numpy() for name, p in stack.network.named_parameters()}
        for name in names:
            for index in ((0, 1), (3, 2)):
                value = theta[name][index]
                ends = []
                for step in (1e-6, -1e-6):
                    theta[name][index] = value + step
                    ends.append(penalty(theta, names, l1[r], l2[r]))
                theta[name][index] = value
                slope = (ends[0] - ends[1]) / 2e-6
                assert gradients[name][(r, *index)] - 0.5 == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_penalty_is_no_pull_where_a_weight_is_zero():
    stack = make_stack(make_architecture("smart_tanh", 20), l1=1.0)
    zero = stack.network.W.detach() == 0
    penalise(stack, RECURRENT)
    assert zero.any() and stack.network.W.grad[zero].eq(0).all() and stack.network.W.grad[~zero].abs().eq(1).all()


def test_an_update_minimises_loss_and_penalty_clipped_together():
    """The step is lr times the clipped gradient of both, by hand; the loss that is reported is the task's alone."""
    task = make_task("temporal_order", length=10)
    batch = collate([task.draw(10, 6, np.random.default_rng(r)) for r in range(3)])
    steps = {}
    for name, clip, l2 in (("plain", np.inf, 0.0), ("both", np.inf, 50.0), ("clipped", 0.5, 50.0)):
        stack = make_stack(make_architecture("basic_tanh", 5), **NONE | {"clip": clip}, l2=l2)
        before = stack.theta_AP.clone()
        W = stack.network.W.detach().clone()
        found = update(
            stack, batch, task, Method(Omega(), clip_stack), stack.optimizer.step, [(r, 0) for r in range(3)]
        )
        steps[name] = (before - stack.theta_AP) / 0.1, found.metrics["loss"], found.metrics["grad_norm"]
    both = steps["both"][0]
    names = [name for name, _ in stack.network.named_parameters()]
    pulled = dict(zip(names, stack.split(both - steps["plain"][0]), strict=True))
    torch.testing.assert_close(pulled["W"], 100 * W, rtol=1e-4, atol=1e-3)
    assert pulled["W_out"].abs().max() < 1e-5
    norm = both.norm(dim=1, keepdim=True)
    torch.testing.assert_close(steps["clipped"][0], 0.5 * both / norm, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(steps["clipped"][2], norm[:, 0])
    assert torch.equal(steps["both"][1], steps["plain"][1])


def test_a_falling_alpha_by_a_script():
    """α / (1 + decay t), t the updates of each replica itself, float64; without a decay nothing is asked."""
    alpha, decay, updates = [4.0, 2.0, 4.0], [0.5, 1e-3, 0.0], [0, 3, 10_000_019]
    settings = {"alpha": torch.tensor(alpha), "alpha_decay": torch.tensor(decay), "lr": torch.ones(3)}
    found = weighted(settings, [(9, n) for n in updates])
    wanted = [np.float32(a / (1 + float(np.float32(d)) * n)) for a, d, n in zip(alpha, decay, updates, strict=True)]
    assert found["alpha"].tolist() == wanted and found["lr"] is settings["lr"]
    assert settings["alpha"].tolist() == alpha
    constant = {"alpha": torch.tensor(alpha)}
    assert weighted(constant, []) is constant


def test_the_first_updates_with_a_falling_alpha(tmp_path):
    """The first update has the whole α, the second α / (1 + decay), whole or cut into parts."""
    task = make_task("memorization_5bit", length=4)
    batch = collate([task.draw(4, 6, np.random.default_rng(r)) for r in range(2)])
    for borders in (None, [[0, 8, 14]] * 2):
        ends = {}
        for name, alpha, decay in (("falling", 4.0, 3.0), ("by hand", 1.0, 0.0)):
            network = Network.start(make_architecture("basic_tanh", 5), task, range(2))
            values = {"lr": 0.1, "clip": 1.0, "alpha": alpha, "alpha_decay": decay}
            settings = {key: torch.full((2,), value) for key, value in values.items()}
            stack = Stack(network, settings, lambda parameters: torch.optim.SGD(parameters, lr=1.0))
            method = Method(Omega(), clip_stack)
            update(stack, batch, task, method, stack.optimizer.step, [(0, 1), (1, 1)], borders=borders)
            ends[name] = stack.theta_AP
        assert torch.equal(ends["falling"], ends["by hand"])
        assert not torch.equal(stack.theta_AP, torch.zeros_like(stack.theta_AP))


# -- echo states -------------------------------------------------------------------------------------------------------

ECHO = ["experiment=smoke", "cell=echo_state", "replicas=3", "callbacks.diagnostics.every=1"]


@pytest.mark.parametrize(
    "keys",
    [
        ["optimizer=msgd_c", "optimizer.clip=.01"],
        ["optimizer=msgd", "optimizer.lr=1"],
        ["optimizer=adam", "+optimizer.step.weight_decay=.5", "cell.layers=2"],
        ["optimizer=msgd_c", "optimizer.l2=.1", "optimizer.penalised=all", "cell=lstm", "+cell.learned=readout"],
    ],
)
def test_what_is_not_learned_stays_bit_for_bit(keys, tmp_path):
    """Through clipping, decay, a checkpoint and going on; the readout moves."""
    cfg = compose(*ECHO, *keys, "trainer.max_steps=20")
    architecture, task = build_architecture(cfg.cell), make_task()
    run(cfg, tmp_path)
    run(compose(*ECHO, *keys, f"resume={tmp_path}"), tmp_path)
    start = Network.start(architecture, task, range(3))
    trained = load_population(tmp_path).network
    for name, p in start.named_parameters():
        moved = trained.get_parameter(name) != p
        assert moved.any() if name in ("W_out", "b_out") else not moved.any(), name
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["step"].max() == 40
    if "cell.layers=2" not in keys and "cell=lstm" not in keys:
        rnn, _ = load_replica(tmp_path, seed=1)
        assert torch.equal(rnn.weight_hh_l0, start.W[1].T)


def test_the_norm_is_of_what_is_learned():
    """Clipping sees the readout's gradient alone; a shrink of W after an unusable gradient changes nothing."""
    task = make_task("temporal_order", length=10)
    batch = collate([task.draw(10, 6, np.random.default_rng(0))])
    architecture = make_architecture("echo_state", 5)
    stack = make_stack(architecture, 1, **NONE)
    found = update(stack, batch, task, Method(Omega(), clip_stack), stack.optimizer.step, [(0, 0)])
    moved = stack.network
    readout = torch.cat([moved.W_out.grad.flatten(), moved.b_out.grad.flatten()]) / 0.1
    assert found.metrics["grad_norm"].item() == pytest.approx(readout.norm().item(), rel=1e-5)
    stack = make_stack(architecture, 1, **NONE | {"clip": 1.0})
    before = stack.theta_AP.clone()

    def spoil(*arguments):
        stack.grad_AP.fill_(float("inf"))
        return {"loss": torch.zeros(1)}

    stack.network.learn = spoil
    update(stack, batch, task, Method(Omega(), clip_stack), stack.optimizer.step, [(0, 0)])
    assert torch.equal(stack.theta_AP, before)
