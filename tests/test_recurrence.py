"""The reference recurrence and the network around it: float64 NumPy, finite differences, torch's own cells."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from src.cells import Weights
from src.directions import Omega, Tape
from src.network import Network
from src.recurrence import Pass, recur, reference
from tasks.batch import Batch, collate
from tasks.data import TrainingData
from tests import numpy_reference as ref
from tests.conftest import make_architecture, make_cell, make_task

KIND = {"sigmoid": "sigmoid", "basic_tanh": "tanh", "smart_tanh": "tanh", "spectral": "tanh", "lstm": "lstm"}
R = 3


def setup(cell_name, task_name, hidden=7, length=11, max_length=15, std=None):
    """R networks in float64 and a ragged batch for them."""
    architecture = make_architecture(cell_name, hidden)
    task = make_task(task_name, length=length, max_length=max_length or "null", batch_size=5)
    network = Network.start(architecture, task, range(R)).double()
    if std is not None:  # away from the start, where gradients are ordinary
        generator = torch.Generator().manual_seed(1)
        for p in network.parameters():
            p.data = std * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    data = TrainingData(task)
    batch = collate([data(seed, 3) for seed in range(R)])
    assert max_length is None or len(set(batch.length.tolist())) > 1
    inputs = batch.inputs.double() if batch.inputs.is_floating_point() else batch.inputs
    target = batch.target.double() if batch.target.is_floating_point() else batch.target
    return architecture.cell, task, network, inputs, target, batch.length


def numpy_run(network, task, cell_name, inputs, target, length, r):
    p = {name: value[r].detach().numpy() for name, value in network.named_parameters()}
    x = inputs[r, : length[r]].numpy()
    x = np.eye(task.inputs)[x] if x.ndim == 2 else x
    loss = ref.squared_error if task.outputs == 1 else ref.cross_entropy
    return p, ref.run(KIND[cell_name], p, x, target[r].numpy(), loss)


@pytest.mark.parametrize("task_name", ["temporal_order", "addition"])
@pytest.mark.parametrize("cell_name", KIND)
def test_forward_and_every_gradient_equal_numpy(cell_name, task_name):
    cell, task, network, inputs, target, length = setup(cell_name, task_name, std=0.4)
    output = network(inputs, length)
    loss_R = task.loss(output, target)
    loss_R.sum().backward()
    for r in range(R):
        _, expected = numpy_run(network, task, cell_name, inputs, target, length, r)
        np.testing.assert_allclose(output[r].detach(), expected["output"], rtol=1e-11)
        np.testing.assert_allclose(loss_R[r].detach(), expected["loss"], rtol=1e-11)
        for name, p in network.named_parameters():
            np.testing.assert_allclose(p.grad[r], expected["grads"][name], rtol=1e-9, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("cell_name", ["smart_tanh", "sigmoid", "lstm"])
def test_numpy_gradients_equal_finite_differences(cell_name):
    """The reference itself, so that nothing rests on one derivation."""
    _, task, network, inputs, target, length = setup(cell_name, "temporal_order", hidden=4, std=0.5)
    p, expected = numpy_run(network, task, cell_name, inputs, target, length, 0)
    x = np.eye(task.inputs)[inputs[0, : length[0]].numpy()]

    def loss(name):
        return lambda value: ref.run(KIND[cell_name], p | {name: value}, x, target[0].numpy(), ref.cross_entropy)[
            "loss"
        ]

    for name in p:
        numeric = ref.finite_differences(loss(name), p[name])
        np.testing.assert_allclose(expected["grads"][name], numeric, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("cell_name", KIND)
def test_factors_d_delta_v_equal_numpy(cell_name):
    cell, task, network, inputs, target, length = setup(cell_name, "temporal_order", std=0.4)
    tape = Tape(keep=True)
    _, state = recur(Pass(cell, inputs, network.weights(), length_R=length), tape)
    task.loss(network.readout(state[0]), target).sum().backward()
    factors, H = tape.factors, cell.hidden_size
    for r in range(R):
        _, expected = numpy_run(network, task, cell_name, inputs, target, length, r)
        T = int(length[r])
        for mine, theirs in (
            (factors.h_before_RTBH, expected["h_before"]),
            (factors.delta_RTBG, expected["delta"]),
            (factors.d_RTBH, expected["d"][..., :H]),
            (factors.v_RTBH, expected["v"][..., :H]),
            (factors.d2_RTB, (expected["d"] ** 2).sum(-1)),
            (factors.v2_RTB, (expected["v"] ** 2).sum(-1)),
        ):
            np.testing.assert_allclose(mine[r, :T], theirs, rtol=1e-9, atol=1e-30)
        for padded in (factors.delta_RTBG, factors.d_RTBH, factors.v_RTBH, factors.d2_RTB, factors.v2_RTB):
            assert not padded[r, T:].any()


def test_losses_at_every_step_reach_every_step(rng):
    """Direct parts of d at all steps, and none from padding, against autograd through a plain loop."""
    cell = make_cell("basic_tanh", 6)
    z, W = (torch.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 5, 3, 6), (2, 6, 6)))
    weight, length = torch.tensor(rng.normal(size=(2, 5, 3, 6))), torch.tensor([5, 3])
    h_all, _ = recur(Pass(cell, z, Weights(W), length_R=length))
    (h_all * weight).sum().backward()
    mine = z.grad.clone(), W.grad.clone()
    z.grad = W.grad = None
    total = 0.0
    for r in range(2):
        h = torch.zeros(3, 6, dtype=torch.float64)
        for t in range(length[r]):
            h = torch.tanh(z[r, t] + h @ W[r])
            total = total + (h * weight[r, t]).sum()
    total.backward()
    torch.testing.assert_close(mine, (z.grad, W.grad), rtol=1e-10, atol=1e-12)
    assert not h_all[1, 3:].any()


@pytest.mark.parametrize("cell_name", ["smart_tanh", "lstm"])
def test_padding_never_leaks(cell_name):
    cell, task, network, inputs, target, length = setup(cell_name, "addition", std=0.4)

    def grads(x):
        network.zero_grad()
        loss_R = task.loss(network(x, length), target)
        loss_R.sum().backward()
        return [loss_R.detach(), *(p.grad.clone() for p in network.parameters())]

    poisoned = inputs.clone()
    for r in range(R):
        poisoned[r, length[r] :] = 1e6
    torch.testing.assert_close(grads(inputs), grads(poisoned), rtol=0, atol=0)


@pytest.mark.parametrize("cell_name", ["basic_tanh", "lstm"])
def test_equals_torchs_own_cells(cell_name):
    """nn.RNN and nn.LSTM with the same weights, forward and backward, one-hot inputs."""
    cell, task, network, inputs, target, _ = setup(cell_name, "temporal_order", max_length=None, std=0.4)
    for r in range(R):
        own = (nn.RNN if cell_name == "basic_tanh" else nn.LSTM)(task.inputs, cell.hidden_size).double()
        head = nn.Linear(cell.hidden_size, task.outputs).double()
        with torch.no_grad():
            own.weight_ih_l0.copy_(network.W_in[r].T)
            own.weight_hh_l0.copy_(network.W[r].T)
            own.bias_ih_l0.copy_(network.b[r])
            own.bias_hh_l0.zero_()
            head.weight.copy_(network.W_out[r].T)
            head.bias.copy_(network.b_out[r])
        x = nn.functional.one_hot(inputs[r].long(), task.inputs).double()
        output = head(own(x)[0][-1])
        nn.functional.cross_entropy(output, target[r]).backward()
        network.zero_grad()
        mine = network(inputs, torch.full((R,), inputs.shape[1]))
        task.loss(mine, target).sum().backward()
        torch.testing.assert_close(mine[r], output)
        torch.testing.assert_close(network.W.grad[r], own.weight_hh_l0.grad.T)
        torch.testing.assert_close(network.W_in.grad[r], own.weight_ih_l0.grad.T)
        torch.testing.assert_close(network.b.grad[r], own.bias_ih_l0.grad)
        torch.testing.assert_close(network.W_out.grad[r], head.weight.grad.T)


@pytest.mark.parametrize("task_name", ["temporal_order", "addition", "memorization_5bit"])
def test_a_cell_run_by_autograd_is_torchs_gru(task_name):
    """Outputs and every gradient in float64, ragged lengths; three replicas beside three times nn.GRU."""
    _, task, network, inputs, target, length = setup("gru", task_name, std=0.4)
    output = network(inputs, length, every_step=task.every_step)
    loss_R = task.loss(output, target, length)
    loss_R.sum().backward()
    for r in range(R):
        own, head = nn.GRU(task.inputs, 7).double(), nn.Linear(7, task.outputs).double()
        with torch.no_grad():
            own.weight_ih_l0.copy_(network.W_in[r].T)
            own.weight_hh_l0.copy_(network.W[r].T)
            own.bias_ih_l0.copy_(network.b[r])
            own.bias_hh_l0.zero_()[14:] = network.b_n[r]
            head.weight.copy_(network.W_out[r].T)
            head.bias.copy_(network.b_out[r])
        x = inputs[r, : length[r]]
        h, _ = own(x if x.is_floating_point() else nn.functional.one_hot(x.long(), task.inputs).double())
        wanted = target[r, : length[r]] if task.every_step else target[r]
        answer = head(h) if task.every_step else head(h[-1])
        if task_name == "addition":
            loss = nn.functional.mse_loss(answer[..., 0], wanted)
        else:
            loss = nn.functional.cross_entropy(answer.flatten(0, -2), wanted.flatten())
        loss.backward()
        torch.testing.assert_close(output[r, : length[r]] if task.every_step else output[r], answer)
        torch.testing.assert_close(loss_R[r], loss)
        torch.testing.assert_close(network.W.grad[r], own.weight_hh_l0.grad.T)
        torch.testing.assert_close(network.W_in.grad[r], own.weight_ih_l0.grad.T)
        torch.testing.assert_close(network.b.grad[r], own.bias_ih_l0.grad)
        torch.testing.assert_close(network.b_n.grad[r], own.bias_hh_l0.grad[14:])
        torch.testing.assert_close(network.W_out.grad[r], head.weight.grad.T)
        torch.testing.assert_close(network.b_out.grad[r], head.bias.grad)
    with pytest.raises(ValueError, match="autograd"):
        network(inputs, length, [Tape(keep=True)])


def test_state_is_carried_and_chunks_change_nothing(monkeypatch):
    """Neither in the answer at the last step nor in those at every step; answers in padding do not count."""
    seen = []
    for name in ("temporal_order", "memorization_5bit"):
        cell, task, network, inputs, target, length = setup("lstm", name, std=0.4)
        with torch.no_grad():
            right = network(inputs, length, every_step=task.every_step).argmax(-1)
        if task.every_step:
            right[0, length[0] :] += 1  # padding
        wanted = torch.zeros(right.shape[0], right.shape[-1], dtype=torch.bool)
        wanted[1, 2] = wanted[2, 4] = True
        right[(1, 7, 2) if task.every_step else (1, 2)] += 1
        right[(2, -1 if length[2] == inputs.shape[1] else 0, 4) if task.every_step else (2, 4)] += 1
        for chunk in (1, 4, 100):
            monkeypatch.setattr("src.network.network.CHUNK", chunk)
            answers = network.wrong(Batch(inputs, right, length), task)
            assert torch.equal(answers, wanted), (name, chunk)
            seen.append(name)
    assert len(seen) == 6


def test_only_the_last_answer_of_a_permutation_counts():
    task = make_task("permutation", length=6, predict="every", batch_size=4)
    network = Network.start(make_architecture("basic_tanh", 5), task, [0])
    batch = collate([task.draw(6, 4, np.random.default_rng(0))])
    with torch.no_grad():
        last = network(batch.inputs, batch.length).argmax(-1)
    batch.target[:, -1] = last
    batch.target[0, -1, 3] += 1
    assert network.wrong(batch, task).tolist() == [[False, False, False, True]]


def test_memory_of_an_update_is_freed_at_once(monkeypatch):
    """No cycle keeps the activations alive until the garbage collector comes."""
    kept = []

    class Spy(reference.ReferenceRun):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(weakref.ref(self.states[-1][0]))

    monkeypatch.setattr(reference, "ReferenceRun", Spy)
    cell, task, network, inputs, target, length = setup("smart_tanh", "temporal_order")
    gc.disable()
    try:
        tape = Tape(Omega().terms({"alpha": torch.ones(R)}))
        task.loss(network(inputs, length, [tape]), target).sum().backward()
        network(inputs, length)  # never differentiated
        assert [ref_() for ref_ in kept] == [None, None]
    finally:
        gc.enable()
