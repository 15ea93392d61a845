"""Ω and its immediate derivative: against float64 NumPy, finite differences with d, δ, h frozen, and known faults."""

import numpy as np
import pytest
import torch

from src.directions import Direction, Factors, Omega, Tape
from src.directions.omega import omega
from src.network import Network
from src.recurrence import Pass, recur
from src.recurrence.inputs import project
from tasks.batch import collate
from tasks.data import TrainingData
from tests import numpy_reference as ref
from tests.conftest import compose, make_architecture, make_task
from tests.test_recurrence import KIND, R, numpy_run, setup

FORMS = ["squared", "plain"]


def learned(network, task, inputs, target, length, direction, alpha_R=None):
    """The gradient that a direction makes, by parameter, and the values of its terms."""
    network.zero_grad()
    tape = Tape(direction.terms({"alpha": alpha_R}))
    task.loss(network(inputs, length, [tape]), target).sum().backward()
    return {name: p.grad.clone() for name, p in network.named_parameters()}, tape.values


def gradient_of(*arguments):
    return learned(*arguments)[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cell_name", KIND)
def test_value_and_gradient_equal_numpy(cell_name, form):
    """∇(L + αΩ) on ragged batches, a different α for each replica; other parameters get the plain gradient."""
    _, task, network, inputs, target, length = setup(cell_name, "temporal_order", std=0.4)
    alpha_R = torch.tensor([0.5, 0.0, 4.0], dtype=torch.float64)
    grads, values = learned(network, task, inputs, target, length, Omega(form), alpha_R)
    for r in range(R):
        p, expected = numpy_run(network, task, cell_name, inputs, target, length, r)
        d, delta, v = expected["d"], expected["delta"], expected["v"]
        value = ref.omega_value(d, v, form) if alpha_R[r] else np.nan
        np.testing.assert_allclose(values["omega"][r], value, rtol=1e-9)
        wanted = expected["grads"] | {
            "W": expected["grads"]["W"] + float(alpha_R[r]) * ref.omega_gradient(p["W"], d, delta, v, form)
        }
        for name in grads:
            np.testing.assert_allclose(grads[name][r], wanted[name], rtol=1e-8, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cell_name", ["smart_tanh", "sigmoid", "lstm"])
def test_immediate_derivative_equals_finite_differences(cell_name, form):
    """Ω as a function of the W in v = δ Wᵀ alone, with d, δ and h as they were."""
    _, task, network, inputs, target, length = setup(cell_name, "temporal_order", hidden=4, std=0.7)
    plain = gradient_of(network, task, inputs, target, length, Direction())["W"]
    ones = torch.ones(R, dtype=torch.float64)
    both = gradient_of(network, task, inputs, target, length, Omega(form), ones)["W"]
    for r in range(R):
        p, e = numpy_run(network, task, cell_name, inputs, target, length, r)
        frozen = (e["d"], e["delta"], e["v"], form)
        numeric = ref.finite_differences(lambda W, frozen=frozen: ref.omega_of_W(W, *frozen), p["W"])
        np.testing.assert_allclose(both[r] - plain[r], numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_pairs_below_the_bound_do_not_count(form):
    """Exactly at ‖d‖² = 1e-20 they do; where none does, Ω and κ are 0; zeros and infinities poison nothing."""
    d2 = torch.tensor([[[1.0, 0.0], [1e-20, 0.99e-20]], [[0.0, 1e-21], [0.0, 0.0]]], dtype=torch.float64)
    v2 = torch.tensor([[[4.0, 9.0], [0.0, float("inf")]], [[0.0, 1.0], [5.0, 0.0]]], dtype=torch.float64)
    value, kappa = omega(d2, v2, form)
    if form == "squared":  # (4 - 1)², (0 - 1)²; N = 2
        expected, first, last = (9 + 1) / 2, 4 * 3 / 2, 4 * -1 / (2 * 1e-20)
    else:  # (2 - 1)², (0 - 1)²; B = 2
        expected, first, last = (1 + 1) / 2, 2 * 1 / (2 * 2), 0.0
    assert value.tolist() == pytest.approx([expected, 0.0])
    assert kappa[0].flatten().tolist() == pytest.approx([first, 0.0, last, 0.0])
    assert not kappa[1].any()


def test_a_batch_with_no_pair_has_the_plain_gradient():
    """Pcode divides 0 by 0 there."""
    _, task, network, inputs, target, length = setup("sigmoid", "temporal_order")
    with torch.no_grad():
        network.W_out.zero_()  # nothing flows back
    alpha_R = torch.full((R,), 4.0, dtype=torch.float64)
    with_omega, values = learned(network, task, inputs, target, length, Omega(), alpha_R)
    plain = gradient_of(network, task, inputs, target, length, Direction())
    assert values["omega"].tolist() == [0.0] * R
    assert all(torch.equal(with_omega[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("cell_name", "shares"),
    [
        ("smart_tanh", {50: 1.0, 100: 1.0, 200: 1.0, 500: 0.59}),
        ("basic_tanh", {50: 0.96, 100: 0.53, 200: 0.27, 500: 0.11}),
        ("sigmoid", {50: 0.10, 100: 0.05, 200: 0.025, 500: 0.01}),
    ],
)
def test_share_of_pairs_that_count_at_the_start(cell_name, shares):
    """Shares that an independent implementation gave: temporal order, float32. A direct d_t would give 1/T for all."""
    architecture, seeds = make_architecture(cell_name), range(5)
    for length, share in shares.items():
        task = make_task(length=length)
        network, data = Network.start(architecture, task, seeds), TrainingData(task)
        batch, tape = collate([data(seed, 0) for seed in seeds]), Tape(keep=True)
        _, state = recur(Pass(architecture.cell, batch.inputs, network.weights()), tape)
        task.loss(network.readout(state[0]), batch.target).sum().backward()
        measured = (tape.factors.d2_RTB >= 1e-20).float().mean()
        assert float(measured) == pytest.approx(share, rel=0.2, abs=0.006), f"length {length}"


def test_stacking_the_states_sees_only_the_direct_part():
    """The first silent zero: d by autograd of torch.stack(hs) is non-zero at one step of T; ours at all."""
    _, task, network, inputs, target, _ = setup("basic_tanh", "temporal_order", max_length=None, std=0.4)
    T = inputs.shape[1]
    h, steps = torch.zeros(5, 7, dtype=torch.float64), []
    z = project(inputs, network.weights())[0].detach()
    for t in range(T):
        h = torch.tanh(z[t] + h @ network.W[0])
        steps.append(h)
    stacked = torch.stack(steps)
    loss = torch.nn.functional.cross_entropy(stacked[-1] @ network.W_out[0] + network.b_out[0], target[0])
    faulty = torch.autograd.grad(loss, stacked)[0]
    assert int((faulty.abs().sum((1, 2)) > 0).sum()) == 1
    _, expected = numpy_run(network, task, "basic_tanh", inputs, target, torch.full((R,), T), 0)
    assert int((np.abs(expected["d"]).sum((1, 2)) > 0).sum()) == T
    tape = Tape(keep=True)
    _, state = recur(Pass(network.architecture.cell, inputs, network.weights()), tape)
    task.loss(network.readout(state[0]), target).sum().backward()
    np.testing.assert_allclose(tape.factors.d_RTBH[0], expected["d"], rtol=1e-9)
    # what a port with this fault computes: no pair but the last, and Ω misses all it is for
    direct = (faulty**2).sum(-1)
    assert int((direct >= 1e-20).sum()) == 5


def test_a_fused_rnn_sees_only_the_direct_part():
    """The second: the gradient with respect to the output of nn.RNN."""
    own = torch.nn.RNN(3, 4)
    output, _ = own(torch.randn(6, 2, 3))
    faulty = torch.autograd.grad(output[-1].square().sum(), output)[0]
    assert int((faulty.abs().sum((1, 2)) > 0).sum()) == 1


@pytest.mark.parametrize("form", FORMS)
def test_both_faults_are_caught(monkeypatch, form):
    """With d as either fault would have it, zero but for its direct part, the tests above fail."""

    made = Factors.__init__

    def faulty(factors, *arguments, **keys):
        made(factors, *arguments, **keys)
        step = torch.arange(factors.d2_RTB.shape[1])[:, None]
        last = (step * (factors.d2_RTB > 0)).amax(1, keepdim=True)  # of each sequence
        for name in ("d2_RTB", "v2_RTB"):
            setattr(factors, name, torch.where(step == last, getattr(factors, name), 0.0))

    monkeypatch.setattr(Factors, "__init__", faulty)  # whichever recurrence makes them
    with pytest.raises(AssertionError):
        test_value_and_gradient_equal_numpy("basic_tanh", form)
    with pytest.raises(AssertionError):
        test_immediate_derivative_equals_finite_differences("smart_tanh", form)
    with pytest.raises(AssertionError):
        test_share_of_pairs_that_count_at_the_start("smart_tanh", {50: 1.0})


def test_two_values_of_alpha_give_two_runs(tmp_path):
    """In one public port's logs, runs with α = 2 and α = 8 are identical. And α = 0 is MSGD-C, bit for bit."""
    from src.run import run

    def weights(*overrides):
        cfg = compose("experiment=smoke", "replicas=2", *overrides)
        return run(cfg, tmp_path / "-".join(overrides)).parameters()["W"]

    two, eight = (weights("optimizer=msgd_cr", f"optimizer.alpha={alpha}") for alpha in (2, 8))
    assert not torch.equal(two, eight)
    zero, clipped = weights("optimizer=msgd_cr", "optimizer.alpha=0"), weights("optimizer=msgd_c")
    assert torch.equal(zero, clipped)
    mixed = gradient_of(*_mixed(), Omega(), torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64))["W"]
    plain = gradient_of(*_mixed(), Direction())["W"]
    assert torch.equal(mixed[:2], plain[:2]) and not torch.equal(mixed[2], plain[2])


def _mixed():
    _, task, network, inputs, target, length = setup("smart_tanh", "temporal_order", std=0.4)
    return network, task, inputs, target, length
