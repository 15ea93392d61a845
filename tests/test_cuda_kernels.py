"""The Triton kernels in Triton's interpreter, on CPU tensors: against the reference, and both against float64.

The interpreter computes every product in full float32: see test_cuda_precision.py for the rounding of tensor cores.
"""

import pytest
import torch

from src import recurrence
from src.cells import LSTM, Vanilla, Weights
from src.directions import Omega, Simplex, Tape
from src.directions.tape import Factors
from src.network import Network
from src.recurrence import REFERENCE, Pass, cuda, recur
from src.recurrence.cuda import products
from src.recurrence.cuda import run as cuda_run
from src.recurrence.cuda.launch import tiles
from src.run import run
from tasks.batch import collate
from tasks.data import TrainingData
from tests.conftest import compose, make_architecture, make_task
from tests.test_fused import KINDS, assert_as_exact, everything, make, problem

TRITON = cuda.Triton.name
TRITON_TF32 = cuda.TritonTF32.name

pytestmark = [
    pytest.mark.skipif(cuda.Triton.missing() is not None, reason=str(cuda.Triton.missing())),
    pytest.mark.usefixtures("as_before"),
]

SIZES = [(1, 1, 3), (13, 20, 7), (50, 33, 4), (64, 20, 3), (100, 1, 6)]
"""Units, sequences and steps; problem() makes lengths of all, five fewer (or none) and half of the steps."""


def compared(*args, **keys):
    """Everything from the kernels, from the reference, and in float64."""
    ours = everything(TRITON, torch.float32, *args, **keys)
    single, exact = (everything(REFERENCE, dtype, *args, **keys) for dtype in (torch.float32, torch.float64))
    return ours, single, exact


@pytest.fixture
def launches(monkeypatch):
    """The names of the kernels that are launched."""
    seen = []

    def spy(kernel, *arguments, **keys):
        seen.append(kernel.fn.__name__)
        return launch(kernel, *arguments, **keys)

    launch = cuda_run.launch
    monkeypatch.setattr(cuda_run, "launch", spy)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_every_output_and_gradient(kind, launches, monkeypatch):
    """Values, every gradient, Ω in both forms; tiles that are not full, small and large; lengths of 0 and 1."""
    for number, (H, B, T) in enumerate(SIZES):
        monkeypatch.setattr(cuda_run, "processors", lambda device, there=(1, 132)[number % 2]: there)
        inputs = ("symbols", "vectors", "drive")[number % 3]
        form = ("squared", "plain")[number % 2]
        cell, x, weights, state, length, back = problem(kind, H, B, T, 3, inputs)
        length[2] = 1
        args = (cell, x, weights, state, length, back)
        assert_as_exact(*compared(*args, form=form), (H, B, T, inputs, form))
    name = "lstm" if kind == "lstm" else "simple"
    assert launches == [f"{name}_forward", f"{name}_backward"] * len(SIZES)


@pytest.mark.parametrize("inputs", ["symbols", "vectors", "drive"])
@pytest.mark.parametrize("kind", ["tanh", "lstm"])
def test_every_kind_of_input(kind, inputs):
    for form in ("squared", "plain"):
        args = problem(kind, 20, 5, 9, 3, inputs, seed=4)
        assert_as_exact(*compared(*args, form=form), (inputs, form))


@pytest.mark.parametrize(("kind", "H"), [("tanh", 200), ("lstm", 40), ("lstm", 128)])
def test_layers_that_are_cut_into_columns(kind, H):
    assert_as_exact(*compared(*problem(kind, H, 3, 3, 2, "vectors")), H)


def test_more_rows_than_one_program_sums():
    """Of symbols, and of Ω's pairs: 1 200 and 70 of them."""
    assert products.PART < 40 * 30 and products.PAIRS < 40 * 30
    for form in ("squared", "plain"):
        cell, x, weights, state, _, back = problem("tanh", 5, 40, 30, 2, "symbols")
        args = (cell, x, weights, state, torch.tensor([30, 2]), back)
        assert_as_exact(*compared(*args, form=form), form)


def test_tiles_are_small_where_every_processor_has_one_at_most():
    rows = [tiles(R, B, 50, False, False, 227, 132).rows for R, B in [(66, 20), (67, 20), (5, 64), (405, 16)]]
    assert rows == [16, 32, 16, 16]


def test_lstm_where_shared_memory_is_small(monkeypatch):
    monkeypatch.setattr(cuda_run, "room", lambda device: 99)
    assert tiles(3, 5, 50, True, False, 99, 132).columns == 2
    assert_as_exact(*compared(*problem("lstm", 50, 5, 4, 2, "symbols")), 50)


def test_activations_of_their_own():
    for names in (["sigmoid", "tanh", "elu"], ["relu", "identity", "sigmoid"]):
        _, *args = problem("tanh", 13, 20, 6, 3, "symbols")
        assert_as_exact(*compared(Vanilla("mixed", 13, activation=names), *args), names)


def test_no_state_no_gradient_no_steps():
    """What a test of success runs: nothing is kept, and memory does not grow with the steps."""
    for kind in ("tanh", "lstm"):
        cell, x, weights, _, length, _ = problem(kind, 13, 40, 5, 3, "symbols")
        weights = Weights(*(w.float() for w in weights))
        recurrence.use(TRITON)
        with torch.no_grad():
            nothing, last = recur(Pass(cell, x, weights, None, length), every_step=False)
            every, same = recur(Pass(cell, x, weights, None, length))
            recurrence.use(REFERENCE)
            wanted, _ = recur(Pass(cell, x, weights, None, length))
        assert nothing is None
        assert all(torch.equal(one, other) for one, other in zip(last, same, strict=True))
        torch.testing.assert_close(every, wanted, rtol=1e-5, atol=1e-6)
        assert not every[1, length[1] :].any()


def test_garbage_in_padding_and_numbers_that_are_not_finite():
    """Padding is never read, and NaN comes out where it comes in, of that replica alone."""
    cell, x, weights, state, length, back = problem("tanh", 13, 4, 8, 3, "vectors")
    clean = everything(TRITON, torch.float32, cell, x, weights, state, length, back)
    dirty = x.clone()
    for r, steps in enumerate(length.tolist()):
        dirty[r, steps:] = torch.nan
    again = everything(TRITON, torch.float32, cell, dirty, weights, state, length, back)
    assert all(torch.equal(clean[name], again[name]) for name in clean)
    dirty = x.clone()
    dirty[0, 2, 1] = torch.nan
    found = everything(TRITON, torch.float32, cell, dirty, weights, state, length, back)
    assert found["dW"][0].isnan().any()
    assert all(torch.equal(clean[name][1:], found[name][1:]) for name in clean)


def network_and_batch(cell="smart_tanh", task_name="temporal_order", hidden=13, seeds=(0, 1, 2), layers=1):
    task = make_task(task_name, length=12, max_length=17, batch_size=6)
    network = Network.start(make_architecture(cell, hidden, layers=layers), task, seeds)
    generator = torch.Generator().manual_seed(1)
    for p in network.parameters():
        p.data = 0.4 * torch.randn(p.shape, generator=generator)
        p.grad = torch.zeros_like(p)
    data = TrainingData(task)
    return task, network, collate([data(seed, 3) for seed in seeds])


def learned(name, task, network, batch, direction, settings):
    """Metrics and gradients of one update, by name."""
    recurrence.use(name)
    found = network.learn(batch, task, direction, settings, [(seed, 3) for seed in range(3)])
    return found | {key: p.grad.clone() for key, p in network.named_parameters()}


@pytest.mark.parametrize("form", ["squared", "plain"])
@pytest.mark.parametrize("cell", ["smart_tanh", "lstm"])
@pytest.mark.parametrize("task_name", ["temporal_order", "addition", "memorization_5bit"])
def test_a_whole_update(task_name, cell, form):
    """The one call that an update is: loss, Ω and every gradient; classes, numbers, targets at every step."""
    task, network, batch = network_and_batch(cell, task_name)
    settings = {"alpha": torch.tensor([0.5, 0.0, 2.0])}
    ours, wanted = (learned(name, task, network, batch, Omega(form), settings) for name in (TRITON, REFERENCE))
    assert ours.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(ours[name], wanted[name], rtol=2e-4, atol=2e-6, equal_nan=True, msg=name)


@pytest.mark.parametrize("task_name", ["temporal_order", "memorization_5bit"])
def test_the_simplex_direction(task_name):
    task, network, batch = network_and_batch(task_name=task_name)
    settings = {"psi": torch.full((3,), torch.inf), "tiny": torch.full((3,), 1e-25)}
    ours, wanted = (learned(name, task, network, batch, Simplex(), settings) for name in (TRITON, REFERENCE))
    for name in wanted:
        torch.testing.assert_close(ours[name], wanted[name], rtol=2e-4, atol=2e-6, msg=name)


def test_two_layers_and_a_state_that_is_carried():
    task, network, batch = network_and_batch("lstm", layers=2)
    wrong = []
    for name in (TRITON, REFERENCE):
        recurrence.use(name)
        wrong.append(network.wrong(batch, task))
    assert torch.equal(*wrong)


def test_a_term_of_ones_own_gets_all_factors():
    """A regulariser that the kernels do not know: half of the mean of ‖v‖², whose derivative by v is v / (T B)."""

    def term(factors: Factors):
        T, B = factors.v2_RTB.shape[1:]
        seen.append(factors)
        return factors.v2_RTB.sum((1, 2)) / (2 * T * B), torch.full_like(factors.v2_RTB, 1 / (T * B))

    seen, found = [], []
    for name in (TRITON, REFERENCE):
        recurrence.use(name)
        cell, x, weights, _, length, _ = problem("tanh", 13, 4, 8, 3, "symbols")
        W = weights[0].float().requires_grad_()
        tape = Tape({"mine": term})
        _, last = recur(Pass(cell, x, Weights(W, weights[1].float(), weights[2].float()), None, length), tape)
        last[0].square().sum().backward()
        found.append((W.grad, tape.values["mine"]))
    torch.testing.assert_close(*found, rtol=2e-4, atol=1e-6)
    torch.testing.assert_close(seen[0].d_RTBH, seen[1].d_RTBH, rtol=2e-4, atol=1e-6)


def test_faults_are_named():
    cell, x, weights, _, length, _ = problem("tanh", 5, 4, 8, 3, "symbols")
    weights = Weights(*(w.float() for w in weights))
    recurrence.use(TRITON)
    x[0, 0, 0] = 4
    with pytest.raises(IndexError, match="outside"):
        recur(Pass(cell, x, weights, None, length))
    with pytest.raises(ValueError, match="lengths"):
        recur(Pass(cell, x, weights, None, length + 1))


def test_cells_that_have_no_kernel_say_so():
    backend = cuda.Triton(1)
    like = torch.empty(0)
    assert backend.runs(make("tanh", 256), like) and backend.runs(make("lstm", 128), like)
    assert not backend.runs(make("tanh", 50), like.double())
    assert "256 units" in str(backend.refuses(make("tanh", 257)))
    assert "128 units" in str(backend.refuses(make("lstm", 129)))

    class Other(LSTM):
        def advance(self, a, before):
            return super().advance(a, before)

    assert "no kernel for mine" in str(backend.refuses(Other("mine", 5)))
    assert backend.refuses(make_architecture("gru").cell) is not None


def test_the_same_bits_again_and_neighbours_change_none():
    args = problem("tanh", 20, 5, 9, 3, "symbols", seed=2)
    cell, x, weights, state, length, back = args
    first, again = (everything(TRITON, torch.float32, *args) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    own = everything(
        TRITON,
        torch.float32,
        cell,
        x[:1],
        [w[:1] for w in weights],
        [part[:1] for part in state],
        length[:1],
        (back[0][:1], [part[:1] for part in back[1]]),
    )
    for name in own:
        torch.testing.assert_close(own[name], first[name][:1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "overrides", [["cell=lstm"], ["task=memorization_5bit", "optimizer=simplex"], ["cell.layers=2"]]
)
def test_a_whole_run(overrides, tmp_path):
    """Training, success tests, diagnostics and checkpoints, as on the reference."""
    small = ["replicas=2", "cell.hidden_size=9", "task.batch_size=4", "trainer.max_steps=2", "success.check_every=1"]
    small += ["success.sequences=4", "callbacks.diagnostics.every=2", "callbacks.diagnostics.sequences=2"]
    found = []
    names = (TRITON, TRITON_TF32, REFERENCE) if overrides == ["cell=lstm"] else (TRITON, REFERENCE)
    for name in names:  # the interpreter rounds no product
        population = run(compose(f"recurrence={name}", "task.length=11", *small, *overrides), tmp_path / name)
        assert "recurrence: " + name in (tmp_path / name / "config.yaml").read_text()
        found.append(population.parameters())
    for name, first in found[0].items():
        for other in found[1:-1]:
            torch.testing.assert_close(first, other[name], rtol=0, atol=0, msg=name)
        torch.testing.assert_close(first, found[-1][name], rtol=1e-4, atol=1e-6, msg=name)
