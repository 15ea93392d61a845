"""A whole update, the success test and the diagnostics on "cuda", without a GPU: torch's fake tensors.

They know shapes and devices and hold no numbers. An operation that mixes devices raises, and so does whatever would
wait for the device to know a number. Kernels are not launched but counted. Where a backward pass is autograd's, which
builds of torch without CUDA refuse on fake GPUs, the tensors are torch's "meta" ones, which hold no numbers either.
"""

import ctypes
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from src import recurrence
from src.callbacks import TruncatedBPTT
from src.directions.temporal import norms
from src.network import Network
from src.recurrence import Pass, checks, cuda, recur
from src.recurrence.cuda import products
from src.recurrence.cuda import run as cuda_run
from src.recurrence.cuda import update as cuda_update
from src.run import build
from src.training.replay import Replays
from src.training.update import update
from tests.conftest import compose

TRITON = cuda.Triton.name
CUDA = torch.device("cuda")
META = torch.device("meta")

pytestmark = [
    pytest.mark.skipif(cuda.Triton.missing() is not None, reason=str(cuda.Triton.missing())),
    pytest.mark.usefixtures("as_before"),
]

FREE = {
    "view", "_unsafe_view", "reshape", "expand", "transpose", "t", "permute", "select", "slice", "split", "unbind",
    "split_with_sizes", "detach", "alias", "unsqueeze", "squeeze", "as_strided", "flatten", "empty", "new_empty",
    "empty_like", "empty_strided", "new_empty_strided", "lift_fresh", "unflatten", "is_pinned", "device",
}  # fmt: skip
"""Operations that launch nothing."""


class Launches(TorchDispatchMode):
    """Counts operations that launch a kernel on the device; those of Triton are added by hand."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        results = result if isinstance(result, tuple | list) else [result]
        tensors = [each for each in (*results, *args) if isinstance(each, torch.Tensor)]
        if name not in FREE and any(each.device.type == "cuda" for each in tensors):
            self.names.append(name)
        return result


class Counted(list):
    """Stands for the launch of a kernel."""

    def __call__(self, kernel, grid, arguments, constants, warps):
        tensors = [each for each in arguments.values() if isinstance(each, torch.Tensor)]
        (device,) = {each.device.type for each in tensors}
        assert device != "cpu"
        self.append(kernel.__name__)


@pytest.fixture
def guard():
    """Lets builds of torch without CUDA choose a GPU: a guard that does nothing, that of "meta", stands for CUDA's."""
    if torch.version.cuda is not None:
        yield
        return
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * 15).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    guards[1] = guards[14]  # by c10::DeviceType
    yield
    guards[1] = None


@pytest.fixture
def launched(monkeypatch):
    """The Triton kernels that would be launched."""
    kernels = Counted()
    monkeypatch.setattr(cuda_run, "launch", kernels)
    monkeypatch.setattr(products, "launch", kernels)
    monkeypatch.setattr(cuda_update, "launch", kernels)
    recurrence.use(TRITON)
    monkeypatch.setattr(checks, "_waiting", [])
    return kernels


def experiment(*overrides, replicas=3):
    """What a configuration makes, on the CPU, and a block of its mini-batches."""
    cfg = compose(f"replicas={replicas}", "task.length=12", "task.batch_size=6", "cell.hidden_size=13", *overrides)
    built = build(cfg)
    for callback in built.callbacks:
        if isinstance(callback, TruncatedBPTT):
            callback.setup(None, built.module, "fit")
    return built.module, built.data.next_block()[:2]


def repeated(block, count):
    """The same updates again and again."""
    return block.each(lambda rows: torch.cat([rows] * count), list(block.lengths) * count)


def on_device(module, device):
    """Moves a module's networks to a device that holds no numbers, as Lightning would to a real one."""
    parameters = {name: like(p, device) for name, p in module.network.named_parameters()}
    module.network = Network(module.network.architecture, parameters)
    module.population.attach(module.network, module.method.make_optimizer)
    return module.population


def like(tensor, device):
    """A tensor of this shape."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)


def empty(batch, device):
    return batch.each(lambda tensor: like(tensor, device), batch.lengths)


def two_updates(module, block, device):
    """Makes two updates, as a block does; returns what they found."""
    population = on_device(module, device)
    step = population.stack.optimizer.step
    found = []
    for number, batch in enumerate(block):
        lost_A = found[-1].diverged_A if found else None
        draws = population.draws(number)
        own = empty(batch, device)
        found.append(update(population.stack, own, module.task, module.method, step, draws, lost_A=lost_A))
    return found


IN_ONE_CALL = {
    "msgd_cr": [],
    "msgd_c, ragged": ["optimizer=msgd_c", "task.max_length=17"],
    "lstm": ["cell=lstm", "optimizer.omega=plain"],
    "addition": ["task=addition"],
    "every step": ["task=memorization_5bit"],
    "adam": ["optimizer=adam"],
    "falling rate": ["optimizer.half_life=100"],
    "no clipping": ["optimizer=msgd"],
    "simplex": ["optimizer=simplex"],
    "simplex, every step, ragged": ["optimizer=simplex", "task=memorization_5bit", "task.max_length=17"],
}
BY_AUTOGRAD = {
    "two layers": ["++cell.layers=2"],
    "dense, noise": ["++cell.dense=1", "++cell.noise=0.1"],
    "gru": ["cell=gru", "optimizer=msgd_c"],
    "many units": ["cell.hidden_size=300"],
    "simplex, two layers": ["optimizer=simplex", "++cell.layers=2"],
}


@pytest.mark.parametrize("name", IN_ONE_CALL)
def test_two_updates_wait_for_nothing(name, launched, guard):
    module, block = experiment(*IN_ONE_CALL[name])
    with FakeTensorMode(allow_non_fake_inputs=True):
        for found in two_updates(module, block, CUDA):
            numbers = [*found.metrics.values(), found.diverged_A]
            assert {each.device.type for each in numbers} == {"cuda"}
    assert len(launched) >= 2 * len(block)


@pytest.mark.parametrize("name", IN_ONE_CALL | BY_AUTOGRAD)
def test_nor_where_autograd_goes_back(name, launched, monkeypatch):
    monkeypatch.setattr(cuda.support, "fits", lambda *tensors: True)
    module, block = experiment(*(IN_ONE_CALL | BY_AUTOGRAD)[name])
    for found in two_updates(module, block, META):
        numbers = [*found.metrics.values(), found.diverged_A]
        assert {each.device.type for each in numbers} == {"meta"}
    assert bool(launched) == (name not in ("gru", "many units"))


def test_what_waits_is_seen(guard):
    """The checks above can fail."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        here, there = torch.empty(3), torch.empty(3, device=CUDA)
        with pytest.raises(DataDependentOutputException):
            bool(there.any())
        with pytest.raises(DataDependentOutputException):
            there.tolist()
        with pytest.raises(Exception, match="device"):
            here + there
    with pytest.raises(RuntimeError):
        bool(torch.empty(3, device=META).any())


@pytest.mark.parametrize("cell", ["smart_tanh", "lstm"])
@pytest.mark.parametrize("task_name", ["temporal_order", "memorization_5bit"])
def test_the_success_test_waits_only_for_its_answers(task_name, cell, launched, guard):
    module, block = experiment(f"task={task_name}", f"cell={cell}", "task.max_length=250")
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_device(module, CUDA)
        some = module.network.select([0, 2])
        wrong_RB = some.wrong(empty(block[0].select([0, 2]), CUDA), module.task)
        assert wrong_RB.device.type == "cuda"
    assert launched


def test_diagnostics(launched, monkeypatch):
    """Everything before the numbers are asked for."""
    monkeypatch.setattr(cuda.support, "fits", lambda *tensors: True)
    module, block = experiment()
    on_device(module, META)
    products: list = []
    tapes = module.network.tapes(keep=True, products=products)
    module.network.backward(empty(block[0], META), module.task, tapes)
    squares = norms(products, block[0].length.to(META), block[0].inputs.shape[1])
    assert {square.device.type for square in squares.values()} == {"meta"}
    assert tapes[0].factors.d_RTBH.device.type == "meta"


@pytest.mark.parametrize("symbols", [True, False])
def test_a_pass_without_lengths_or_a_state(symbols, launched, guard):
    module, block = experiment("task=temporal_order" if symbols else "task=addition")
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        on_device(module, CUDA)
        given = Pass(module.network.architecture.cell, empty(block[0], CUDA).inputs, module.network.weights())
        h_RTBH, last = recur(given)
    assert {each.device.type for each in (h_RTBH, *last)} == {"cuda"}
    assert launched == ["simple_forward"]


def test_an_update_of_405_replicas_launches_fewer_than_60_kernels(launched, guard):
    module, block = experiment(replicas=405)
    with FakeTensorMode(allow_non_fake_inputs=True):
        population = on_device(module, CUDA)
        batch = empty(block[0], CUDA)
        step = population.stack.optimizer.step
        with Launches() as launches:
            update(population.stack, batch, module.task, module.method, step, population.draws())
    assert launched == ["simple_forward", "losses", "simple_backward", "omega", "symbol_sums"]
    assert len(launches.names) + len(launched) < 60


LONG_BLOCKS = {
    "whole sequences": ([], (6, 3)),
    "sequences that are cut": (["callbacks.truncated_bptt.steps=5", "task.max_length=17"], (6, 3)),
    "cut, a target at every step": (["callbacks.truncated_bptt.steps=5", "task=memorization_5bit"], (6, 3)),
    "many parts": (["callbacks.truncated_bptt.steps=1", "task=memorization_5bit"], (12, 3)),
}
AN_EPOCH = ["task=price", "task.length=24", "task.window=3", "trainer.max_epochs=3", "cell=lstm", "optimizer=adam"]


@pytest.fixture
def asked(launched, monkeypatch):
    """Shapes of what the device is asked; nobody has diverged."""
    shapes = []
    monkeypatch.setattr(cuda.support, "fits", lambda *tensors: True)

    def answer(flags):
        shapes.append(tuple(flags.shape))
        checks._waiting.clear()
        return torch.zeros(flags.shape, dtype=torch.bool)

    monkeypatch.setattr(recurrence, "ask", answer)
    return shapes


def train_on_meta(module, block, monkeypatch):
    """Trains on one block, as Lightning would."""
    population = on_device(module, META)
    monkeypatch.setattr(type(module), "optimizers", lambda self: population.stack.optimizer)
    monkeypatch.setattr(population, "record", lambda *_: None)
    monkeypatch.setattr(Replays, "update", lambda *_: None)  # these tensors cannot be recorded
    module.training_step(block.to(META), 0)
    assert module.waiting == []


@pytest.mark.parametrize("name", LONG_BLOCKS)
def test_a_block_asks_once(name, asked, monkeypatch):
    """Updates, checks of symbols and lengths, and who diverged: one copy to the host for all of a block."""
    overrides, shape = LONG_BLOCKS[name]
    module, block = experiment(*overrides)
    joined = []
    put_together = checks._put_together
    monkeypatch.setattr(checks, "_put_together", lambda: joined.append(put_together()))
    train_on_meta(module, repeated(block, shape[0] // 2), monkeypatch)
    assert asked == [shape]
    assert bool(joined) == (name == "many parts")


def test_checks_of_devices_wait_until_somebody_asks():
    """Faults of one device do not meet those of another, nor the next run; many become few without waiting."""
    fine, wrong = torch.zeros(3, dtype=torch.bool), torch.ones(2, dtype=torch.bool)
    with recurrence.checked():
        checks._waiting.append((like(fine, META), IndexError("elsewhere")))
        assert recurrence.ask(fine) is fine
        assert len(checks._waiting) == 1
        checks._waiting.clear()
    for flags, error in ((fine, None), (wrong, IndexError)):
        with pytest.raises(error, match="told") if error else nullcontext(), recurrence.checked():
            checks._waiting.append((flags, IndexError("told")))
        assert checks._waiting == []
    with pytest.raises(KeyError), recurrence.checked():
        checks._waiting.append((wrong, IndexError("lost with the run")))
        raise KeyError
    assert checks._waiting == []
    for number in range(checks.MOST + 1):
        checks.refuse(like(fine, META), IndexError(f"told {number % 2}"))
    assert [str(error) for _, error in checks._waiting] == ["told 0", "told 1", "told 0"]
    checks._waiting.clear()


def test_an_epoch_asks_twice(asked, monkeypatch):
    """However many parts it has: who diverged in one of them, and who in the last. All are cut alike."""
    module, block = experiment(*AN_EPOCH, "callbacks.truncated_bptt.parts=[4]")
    train_on_meta(module, block, monkeypatch)
    assert asked == [(4, 3), (3,)]


def test_whoever_diverges_in_a_block_stays_as_he_was(monkeypatch):
    """On a device that is asked at the end of a block: the same outcome as on the CPU, which is asked each time."""
    outcomes = []
    for later in (False, True):
        module, block = experiment("optimizer=msgd", "cell=spectral", "cell.activation=identity", replicas=4)
        population = module.population
        recurrence.use(recurrence.REFERENCE)
        population.attach(module.network, module.method.make_optimizer)
        monkeypatch.setattr(type(module), "optimizers", lambda self, own=population: own.stack.optimizer)
        population.stack.settings["lr"].copy_(torch.tensor([3e2, 1e-5, 1e3, 1e-5]))
        if later:
            monkeypatch.setattr("src.training.module.works_ahead", lambda tensor: True)
            monkeypatch.setattr("src.training.clipping.works_ahead", lambda tensor: True)
        module.training_step(repeated(block, 8), 0)
        means = population.read("check")
        outcomes.append((population.live, population.updates.tolist(), population.parameters(), means))
    (live, updates, parameters, means), (live_2, updates_2, parameters_2, means_2) = outcomes
    assert live == live_2 and updates == updates_2
    assert 0 < len(live) < 4 and min(updates) < max(updates) == 16
    for name in parameters:
        torch.testing.assert_close(parameters[name], parameters_2[name], rtol=0, atol=0, equal_nan=True)
    for name in means:
        np.testing.assert_allclose(means[name], means_2[name], err_msg=name)


def test_less_exact_products_are_never_chosen_but_by_their_name():
    names = recurrence.process.of_device(CUDA)
    assert names[0] == TRITON and names.index(recurrence.REFERENCE) < names.index(cuda.TritonTF32.name)
