"""Temporal gradients against their definition, autograd with a copy of all parameters for every step; the simplex
direction against float64 NumPy on them."""

import numpy as np
import pytest
import torch

from src import recurrence
from src.directions import Direction, Product, Simplex, SimplexCombination
from src.directions.simplex import FORMS, TINY, betas
from src.directions.temporal import norms, squared_norms, whole
from src.linalg import product
from src.network import Network
from src.recurrence import FUSED, REFERENCE
from src.run import run
from tasks.batch import Batch, collate
from tasks.data import TrainingData
from tasks.draws import Stream, generator
from tests.conftest import compose, make_architecture, make_task

pytestmark = pytest.mark.usefixtures("as_before")

R = 3
CASES = [
    ("sigmoid", "temporal_order", {}),
    ("basic_tanh", "addition", {}),
    ("basic_tanh", "memorization_5bit", {}),
    ("lstm", "temporal_order", {}),
    ("lstm", "memorization_5bit", {}),
    ("gru", "temporal_order", {}),
    ("basic_tanh", "temporal_order", {"layers": 2}),
    ("dense_lstm", "memorization_5bit", {"layers": 2, "dense": 2, "dense_size": 6, "noise": 0}),
]
NAMED = pytest.mark.parametrize(("cell_name", "task_name", "stack"), CASES, ids=lambda x: x if type(x) is str else None)


def setup(cell_name, task_name, stack, hidden=7, batch_size=5, dtype=torch.float64, scale=0.4):
    """R networks away from their start, and a ragged batch."""
    architecture = make_architecture(cell_name, hidden, **stack)
    task = make_task(task_name, length=10, max_length=14, batch_size=batch_size)
    network = Network.start(architecture, task, range(R)).to(dtype)
    draws = torch.Generator().manual_seed(1)
    for p in network.parameters():
        p.data = scale * torch.randn(p.shape, generator=draws, dtype=dtype)
    data = TrainingData(task)
    batch = collate([data(seed, 3) for seed in range(R)])
    assert len(set(batch.length.tolist())) > 1
    inputs, target = (x.to(dtype) if x.is_floating_point() else x for x in (batch.inputs, batch.target))
    return network, task, Batch(inputs, target, batch.length)


def by_definition(network, task, batch, r):
    """∇_t of replica r: every step has its own leaf of every parameter; plain equations, one replica, no package code
    but the cell's name. By parameter, float64, T first."""
    layers, T = network.architecture, int(batch.length[r])
    cell = layers.cell
    copies = {
        name: [p[r].detach().double().clone().requires_grad_() for _ in range(T)]
        for name, p in network.named_parameters()
    }
    inputs, target = batch.inputs[r, :T], batch.target[r].double() if task.outputs == 1 else batch.target[r]
    x_TBI = inputs.double() if inputs.is_floating_point() else torch.eye(task.inputs).double()[inputs.long()]
    B, H = x_TBI.shape[1], cell.hidden_size
    h = [torch.zeros(B, H).double() for _ in range(layers.layers)]
    c = [torch.zeros(B, H).double() for _ in range(layers.layers)]
    loss = 0.0
    for t in range(T):
        own = {name: of_step[t] for name, of_step in copies.items()}
        x = x_TBI[t]
        for k in range(layers.dense):
            x = torch.tanh(x @ own[f"D_{k + 1}"] + own[f"c_{k + 1}"])
        for k in range(layers.layers):
            W_in, W, b = (own[name if k == 0 else f"{name}_{k + 1}"] for name in ("W_in", "W", "b"))
            z, a = x @ W_in + b, x @ W_in + b + h[k] @ W
            if "lstm" in cell.name:
                i, f, g, o = a.chunk(4, 1)
                c[k] = torch.sigmoid(f) * c[k] + torch.sigmoid(i) * torch.tanh(g)
                h[k] = torch.sigmoid(o) * torch.tanh(c[k])
            elif cell.name == "gru":
                z_r, z_u, z_n = z.chunk(3, 1)
                W_r, W_u, W_n = W.chunk(3, 1)
                reset, update = torch.sigmoid(z_r + h[k] @ W_r), torch.sigmoid(z_u + h[k] @ W_u)
                new = torch.tanh(z_n + reset * (h[k] @ W_n + own["b_n"]))
                h[k] = (1 - update) * new + update * h[k]
            else:
                h[k] = torch.sigmoid(a) if cell.name == "sigmoid" else torch.tanh(a)
            x = h[k]
        if task.every_step or t == T - 1:
            output, right = x @ own["W_out"] + own["b_out"], target[t] if task.every_step else target
            if task.outputs == 1:
                loss = loss + (output[:, 0] - right).square().mean()
            else:
                loss = loss + torch.nn.functional.cross_entropy(output, right.long()) / (T if task.every_step else 1)
    leaves = [leaf for of_step in copies.values() for leaf in of_step]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    grads = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True)]
    return {name: torch.stack(grads[i * T : (i + 1) * T]).numpy() for i, name in enumerate(copies)}


class Recording(Direction):
    """Keeps the products and changes nothing."""

    def combination(self, settings, draws):
        return self

    def __call__(self, products, gradients, length_R, steps):
        self.products = list(products)


DRAWS = [(seed, 3) for seed in range(R)]


def settings(psi=float("inf")):
    return {"psi": torch.full((R,), psi), "tiny": torch.full((R,), TINY)}


def learned(network, task, batch, direction, psi=float("inf")):
    for p in network.parameters():
        p.grad = torch.full_like(p, float("nan"))
    network.learn(batch, task, direction, settings(psi), DRAWS)
    return {name: p.grad.clone() for name, p in network.named_parameters()}


def of_products(products, name, r, t, length):
    """∇_t of one parameter from the factors."""
    for own in products:
        if name not in (own.weight, getattr(own, "bias", None)):
            continue
        if not hasattr(own, "left"):
            return own.grad_RT[r, t]
        if own.at_end and t != length - 1:
            return np.zeros(())
        at = 0 if own.at_end else t
        left, right = own.left[r, at], own.right[r, at].flatten(1).double()
        if own.symbols is not None:
            left = torch.eye(own.symbols)[left.long()]
        return right.sum(0) if name == own.bias else left.double().T @ right
    raise AssertionError(f"no product of {name}")


@NAMED
@pytest.mark.parametrize("name", [FUSED, REFERENCE])
def test_temporal_gradients_are_those_of_copies(cell_name, task_name, stack, name):
    """The definition, parameter by parameter and step by step; their norms; and that their sum is the gradient."""
    recurrence.use(name)
    dtype = torch.float32 if name == FUSED else torch.float64
    network, task, batch = setup(cell_name, task_name, stack, dtype=dtype)
    close = {"rtol": 1e-9, "atol": 1e-13} if name == REFERENCE else {"rtol": 1e-3, "atol": 1e-6}
    direction = Recording()
    learned(network, task, batch, direction)
    squares = norms(direction.products, batch.length, batch.inputs.shape[1])
    plain = learned(network, task, batch, Direction())
    assert squares.keys() == plain.keys()
    for r in range(R):
        T = int(batch.length[r])
        expected = by_definition(network, task, batch, r)
        for parameter, grad_T in expected.items():
            for t in range(T):
                mine = of_products(direction.products, parameter, r, t, T)
                np.testing.assert_allclose(
                    np.broadcast_to(mine, grad_T[t].shape), grad_T[t], err_msg=f"{parameter} at {t}", **close
                )
            wanted = (grad_T.reshape(T, -1) ** 2).sum(1)
            np.testing.assert_allclose(squares[parameter][r, :T], wanted, **close)
            assert not squares[parameter][r, T:].any()
            np.testing.assert_allclose(plain[parameter][r], grad_T.sum(0), **close)


def direction_of(expected, beta_T, psi, descent, tiny=TINY):
    """G16's algorithm 3 on ∇_t, T x P."""
    norm_T = np.linalg.norm(expected, axis=1)
    w_T = np.where(norm_T < tiny, beta_T, beta_T / np.where(norm_T == 0, 1, norm_T))
    gradient, s = expected.sum(0), w_T @ expected
    size = np.linalg.norm(gradient)
    if size > psi or np.linalg.norm(s) == 0 or (descent and gradient @ s <= 0):
        return gradient
    return size * s / np.linalg.norm(s)


@NAMED
@pytest.mark.parametrize("name", [FUSED, REFERENCE])
@pytest.mark.parametrize("keys", [{}, {"beta": "uniform", "descent": True}], ids=["", "uniform, descent"])
def test_direction_equals_numpy(cell_name, task_name, stack, name, keys):
    """With the same β. ψ lies between the replicas' norms, so that some switch; large and small batches; on the way
    back and, with more threads than replicas, after it."""
    for batch_size, threads in ((2, 2), (13, 2), (13, R + 1)):
        recurrence.use(name, threads)
        dtype = torch.float32 if name == FUSED else torch.float64
        network, task, batch = setup(cell_name, task_name, stack, batch_size=batch_size, dtype=dtype)
        T = batch.inputs.shape[1]
        each = []
        for r in range(R):
            parts = by_definition(network, task, batch, r)
            each.append(np.concatenate([parts[n].reshape(len(parts[n]), -1) for n in parts], 1))
        psi = float(np.median([np.linalg.norm(e.sum(0)) for e in each])) * 1.001
        direction = Simplex(**keys)
        mine = learned(network, task, batch, direction, psi)
        plain = learned(network, task, batch, Direction())
        beta_RT = direction.combination(settings(psi), DRAWS).betas(batch.length, T).double().numpy()
        switched = 0
        for r in range(R):
            flat = np.concatenate([mine[n][r].flatten() for n in mine])
            wanted = direction_of(each[r], beta_RT[r, : batch.length[r]], psi, direction.descent)
            tolerance = 1e-5 if name == REFERENCE else 2e-3  # β is float32
            np.testing.assert_allclose(flat, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
            g = np.concatenate([plain[n][r].flatten() for n in plain])
            np.testing.assert_allclose(np.linalg.norm(flat), np.linalg.norm(g), rtol=1e-4)
            switched += np.allclose(flat, g, rtol=1e-4)
        assert 1 <= switched < R


@pytest.mark.parametrize("name", [FUSED, REFERENCE])
def test_weights_like_the_norms_give_back_the_gradient(name, monkeypatch):
    """β_t ∝ ‖∇_t‖ makes s ∝ ∇L, and d = -∇L."""
    recurrence.use(name)
    network, task, batch = setup("basic_tanh", "temporal_order", {}, dtype=torch.float32)
    recording = Recording()
    learned(network, task, batch, recording)
    size_RT = whole(norms(recording.products, batch.length, batch.inputs.shape[1])).sqrt()
    beta_RT = size_RT / size_RT.sum(1, keepdim=True)
    monkeypatch.setattr("src.directions.simplex.betas", lambda *_: beta_RT)
    mine = learned(network, task, batch, Simplex())
    for parameter, grad in learned(network, task, batch, Direction()).items():
        torch.testing.assert_close(mine[parameter], grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [FUSED, REFERENCE])
def test_steps_with_tiny_gradients_keep_their_weight(name, monkeypatch):
    """A sigmoid network at its start: far from the end ‖∇_t‖ is 0, and 0 / 0 would poison the rest. With all weight
    there s is 0, and the gradient itself is what is left."""
    recurrence.use(name)
    task = make_task(length=200)
    network, data = Network.start(make_architecture("sigmoid"), task, range(R)), TrainingData(task)
    batch = collate([data(seed, 0) for seed in range(R)])
    mine = learned(network, task, batch, Simplex())
    plain = learned(network, task, batch, Direction())
    assert all(grad.isfinite().all() for grad in mine.values())
    assert any((mine[n] != plain[n]).any() for n in mine)
    early = torch.zeros(R, 200)
    early[:, :50] = 1 / 50
    monkeypatch.setattr("src.directions.simplex.betas", lambda *_: early)
    for parameter, grad in learned(network, task, batch, Simplex()).items():
        torch.testing.assert_close(grad, plain[parameter], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", [FUSED, REFERENCE])
def test_what_is_not_finite_is_left_to_clipping(name):
    """A gradient with NaN stays one, for that replica alone."""
    recurrence.use(name)
    network, task, batch = setup("basic_tanh", "temporal_order", {}, dtype=torch.float32)
    whole = learned(network, task, batch, Simplex())
    network.W_out.data[1, 0, 0] = float("nan")
    mine = learned(network, task, batch, Simplex())
    assert mine["W"][1].isnan().any()
    assert all(torch.equal(mine[n][[0, 2]], whole[n][[0, 2]]) for n in mine)


@pytest.mark.parametrize(("batch", "columns"), [(2, (50, 64)), (20, (50, 50)), (100, (6, 50)), (1, (3, 3))])
def test_gram_norms_equal_direct_norms(batch, columns, rng):
    left, right = (torch.from_numpy(rng.normal(size=(2, 7, batch, n))) for n in columns)
    torch.testing.assert_close(squared_norms(left, right, gram=True), squared_norms(left, right, gram=False))
    one = torch.stack([product(left[:, t : t + 1], right[:, t : t + 1]) for t in range(7)], 1)
    torch.testing.assert_close(squared_norms(left, right), one.square().sum((2, 3)))


@pytest.mark.parametrize("form", FORMS)
def test_betas_are_draws_of_a_seed_and_an_update(form):
    """Positive, of sum 1, as NumPy's own generator would draw them; neighbours and padding change nothing."""
    lengths = torch.tensor([9, 5])
    beta = betas([(7, 4), (8, 4)], lengths, 9, form)
    u = generator(8, Stream.BETA, 4).random(5)
    expected = u / u.sum() if form == "uniform" else np.exp(1 - u) / np.exp(1 - u).sum()
    np.testing.assert_allclose(beta[1, :5], expected, rtol=1e-6)
    assert not beta[1, 5:].any() and bool((beta[0] > 0).all())
    torch.testing.assert_close(beta.sum(1), torch.ones(2))
    assert torch.equal(betas([(8, 4)], lengths[1:], 5, form)[0], beta[1, :5])
    assert not torch.equal(betas([(8, 5)], lengths[1:], 5, form)[0], beta[1, :5])


def test_settings_reach_the_direction(tmp_path):
    """ψ and β change a run; ψ below every norm gives MSGD-C to rounding."""

    def end(*keys):
        cfg = compose("experiment=smoke", "cell=basic_tanh", "optimizer.lr=0.1", *keys)
        return run(cfg, tmp_path / str(len(list(tmp_path.iterdir())))).parameters()["W"]

    plain = end("optimizer=msgd_c")
    ways = [plain, end("optimizer=simplex"), end("optimizer=simplex", "optimizer.beta=uniform")]
    ways.append(end("optimizer=simplex_switching", "optimizer.psi=0.1"))
    different = [[bool((a != b).any()) for b in ways] for a in ways]
    assert different == [[i != j for j in range(4)] for i in range(4)]
    always = end("optimizer=simplex_switching", "optimizer.psi=1e-30")
    torch.testing.assert_close(always, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [FUSED, REFERENCE])
@pytest.mark.parametrize("descent", [False, True])
def test_every_branch_on_made_up_gradients(name, descent):
    """One weight, five steps whose gradients are given. Replica 0: an ordinary mean. 1: one large step against four
    small ones, so that d leads uphill. 2: steps below its tiny, 1e-8, beside others. 3: a step of length 1e25, whose
    square is not finite. 4: ‖∇L‖ above its ψ. 5: no step at all, and one output: ∇L is what there is. 6: steps about
    1e-25, whose squares float32 does not hold, one of them below it."""
    recurrence.use(name, 2)
    T, K, M, replicas = 5, 3, 20, 7
    draws = np.random.default_rng(3)
    left, right = draws.normal(size=(replicas, T, 1, K)), draws.normal(size=(replicas, T, 1, M))
    left[1], right[1] = left[1, 0], right[1, 0]
    right[1, 1:] *= -0.1
    right[2, :2] *= 1e-11
    right[3, 2] *= 1e25
    right[6, :3] *= np.array([1e-26, 1e-24, 1e-22])[:, None, None] / 50
    left, right = (torch.from_numpy(x.astype(np.float32)) for x in (left, right))
    length = torch.tensor([5, 5, 5, 5, 5, 0, 5])
    right[5] = 0
    at_end = torch.ones(replicas, 1, 1, M), torch.zeros(replicas, 1, 1, 2)
    at_end[1][5] = 1.0
    products = [Product("W", None, left, right), Product("W_out", "b_out", *at_end, at_end=True)]
    beta = torch.from_numpy(draws.uniform(0.5, 1.5, (replicas, T)).astype(np.float32))
    beta[5] = 0
    psi = torch.full((replicas,), float("inf"))
    psi[4] = 0.1
    tiny = torch.full((replicas,), TINY)
    tiny[2] = 1e-8
    shapes = {"W": (K, M), "W_out": (M, 2), "b_out": (2,)}
    gradients = {n: torch.full((replicas, *shape), float("nan")) for n, shape in shapes.items()}
    recurrence.combine(SimplexCombination(lambda *_: beta, psi, tiny, descent), products, gradients, length, T)
    each = torch.einsum("rtbk,rtbm->rtkm", left.double(), right.double()).flatten(2).numpy()
    lengths_T = np.linalg.norm(each[6], axis=1)
    assert lengths_T[0] < TINY < lengths_T[1] < 1e-22
    for r in (0, 1, 2, 3, 4, 6):
        mine = gradients["W"][r].flatten().double().numpy()
        expected = direction_of(each[r], beta[r].double().numpy(), float(psi[r]), descent, float(tiny[r]))
        wanted = each[r].sum(0) if r == 3 else expected
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max(), err_msg=str(r))
        uphill = mine @ each[r].sum(0) < 0
        assert uphill == (r == 1 and not descent), r
        assert not gradients["b_out"][r].any()
    assert (gradients["b_out"][5] == 1).all() and (gradients["W_out"][5] == 1).all() and not gradients["W"][5].any()


def test_inputs_in_double_precision_are_taken_as_the_pass_takes_them():
    """On the way back and from products: the same direction as in float32."""
    network, task, batch = setup("basic_tanh", "addition", {}, dtype=torch.float32)
    doubled = Batch(batch.inputs.double(), batch.target.double(), batch.length)
    for threads in (1, R + 1):
        recurrence.use(FUSED, threads)
        one, two = (learned(network, task, each, Simplex()) for each in (batch, doubled))
        assert all(torch.equal(one[n], two[n]) for n in one)
