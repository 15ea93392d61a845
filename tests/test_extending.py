"""What comes from outside the package: a start of one's own, and a backend of one's own."""

import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from src import recurrence
from src.cells import Vanilla
from src.config import ConfigurationError
from src.config.sequences import sequence_problems
from src.directions import Direction, Omega, Simplex
from src.network import Network, build_architecture
from src.recurrence import BACKENDS, FUSED, REFERENCE, cpu
from src.recurrence.reference import Reference
from src.run import build, run
from src.trained import load_population, load_replica
from tasks.batch import collate
from tasks.data import TrainingData
from tasks.task import Classification, Split
from tests.conftest import compose, make_architecture, make_cell, make_task

pytestmark = pytest.mark.usefixtures("as_before")
RECURRENCES = [pytest.param(FUSED, marks=pytest.mark.skipif(not cpu.available(), reason="no compiler")), REFERENCE]

IRNN = '''
import numpy as np

from src.cells import Parameters


class Identity:
    """W = I, small inputs, no biases (IRNN)."""

    def __init__(self, std=0.01):
        self.std = std

    def __call__(self, inputs, hidden, outputs, draws):
        W_in = draws.normal(0, self.std, (inputs, hidden))
        W_out = draws.normal(0, self.std, (hidden, outputs))
        arrays = W_in, np.eye(hidden), np.zeros(hidden), W_out, np.zeros(outputs)
        return Parameters(*(array.astype(np.float32) for array in arrays))
'''
FILE = """
_target_: src.cells.Vanilla
name: irnn
hidden_size: 10
activation: relu
start:
  _target_: irnn_of_ones_own.Identity
  std: 0.1
layers: 1
"""


@pytest.fixture
def irnn(tmp_path, monkeypatch):
    """A module outside the package that can be imported."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "irnn_of_ones_own.py").write_text(IRNN)
    monkeypatch.syspath_prepend(str(folder))
    yield
    sys.modules.pop("irnn_of_ones_own", None)


def configured(*overrides):
    """A configuration with this cell's file."""
    cfg = compose("experiment=smoke", *overrides)
    cfg.cell = OmegaConf.create(FILE)
    return cfg


@pytest.mark.parametrize("name", RECURRENCES)
def test_a_start_of_ones_own(tmp_path, irnn, name):
    """It starts where it says, trains with either recurrence, and is handed on as torch's own network."""
    cfg = configured(f"recurrence={name}", "seed=5", "replicas=3", "optimizer=msgd_cr")
    architecture, task = build_architecture(cfg.cell), make_task()
    network = Network.start(architecture, task, [5, 6, 7])
    assert torch.equal(network.W.detach(), torch.eye(10).expand(3, 10, 10))
    assert not torch.equal(network.W_in[0], network.W_in[1]) and network.W_in.detach().std() == pytest.approx(
        0.1, rel=0.3
    )
    population = run(cfg, tmp_path / "run")
    assert population.updates.tolist() == [40] * 3
    assert recurrence.backend_of(architecture.cell, network.W).name == name
    trained = load_population(tmp_path / "run", modules=["irnn_of_ones_own"])
    rnn, readout = load_replica(tmp_path / "run", seed=6)
    assert isinstance(rnn, nn.RNN) and rnn.nonlinearity == "relu"
    assert not torch.equal(trained.network.W, network.W) and trained.network.W.isfinite().all()
    batch = collate([task.draw(30, 8, np.random.default_rng(0))] * 3)
    with torch.no_grad():
        mine = trained.network(batch.inputs, batch.length)[1]
        h, _ = rnn(nn.functional.one_hot(batch.inputs[1].long(), task.inputs).float())
        torch.testing.assert_close(readout(h[-1]), mine, rtol=1e-4, atol=1e-5)


def test_a_start_beside_what_it_replaces_is_refused(tmp_path, irnn):
    """By the cell, and in one line where it is configured."""
    with pytest.raises(TypeError, match="start: cannot be given beside std"):
        Vanilla("irnn", 5, start=lambda *_: None, std=0.1)
    assert Vanilla("irnn", 5, start=len).starting is len
    cfg = configured()
    cfg.cell = OmegaConf.merge(OmegaConf.create(FILE), {"std": 0.1})
    with pytest.raises(ConfigurationError, match="start: cannot be given beside std") as refused:
        build(cfg)
    assert len(refused.value.problems) == 1 and "\n" not in refused.value.problems[0]


class Counting(Reference):
    """The reference, and how often it was called."""

    name = "counting"

    def __init__(self, threads):
        self.threads = threads
        self.passes = self.learned = self.combined = 0

    def forward(self, given, keep, every_step):
        self.passes += 1
        return super().forward(given, keep, every_step)

    def learn(self, given, target, gradients, tape):
        self.learned += 1
        return super().learn(given, target, gradients, tape)

    def combine(self, *arguments):
        self.combined += 1
        super().combine(*arguments)


def registered(monkeypatch):
    """All of these that are made from now on."""
    made = []

    def make(threads):
        made.append(Counting(threads))
        return made[-1]

    monkeypatch.setitem(BACKENDS, "counting", make)
    return made


@pytest.mark.parametrize("direction", [Direction(), Omega(), Simplex()], ids=lambda d: type(d).__name__)
@pytest.mark.parametrize("cell", ["smart_tanh", "lstm"])
def test_a_backend_of_ones_own(monkeypatch, cell, direction):
    """It is called once for each pass, and gives the reference's bits."""
    made = registered(monkeypatch)
    task, data = make_task(length=12, max_length=20), TrainingData(make_task(length=12, max_length=20))
    batch = collate([data(seed, 1) for seed in range(3)])
    settings = {
        "alpha": torch.tensor([2.0, 0.0, 1.0]),
        "psi": torch.full((3,), float("inf")),
        "tiny": torch.full((3,), 1e-25),
    }
    gradients = {}
    for name in ("counting", REFERENCE):
        assert recurrence.use(name, 2) == name
        network = Network.start(make_architecture(cell, 7), task, range(3))
        assert recurrence.backend_of(network.architecture.cell, network.W).name == name
        for p in network.parameters():
            p.grad = torch.full_like(p, float("nan"))
        metrics = network.learn(batch, task, direction, settings, [(seed, 1) for seed in range(3)])
        network.wrong(batch, task)
        gradients[name] = [*metrics.values(), *(p.grad for p in network.parameters())]
    (backend,) = made
    assert (backend.threads, backend.passes, backend.learned) == (2, 2, 1)  # there and back, and the test
    assert backend.combined == isinstance(direction, Simplex)
    mine, theirs = gradients["counting"], gradients[REFERENCE]
    assert len(mine) == len(theirs)
    assert all(torch.equal(one.nan_to_num(-1), other.nan_to_num(-1)) for one, other in zip(mine, theirs, strict=True))


def test_a_backend_of_ones_own_is_settled_for_a_population(monkeypatch):
    made = registered(monkeypatch)
    cell = make_architecture("smart_tanh", 7).cell
    before = torch.get_num_threads()
    try:
        chosen = recurrence.settle("counting", cell, torch.device("cpu"), 2)
    finally:
        torch.set_num_threads(before)
    assert (chosen.backend, chosen.threads, chosen.reason) == ("counting", 2, None) and len(made) == 1


@pytest.mark.parametrize(("asked", "wanted"), [(None, 1), (2, 2)])
def test_a_cell_run_by_autograd_has_one_thread_unless_told_otherwise(asked, wanted):
    before = torch.get_num_threads()
    try:
        chosen = recurrence.settle(recurrence.AUTO, make_cell("gru"), torch.device("cpu"), asked)
        assert chosen.threads == torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(before)


class Odd(Classification):
    """Draws what it is told to."""

    inputs, outputs = 6, 4

    def __init__(self, inputs_of, target_of, **common):
        super().__init__(**common)
        self.drawn = inputs_of, target_of

    def draw(self, length, batch, draws, split=Split.TRAIN):
        return tuple(make(length, batch) for make in self.drawn)


def symbols(length, batch):
    return np.zeros((length, batch), dtype=np.int8)


def classes(length, batch):
    return np.zeros(batch, dtype=np.int64)


@pytest.mark.parametrize(
    ("inputs_of", "target_of", "words"),
    [
        (symbols, classes, None),
        (lambda T, B: np.zeros((T, B, 6), dtype=np.float32), classes, None),
        (lambda T, B: np.zeros((B, T), dtype=np.int8), classes, "must be (steps, sequences)"),
        (lambda T, B: np.zeros((T, B, 6)), classes, "vectors float32"),
        (lambda T, B: symbols(T, B) + 6, classes, "must be in [0, 6)"),
        (symbols, lambda T, B: np.zeros(B, dtype=bool), "classes must be integers"),
        (symbols, lambda T, B: classes(T, B) + 4, "must be in [0, 4)"),
        (symbols, lambda T, B: np.zeros((T, B), dtype=np.int64), "must be (sequences,)"),
        (lambda T, B: 1 / 0, classes, "division by zero"),
    ],
)
def test_what_a_task_draws_is_looked_at_first(inputs_of, target_of, words):
    problems = sequence_problems(compose(), Odd(inputs_of, target_of, name="odd", length=12))
    assert problems == [] if words is None else words in problems[0]
