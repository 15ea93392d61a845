"""Hessian-free optimization: its products against explicit Jacobians, its parts by hand, its laws, its refusals."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from src.config import check
from src.network import Network
from src.packing.groups import why_alone
from src.packing.pack import train
from src.packing.progress import Display
from src.population import checkpoint
from src.run import device, run
from src.rundir import RunDirectory
from src.training.conjugate_gradients import Path, is_kept, solve
from src.training.curvature import curvature
from src.training.hessian_free import Step, adapted, backtrack, first, ratio, search
from tasks.batch import collate
from tasks.data import TrainingData
from tests.conftest import compose, make_architecture, make_task

pytestmark = pytest.mark.usefixtures("as_before")

SMALL = [
    "setting=rival_hessian_free",
    "cell.hidden_size=7",
    "task.length=10",
    "task.max_length=13",
    "task.batch_size=40",
    "optimizer.curvature=15",
    "optimizer.iterations=15",
    "trainer.max_steps=4",
    "success.check_every=2",
    "success.sequences=60",
    "success.max_error=1e-9",
    "callbacks.diagnostics=null",
    "threads=1",
]

# -- an independent version: NumPy, float64, Jacobians by complex steps (Squire & Trapp, 1998), exact --------

FUNCTIONS = {
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
    "relu": (lambda a: np.where(a.real > 0, a, 0), lambda a: (a > 0) * 1.0),
}


def unrolled(flat, shapes, activation, x_TI):
    """a_t of every step, TH, and the outputs, TO, of one sequence, from all parameters in one vector."""
    p = {}
    for name, shape in shapes.items():
        p[name], flat = flat[: int(np.prod(shape))].reshape(shape), flat[int(np.prod(shape)) :]
    h, a_TH, y_TO = np.zeros(len(p["b"])), [], []
    for x in x_TI:
        a_TH.append(x @ p["W_in"] + h @ p["W"] + p["b"])
        h = FUNCTIONS[activation][0](a_TH[-1])
        y_TO.append(h @ p["W_out"] + p["b_out"])
    return np.array(a_TH), np.array(y_TO)


def jacobians(flat, *rest):
    """da/dθ, THP, and dy/dθ, TOP."""
    columns = []
    for k in range(len(flat)):
        moved = flat.astype(complex)
        moved[k] += 1e-30j
        columns.append([each.imag / 1e-30 for each in unrolled(moved, *rest)])
    return (np.stack(each, axis=-1) for each in zip(*columns, strict=True))


def explicit(flat, shapes, activation, x_BTI, every_step, entropy):
    """G and S of one replica, from Jacobians."""
    P, B = len(flat), len(x_BTI)
    G, S = np.zeros((P, P)), np.zeros((P, P))
    for x_TI in x_BTI:
        a_TH, y_TO = unrolled(flat, shapes, activation, x_TI)
        da_THP, dy_TOP = jacobians(flat, shapes, activation, x_TI)
        for a, da in zip(a_TH, da_THP, strict=True):
            S += da.T @ np.diag(FUNCTIONS[activation][1](a)) @ da / B
        steps = range(len(x_TI)) if every_step else [len(x_TI) - 1]
        for t in steps:
            p = np.exp(y_TO[t]) / np.exp(y_TO[t]).sum()
            second = np.diag(p) - np.outer(p, p) if entropy else 2 * np.eye(len(p))
            G += dy_TOP[t].T @ second @ dy_TOP[t] / B / len(steps)
    return G, S


CASES = [
    ("temporal_order", {"length": 11}, "tanh"),
    ("temporal_order", {"length": 10, "max_length": 14}, "sigmoid"),
    ("addition", {"length": 10, "stretch": 0.5}, "relu"),
    ("memorization_5bit", {"length": 2}, "tanh"),
    ("permutation", {"length": 4, "max_length": 6, "predict": "every"}, "tanh"),
]


def double_network(task, hidden, seeds, activation):
    """Networks in float64 with weights that are not small, and mini-batches for them."""
    network = Network.start(make_architecture("basic_tanh", hidden, std=0.6, activation=activation), task, seeds)
    batch = collate([TrainingData(task)(seed, 0) for seed in seeds])
    if batch.inputs.is_floating_point():
        batch = batch._replace(inputs=batch.inputs.double())
    return network.double(), batch


@pytest.mark.parametrize(("name", "keys", "activation"), CASES, ids=lambda value: str(value))
def test_products_are_those_of_explicit_matrices(name, keys, activation, rng):
    """Also where replicas differ in their lengths."""
    task = make_task(name, batch_size=3, **keys)
    if name == "permutation":
        task.inputs = task.outputs = 6
        task.draw = lambda length, batch, draws, split: 2 * (draws.integers(0, 6, size=(length, batch)),)
    network, batch = double_network(task, 3, [4, 8], activation)
    lam, mu = torch.tensor([0.3, 2.0]).double(), 0.7
    matrix = curvature(network, batch, task, lam, mu)
    shapes = {name: p.shape[1:] for name, p in network.named_parameters()}
    theta = torch.cat([p.detach().flatten(1) for p in network.parameters()], 1).numpy()
    v_RP = rng.normal(size=theta.shape)
    found = matrix(torch.from_numpy(v_RP)).numpy()
    if "max_length" in keys or "stretch" in keys:
        assert len(set(batch.lengths)) == 2
    for row, length in enumerate(batch.lengths):
        inputs = batch.inputs[row, :length].numpy()
        x_TBI = np.eye(task.inputs)[inputs] if inputs.ndim == 2 else inputs
        entropy = task.loss_form == "cross_entropy"
        G, S = explicit(theta[row], shapes, activation, x_TBI.swapaxes(0, 1), task.every_step, entropy)
        A = G + float(lam[row]) * (np.eye(len(G)) + mu * S)
        assert np.abs(G).max() > 1e-3 and np.abs(S).max() > 1e-3
        np.testing.assert_allclose(found[row], A @ v_RP[row], rtol=1e-9, atol=1e-12)
    alone = matrix.select([1])(torch.from_numpy(v_RP[[1]]))
    np.testing.assert_array_equal(alone[0].numpy(), found[1])


def test_structural_damping_is_the_bend_of_the_states_distance(rng):
    """The matching loss of tanh: the integral of tanh(s) - tanh(a) from a to a', by log cosh."""
    task = make_task(length=10, batch_size=4)
    network, batch = double_network(task, 3, [2], "tanh")
    shapes = {name: p.shape[1:] for name, p in network.named_parameters()}
    theta = torch.cat([p.detach().flatten(1) for p in network.parameters()], 1).numpy()[0]
    v = rng.normal(size=theta.shape)

    def distance(moved):
        total = 0.0
        for x in np.eye(task.inputs)[batch.inputs[0].numpy()].swapaxes(0, 1):
            a, after = (unrolled(each, shapes, "tanh", x)[0] for each in (theta, moved))
            total += (np.log(np.cosh(after)) - np.log(np.cosh(a)) - np.tanh(a) * (after - a)).sum()
        return total / 4

    bend = (distance(theta + 1e-4 * v) + distance(theta - 1e-4 * v)) / 1e-8
    with_S, without = (curvature(network, batch, task, torch.ones(1).double(), mu) for mu in (1.0, 0.0))
    vector = torch.from_numpy(v)[None]
    assert float((vector * (with_S(vector) - without(vector))).sum()) == pytest.approx(bend, rel=1e-5)


# -- conjugate gradients -----------------------------------------------------------------------------------------------


@dataclass
class Matrices:
    """Explicit matrices, RPP."""

    A: torch.Tensor
    lam: torch.Tensor | None = None

    def __call__(self, vector):
        return torch.einsum("rpq,rq->rp", self.A, vector)

    def select(self, rows):
        return Matrices(self.A[rows])

    def damped(self, lam):
        return self


def positive(rng, R, P):
    factor = rng.normal(size=(R, P, P))
    return factor @ factor.swapaxes(1, 2) + np.eye(P), rng.normal(size=(R, P)), rng.normal(size=(R, P))


def test_a_quadratic_is_solved_in_as_many_steps_as_it_has_numbers(rng):
    A, b, start = positive(rng, 3, 8)
    paths = solve(Matrices(torch.from_numpy(A)), torch.from_numpy(b), torch.from_numpy(start), 8, 0.0)
    for row, path in enumerate(paths):
        assert path.steps == 8
        x = np.linalg.solve(A[row], b[row])
        np.testing.assert_allclose(path.kept[-1], x, rtol=1e-6)
        assert path.phi[-1] == pytest.approx(-0.5 * b[row] @ x)
        assert path.phi[0] == pytest.approx(0.5 * start[row] @ A[row] @ start[row] - b[row] @ start[row])
        assert np.all(np.diff(path.phi) < 0)
        assert len(path.kept) == 7  # after steps 1, 2, 3, 4 and 5, ⌈1.3^j⌉, and 7 is left out


def test_iterates_are_kept_ever_more_rarely():
    assert [step for step in range(1, 60) if is_kept(step)] == sorted({int(np.ceil(1.3**j)) for j in range(16)})


def test_a_system_ends_by_its_own_progress(rng):
    """Sooner than the others, and with what it would find alone."""
    A, b, start = positive(rng, 3, 200)
    A[1] = np.diag(np.linspace(1, 1.1, 200))
    together = solve(Matrices(torch.from_numpy(A)), *map(torch.from_numpy, (b, 0 * start)), 100, 5e-4)
    assert together[1].steps < min(together[0].steps, together[2].steps)
    for row, path in enumerate(together):
        phi, k = path.phi, [max(10, int(np.ceil(step / 10))) for step in range(len(path.phi))]
        flat = [i > k[i] and phi[i] < 0 and (phi[i] - phi[i - k[i]]) / phi[i] < k[i] * 5e-4 for i in range(len(phi))]
        assert flat.index(True) == path.steps if path.steps < 100 else True not in flat[:-1]
        own_A, own_b, zero = (torch.from_numpy(each[[row]]) for each in (A, b, 0 * start))
        (alone,) = solve(Matrices(own_A), own_b, zero, 100, 5e-4)
        np.testing.assert_allclose(alone.kept[-1], path.kept[-1], rtol=1e-4, atol=1e-7)


# -- what is made of a solution ----------------------------------------------------------------------------------------


def test_damping_follows_the_kept_share_of_the_promise():
    """M10, section 4.1."""
    rho = torch.tensor([-1.0, 0.2, 0.3, 0.7, 0.8, float("-inf"), float("nan")]).double()
    found = adapted(torch.full((7,), 0.6), rho)
    assert found.tolist() == pytest.approx([0.9, 0.9, 0.6, 0.6, 0.4, 0.9, 0.6])


def test_the_promise_is_that_of_the_model_without_damping(rng):
    A, g, delta = positive(rng, 3, 4)
    model = [g[r] @ delta[r] + 0.5 * delta[r] @ A[r] @ delta[r] for r in range(3)]
    before = torch.tensor([3.0, 2.0, 1.0]).double()
    found = Step(torch.from_numpy(delta), torch.tensor([2.5, 2.5, 0.0]).double(), before)
    rho = ratio(found, before, torch.from_numpy(g), Matrices(torch.from_numpy(A), before))
    wanted = [change / m if m < 0 else -1 for change, m in zip((-0.5, 0.5, -1.0), model, strict=True)]
    assert rho.tolist() == pytest.approx(wanted)


def test_an_earlier_iterate_is_taken_where_it_is_better():
    """Values of f are the iterates themselves, one number each."""
    paths = [Path(kept=[torch.tensor([x]) for x in each]) for each in ([1.0, 3.0, 2.0], [4.0, 1.0, 2.0], [7.0])]
    found = backtrack(paths, lambda delta: delta[:, 0])
    assert found.delta_AP[:, 0].tolist() == found.loss_A.tolist() == [2.0, 1.0, 7.0]


def test_the_line_search_takes_the_first_that_is_enough():
    """f(θ + s δ) = (1 - s δ)², δ > 0, from f(θ) = 1 with slope -2 δ: enough where (1 - s δ)² <= 1 - .02 s δ."""
    delta = torch.tensor([[1.0], [2.1], [-1.0], [float("nan")]]).double()

    def loss(moved):
        return (1 - moved[:, 0]).square().nan_to_num(nan=float("inf"))

    ones = torch.ones(4).double()
    assert search(delta, ones, ones, -2 * delta[:, 0], loss).tolist() == pytest.approx([1, 0.8, 0, 0])


def test_the_curvature_is_measured_on_the_first_sequences():
    task = make_task("memorization_5bit", length=3, batch_size=8)
    batch = collate([TrainingData(task)(seed, 0) for seed in (0, 1)])
    part = first(batch, 3, task)
    assert torch.equal(part.inputs, batch.inputs[:, :, :3]) and torch.equal(part.target, batch.target[:, :, :3])


# -- whole runs --------------------------------------------------------------------------------------------------------


def test_it_learns_in_a_few_updates(tmp_path):
    """Temporal order at length 10: what plain descent has not left chance for after as many."""
    keys = ["cell.hidden_size=15", "task.max_length=null", "task.batch_size=200", "optimizer.curvature=50"]
    more = ["optimizer.iterations=100", "success.max_error=.01", "success.check_every=5", "trainer.max_steps=15"]
    population = run(compose(*SMALL, *keys, *more, "replicas=3"), tmp_path)
    assert population.status == ["solved"] * 3
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["damping"].between(0.001, 0.5).all() and history["iterations"].between(5, 100).all()


NO_START = ["~cell.std", "~cell.spectral_radius"]
ITERATIONS = ["optimizer.iterations=40", "optimizer.progress=5e-5"]
LAWS = [
    ["cell=sigmoid", "cell.std=.3", "optimizer.damping=.001"],
    ["task=addition"],
    ["task=memorization_5bit", "task.batch_size=15"],
]


@pytest.mark.parametrize("keys", LAWS, ids=" ".join)
def test_replicas_never_touch(tmp_path, threads, keys):
    """Seed 7 alone is seed 7 among others, bit for bit, though each ends its own iterations."""
    found = []
    for seed, replicas in ((7, 1), (5, 4)):
        own = [f"seed={seed}", f"replicas={replicas}", f"threads={threads}", *ITERATIONS]
        directory = tmp_path / f"{replicas}"
        population = run(compose(*SMALL, *keys, *own, "trainer.max_steps=3"), directory)
        iterations = population.means["check"]["iterations"]
        parameters = population.parameters()
        found.append({name: p[7 - seed] for name, p in parameters.items()})
        rows = pd.read_csv(directory / "history.csv").drop(columns="seconds").query("seed == 7")
        found[-1]["history"] = torch.tensor(rows.to_numpy(float)).nan_to_num()
    assert len(set(iterations)) > 1
    assert [name for name in found[0] if not torch.equal(found[0][name], found[1][name])] == []


def test_a_resumed_run_is_the_whole_run(tmp_path):
    """λ and the last solutions are in the checkpoint, also those of who has left."""
    keys = [*SMALL, "replicas=3", "success.max_error=.5", "trainer.max_steps=6"]
    whole = run(compose(*keys), tmp_path / "whole")
    assert whole.status.count("solved") in (1, 2)
    run(compose(*keys, "trainer.max_steps=3"), tmp_path / "half")
    resumed = run(compose(*keys, f"resume={tmp_path / 'half'}"), tmp_path / "half")
    assert resumed.status == whole.status and resumed.updates.tolist() == whole.updates.tolist()
    contents = [torch.load(RunDirectory(tmp_path / each).checkpoint_file) for each in ("whole", "half")]
    for one, other in zip(*(content["optimizer_states"][0]["state"].items() for content in contents), strict=True):
        assert one[1].keys() == other[1].keys() == {"damping", "solution"}
        assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])
        assert one[1]["damping"].shape == (3,) and one[1]["solution"].abs().sum(1).gt(0).all()
    ended = [checkpoint.read(RunDirectory(tmp_path / each).checkpoint_file).parameters for each in ("whole", "half")]
    assert [name for name in ended[0] if not torch.equal(ended[0][name], ended[1][name])] == []


def test_it_trains_alone_in_a_packed_sweep(tmp_path):
    cfg = compose(*SMALL, "replicas=2")
    assert why_alone(cfg) == "hessian_free makes whole updates itself"
    alone = run(cfg, tmp_path / "alone").parameters()
    train([partial(run, cfg, tmp_path / "packed")], Display([1.0]))
    packed = checkpoint.read(RunDirectory(tmp_path / "packed").checkpoint_file).parameters
    assert [name for name in alone if not torch.equal(alone[name], packed[name])] == []


def test_parameters_that_are_no_numbers_are_divergence(tmp_path):
    """Linear units with large weights: states grow beyond float32."""
    keys = ["cell=basic_tanh", "cell.activation=identity", "cell.std=1e5", "task.length=60", "task.max_length=null"]
    population = run(compose(*SMALL, *keys, "replicas=2", "trainer.max_steps=2"), tmp_path)
    assert population.status == ["diverged"] * 2 and population.updates.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["cell=lstm", *NO_START], "cell=lstm: hessian_free knows simple cells only"),
        (["cell=gru", *NO_START], "cell=gru: hessian_free knows simple cells only"),
        (["cell.layers=2"], "cell.layers=2: hessian_free knows networks of one recurrent layer only"),
        (["task=price", "task.max_length=null", "task.length=200"], "task=price: hessian_free wants fresh sequences"),
        (["task.loss=hinge"], "task.loss=hinge: hessian_free needs the curvature"),
        (["task.batch_size=10"], "optimizer.curvature=15: task.batch_size=10 has to be as many or more"),
        (["optimizer.clip=1"], "optimizer.clip=1: hessian_free clips no gradient"),
        (["optimizer.alpha=4"], "optimizer.alpha=4: hessian_free has no Ω"),
        (["+optimizer.l2=.1"], "optimizer.l2=0.1: hessian_free has no penalties"),
        (["+cell.learned=readout"], "cell.learned=readout: hessian_free changes every parameter"),
        (["+cell.dropout=.5"], "cell.dropout=0.5: hessian_free needs the same network in each product"),
        (["+optimizer.half_life=4"], "optimizer.half_life=4: hessian_free keeps its first step length"),
        (["optimizer.direction._target_=src.directions.Simplex"], "hessian_free makes its own steps"),
        (["callbacks.truncated_bptt.steps=5"], "callbacks.truncated_bptt: hessian_free goes through whole sequences"),
        (["optimizer.decay=1"], "optimizer.decay=1: must be a number, 0 or more, below 1"),
        (["optimizer.dampin=1"], "optimizer.dampin: hessian_free has no use for it; did you mean damping?"),
        (["+optimizer.solver.size=1"], "optimizer.solver: "),
        (["optimizer.solver._target_=src.cells.LSTM"], "optimizer.solver: src.cells.LSTM is no Solver"),
        (["curriculum=grow", "task.max_length=null", "task.length=60"], "choose 0"),
    ],
)
def test_what_it_cannot_do_is_refused(keys, words):
    keys = [f"+{key}" if key.startswith("optimizer.dampin=") else key for key in keys]
    problems = check(compose(*SMALL, *keys))
    assert any(words in problem for problem in problems), problems


def test_it_runs_on_the_cpu_though_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cfg = compose(*SMALL, "recurrence=reference")
    for accelerator in ("auto", "gpu"):
        cfg.trainer.accelerator = accelerator
        assert device(cfg).type == "cpu"
    assert any("hessian_free runs on the CPU" in problem for problem in check(cfg))
