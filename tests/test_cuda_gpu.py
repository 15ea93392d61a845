"""What needs a GPU: `make test-gpu`. Everything that does not is in the other files named test_cuda."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from src import recurrence
from src.directions import Omega
from src.recurrence import REFERENCE, cuda
from src.run import build, run
from src.training.replay import Replays
from src.training.update import update
from tests.conftest import compose
from tests.test_cuda_kernels import learned, network_and_batch
from tests.test_fused import KINDS, assert_as_exact, everything, problem

TRITON = cuda.Triton.name
GPU = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU; make test-gpu where there is one"),
    pytest.mark.skipif(cuda.support.interpreted(), reason="make test-gpu runs these"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),  # torch calls it a prototype
    pytest.mark.usefixtures("as_before"),
]
SIZES = [(1, 1, 3), (13, 20, 7), (50, 33, 12), (64, 20, 9), (100, 1, 6), (128, 20, 5)]


def test_what_runs_here():
    """The block to paste beside the results."""
    import triton

    own = torch.cuda.get_device_properties(0)
    print(f"\n{own.name}, sm_{own.major}{own.minor}, {own.multi_processor_count} SMs, {own.total_memory >> 30} GB")
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, triton {triton.__version__}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_output_and_gradient(kind):
    for number, (H, B, T) in enumerate(SIZES):
        inputs = ("symbols", "vectors", "drive")[number % 3]
        args = problem(kind, H, B, T, 3, inputs)
        ours = everything(TRITON, torch.float32, *args, device=GPU)
        single, exact = (everything(REFERENCE, dtype, *args) for dtype in (torch.float32, torch.float64))
        assert_as_exact(ours, single, exact, (H, B, T, inputs))


@pytest.mark.parametrize("kind", ["tanh", "lstm"])
def test_a_thousand_steps(kind):
    args = problem(kind, 50, 20, 1000, 2, "symbols")
    ours = everything(TRITON, torch.float32, *args, device=GPU)
    single, exact = (everything(REFERENCE, dtype, *args) for dtype in (torch.float32, torch.float64))
    assert_as_exact(ours, single, exact, kind)


@pytest.mark.parametrize("cell", ["smart_tanh", "lstm"])
@pytest.mark.parametrize("task_name", ["temporal_order", "addition", "memorization_5bit"])
def test_a_whole_update(task_name, cell):
    task, network, batch = network_and_batch(cell, task_name)
    settings = {"alpha": torch.tensor([0.5, 0.0, 2.0])}
    wanted = learned(REFERENCE, task, network, batch, Omega(), settings)
    network.to(GPU)
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    on_gpu = {name: value.to(GPU) for name, value in settings.items()}
    ours = learned(TRITON, task, network, batch.to(torch.device(GPU)), Omega(), on_gpu)
    for name in wanted:
        torch.testing.assert_close(ours[name].cpu(), wanted[name], rtol=2e-4, atol=2e-6, equal_nan=True, msg=name)


def trained(*overrides, updates=20):
    """Parameters by name after some updates on the GPU, during which nothing may wait for it."""
    experiment = build(compose("trainer.accelerator=gpu", "block=20", *overrides))
    module, population = experiment.module, experiment.module.population
    recurrence.use(TRITON)
    module.network.to(GPU)
    step = module.configure_optimizers().step
    population.begin()
    block = [batch.to(torch.device(GPU)) for batch in experiment.data.next_block()[:updates]]
    torch.cuda.synchronize()
    lost_A = None
    for number, batch in enumerate(block):
        torch.cuda.set_sync_debug_mode("error" if number else "default")  # the first one compiles
        draws = population.draws(number)
        try:
            found = update(population.stack, batch, module.task, module.method, step, draws, lost_A=lost_A)
            lost_A = found.diverged_A
        finally:
            torch.cuda.set_sync_debug_mode("default")
    experiment.data.teardown("fit")
    return {name: p.cpu() for name, p in population.parameters().items()}


@pytest.mark.parametrize("overrides", [[], ["cell=lstm"], ["task.max_length=80"], ["optimizer=simplex"]])
def test_nothing_waits_and_the_bits_are_the_same_again(overrides):
    first, again = trained(*overrides), trained(*overrides)
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("overrides", [["cell=gru", "optimizer=msgd_c"], ["cell.hidden_size=300"]])
def test_the_loop_gives_the_same_bits_again(overrides, tmp_path):
    keys = ["trainer.accelerator=gpu", "trainer.max_steps=20", "task.length=12", *overrides]
    first, again = (run(compose(*keys), tmp_path / name).parameters() for name in ("first", "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_blocks_change_nothing_beyond_rounding(tmp_path):
    keys = ["trainer.accelerator=gpu", "trainer.max_steps=20"]
    one, many = (run(compose(*keys, f"block={size}"), tmp_path / str(size)).parameters() for size in (1, 20))
    for name in one:
        torch.testing.assert_close(one[name], many[name], rtol=1e-4, atol=1e-6, msg=name)


REPLAYED = {
    "LSTM": ["cell=lstm", "optimizer=msgd_c"],
    "every step": ["task=memorization_5bit"],
    "lengths": ["task.max_length=40", "optimizer.momentum=.9"],
    "curriculum": ["curriculum=grow", "curriculum.first=10", "success.check_every=20", "success.max_error=0.9"],
}


@pytest.mark.parametrize("overrides", REPLAYED.values(), ids=REPLAYED)
def test_replayed_updates_are_those_made_one_by_one(overrides, tmp_path, monkeypatch):
    """To the last bit, in whole runs; half of a run's updates at least are replayed."""
    keys = ["trainer.accelerator=gpu", "trainer.max_steps=80", "task.length=20", *overrides]
    replayed = []
    update_of = Replays.update

    def counted(self, *args):
        found = update_of(self, *args)
        replayed.append(found is not None)
        return found

    monkeypatch.setattr(Replays, "update", counted)
    made = run(compose(*keys), tmp_path / "replayed").parameters()
    monkeypatch.setattr(Replays, "update", lambda *args: None)
    by_hand = run(compose(*keys), tmp_path / "by_hand").parameters()
    assert sum(replayed) > 40
    assert all(torch.equal(made[name], by_hand[name]) for name in made)


def test_whoever_leaves_is_not_missed(tmp_path):
    """Rows move when a replica solves the task: what was recorded is forgotten, and recorded anew."""
    keys = ["trainer.accelerator=gpu", "trainer.max_steps=4000", "task.length=10", "success.check_every=100"]
    population = run(compose(*keys, "success.max_error=0.3"), tmp_path)
    assert population.solved_R.sum() >= 2 and len(set(population.solved_at)) >= 2


def test_a_pack_replays_its_updates(tmp_path):
    """Jobs of several methods and lengths in one stack."""
    command = ["-m", "src.train", "-m", "hydra/launcher=packed", "optimizer=msgd_c,msgd_cr", "task.length=10,14"]
    keys = ["replicas=2", "trainer.max_steps=60", "success.check_every=30", "trainer.accelerator=gpu", "logger=none"]
    swept = subprocess.run(
        [sys.executable, *command, *keys, f"hydra.sweep.dir={tmp_path}"], capture_output=True, text=True, timeout=200
    )
    assert swept.returncode == 0, swept.stderr
    rows = [row for each in tmp_path.glob("*/results.csv") for row in each.read_text().splitlines()[1:]]
    assert len(rows) == 8


def test_neighbours_change_nothing_beyond_rounding():
    """Seed 7 alone, and as the third of eight."""
    alone, packed = trained("seed=7", "replicas=1"), trained("seed=5", "replicas=8")
    for name in alone:
        torch.testing.assert_close(alone[name][0], packed[name][2], rtol=1e-4, atol=1e-6, msg=name)


PRICE = ["task=price", "task.length=24", "task.window=3", "trainer.max_epochs=20", "cell=lstm", "optimizer=adam"]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["++cell.layers=2"],
        ["callbacks.truncated_bptt.steps=5", "task=memorization_5bit", "task.length=20"],
        [*PRICE, "callbacks.truncated_bptt.parts=[4]"],
    ],
    ids=["plain", "two layers", "cut", "epochs"],
)
def test_whole_runs_learn_as_on_the_cpu(overrides, tmp_path):
    losses = []
    for accelerator in ("cpu", "gpu"):
        keys = [f"trainer.accelerator={accelerator}", "trainer.max_steps=60", "success.check_every=30", *overrides]
        cfg = compose(*keys)
        population = run(cfg, tmp_path / accelerator)
        losses.append(population.means["check"]["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-3)
