"""Clipping per replica, and gradients that are not finite."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.run import build
from src.training.clipping import SHRINK, clip
from tests.conftest import compose

INF = float("inf")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(1e-3, 1e3, allow_subnormal=False), st.integers(-6, 6))
def test_properties(seed, rows, threshold, magnitude):
    rng = np.random.default_rng(seed)
    before = torch.tensor(rng.normal(size=(rows, 37)) * 10 ** (magnitude * rng.random((rows, 1))), dtype=torch.float32)
    theta = torch.full((rows,), threshold)
    once = before.clone()
    norm, clipped = clip(once, theta)
    exact = np.linalg.norm(before.double().numpy(), axis=1)
    np.testing.assert_allclose(norm, exact, rtol=1e-5)
    new = np.linalg.norm(once.double().numpy(), axis=1)
    assert (new <= threshold * (1 + 1e-6)).all()
    np.testing.assert_allclose(new[clipped.numpy()], threshold, rtol=1e-5)
    cosine = (before.double() * once.double()).sum(1).numpy() / (exact * new)
    np.testing.assert_allclose(cosine, 1, atol=1e-6)
    for r in range(rows):
        if not clipped[r]:
            assert torch.equal(once[r], before[r])
        alone = before[r : r + 1].clone()
        clip(alone, theta[:1])
        assert torch.equal(alone[0], once[r])  # nobody else's norm
    twice = once.clone()
    clip(twice, theta)
    torch.testing.assert_close(twice, once, rtol=2e-6, atol=0)


def test_thresholds_of_replicas_differ():
    grad = torch.ones(3, 4)
    norm, clipped = clip(grad, torch.tensor([1.0, 4.0, INF]))
    assert norm.tolist() == [2, 2, 2] and clipped.tolist() == [True, False, False]
    assert grad[0].tolist() == [0.5] * 4 and grad[1:].eq(1).all()


BAD = {"nan": float("nan"), "infinite": INF, "overflowing norm": 1e30, "above the limit": 2e10}


def prepared(optimizer, value):
    """The stack of three replicas with ordinary gradients but for one entry of the second's, and what clipping found
    there."""
    module = build(compose("experiment=smoke", "replicas=3", f"optimizer={optimizer}")).module
    module.configure_optimizers()
    stack = module.population.stack
    stack.grad_AP.fill_(1e-3)
    module.network.b.grad[1, 0] = value
    before = stack.theta_AP.clone()
    found = module.method.clipping(stack)
    assert torch.equal(before, stack.theta_AP)
    return stack, found


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_with_clipping_W_shrinks(value):
    stack, found = prepared("msgd_c", value)
    network = stack.network
    assert torch.equal(network.W.grad[1], SHRINK * network.W[1])
    for name, p in network.named_parameters():
        assert name == "W" or not p.grad[1].any()
        assert p.grad[0].eq(1e-3).all() and p.grad[2].eq(1e-3).all()
    assert found.diverged_A is None
    assert found.clipped_A.tolist() == [False, True, False]


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_without_clipping_it_is_divergence(value):
    stack, found = prepared("msgd", value)
    assert found.diverged_A.tolist() == [False, True, False]
    assert not stack.grad_AP[1].any() and stack.grad_AP[0].any()


@pytest.mark.parametrize("optimizer", ["msgd", "msgd_c"])
def test_parameters_that_are_not_finite_have_diverged(optimizer):
    """Even when the gradient looks well; a shrink does not mend a NaN."""
    module = build(compose("experiment=smoke", "replicas=2", f"optimizer={optimizer}")).module
    module.configure_optimizers()
    stack = module.population.stack
    stack.grad_AP.fill_(1e-3)
    module.network.W.data[0, 3, 4] = float("nan")
    assert module.method.clipping(stack).diverged_A.tolist() == [True, False]
