"""The fused recurrence against the reference: every output and gradient, bits, faults, and how it is built."""

import ctypes
import gc
import os
import shutil
import subprocess
import sys
from copy import deepcopy
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
import torch

from src import recurrence
from src.cells import LSTM, Vanilla, Weights
from src.directions import Direction, Omega, OmegaTerm, Tape
from src.network import Network
from src.recurrence import FUSED, REFERENCE, Pass, cpu, recur
from src.recurrence.cpu import build, layout, memory, structs
from src.recurrence.cpu.library import load
from tasks.batch import collate
from tasks.data import TrainingData
from tests import numpy_reference as ref
from tests.conftest import ROOT, compose, make_architecture, make_task, one_layer

pytestmark = [
    pytest.mark.skipif(not cpu.available(), reason="no C++ compiler"),
    pytest.mark.usefixtures("as_before"),
]
KINDS = ["tanh", "sigmoid", "relu", "elu", "identity", "lstm"]
INPUTS = ["symbols", "vectors", "drive"]
SYMBOLS = 4


def make(kind, H):
    return LSTM("lstm", H) if kind == "lstm" else Vanilla("vanilla", H, activation=kind)


def problem(kind, H, B, T, R, inputs, seed=0):
    """A cell, weights, inputs, states and derivatives that flow back, drawn in float64; lengths differ."""
    cell, generator = make(kind, H), torch.Generator().manual_seed(seed)
    G = cell.gates * H

    def normal(*shape, scale=1.0):
        return scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    x = {
        "symbols": torch.randint(0, SYMBOLS, (R, T, B), generator=generator, dtype=torch.int8),
        "vectors": normal(R, T, B, SYMBOLS),
        "drive": normal(R, T, B, G),
    }[inputs]
    weights = [normal(R, H, G, scale=0.7 * H**-0.5)]
    weights += [None, None] if inputs == "drive" else [normal(R, SYMBOLS, G, scale=0.5), normal(R, G, scale=0.3)]
    state = [normal(R, B, H, scale=0.5) for _ in range(cell.parts)]
    back = normal(R, T, B, H, scale=0.3), [normal(R, B, H) for _ in range(cell.parts)]
    length = torch.tensor([T, max(T - 5, 0), T // 2][:R])
    return cell, x, weights, state, length, back


def everything(name, dtype, cell, x, weights, state, length, back, threads=1, form="squared", alpha=0.3, device="cpu"):
    """All that comes out of one pass there and back, by name; α is 0 for the second replica."""
    recurrence.use(name, threads)

    def own(tensor):
        floating = tensor is not None and tensor.is_floating_point()
        if tensor is None:
            return None
        return tensor.to(device, dtype, copy=True).requires_grad_() if floating else tensor.to(device)

    x, state, weights = own(x), [own(part) for part in state], [own(w) for w in weights]
    alpha_R = torch.tensor([alpha, 0.0, 3 * alpha][: len(length)], dtype=dtype, device=device)
    tape = Tape({"omega": OmegaTerm(form, alpha_R)}, keep=True)
    h, last = recur(Pass(cell, x, Weights(*weights), tuple(state), length.to(device)), tape)
    direct, at_end = back
    total = (h * direct.to(device, dtype)).sum()
    for part, derivative in zip(last, at_end, strict=True):
        total = total + (part * derivative.to(device, dtype)).sum()
    total.backward()
    factors, out = tape.factors, {"h": h, "omega": tape.values["omega"].nan_to_num(nan=-1.0)}
    out |= {f"last{i}": part for i, part in enumerate(last)} | {f"dstate{i}": part.grad for i, part in enumerate(state)}
    out |= {name: w.grad for name, w in zip(("dW", "dW_in", "db"), weights, strict=True) if w is not None}
    out |= {name: getattr(factors, name) for name in ("delta_RTBG", "v_RTBH", "d_RTBH", "d2_RTB", "v2_RTB")}
    if x.is_floating_point() and weights[1] is None:
        out["dz"] = x.grad
    return {name: value.detach().double().cpu() for name, value in out.items()}


def assert_as_exact(fused, single, exact, context):
    """As near to float64 as the reference is in float32, within a factor for another order of summation and another
    tanh (6 units in the last place), and some roundings of the largest number where the reference is exact by chance.
    """
    eps = torch.finfo(torch.float32).eps
    for name in exact:
        scale = float(exact[name].abs().max())
        allowed = 8 * float((single[name] - exact[name]).abs().max()) + 64 * eps * scale
        assert float((fused[name] - exact[name]).abs().max()) <= allowed, (name, *context)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_output_and_gradient(kind, inputs):
    """Odd and even sizes, small and larger than any block or register; with Ω in both forms; 1, 2 and 5 threads."""
    sizes = [(1, 1), (7, 3), (35, 13), (36, 6), (37, 20), (50, 20), (64, 4), (130, 27)]
    for number, (H, B) in enumerate(sizes):
        for T, R in ((1, 1), (13, 3)):
            args, form = problem(kind, H, B, T, R, inputs), ["squared", "plain"][number % 2]
            exact = everything("reference", torch.float64, *args, form=form)
            single = everything("reference", torch.float32, *args, form=form)
            fused = everything("fused", torch.float32, *args, form=form)
            assert_as_exact(fused, single, exact, (H, B, T, R))
            for threads in (2, 5):
                again = everything("fused", torch.float32, *args, threads, form=form)
                assert [name for name in fused if not torch.equal(fused[name], again[name])] == []


@pytest.mark.parametrize("kind", ["tanh", "lstm"])
def test_a_thousand_steps(kind):
    args = problem(kind, 20, 5, 1000, 2, "vectors")
    exact, single = (everything("reference", dtype, *args) for dtype in (torch.float64, torch.float32))
    fused = everything("fused", torch.float32, *args, threads=2)
    assert_as_exact(fused, single, exact, ())


@pytest.mark.parametrize("H", [256, 1000])
def test_wide_layers(H):
    for kind in ("tanh", "lstm"):
        args = problem(kind, H, 3, 4, 2, "symbols")
        exact, single = (everything("reference", dtype, *args) for dtype in (torch.float64, torch.float32))
        assert_as_exact(everything("fused", torch.float32, *args, threads=2), single, exact, (kind,))


def test_tanh_is_right_to_six_units_in_the_last_place():
    """Over the whole range, by an identity step: h = σ(z)."""
    x = np.concatenate([np.logspace(-28, 2, 200_000), np.linspace(1e-6, 10, 200_000)]).astype(np.float32)
    x = torch.from_numpy(np.concatenate([x, -x])).view(1, 1, -1, 1)
    h, _ = recur(Pass(make("tanh", 1), x, Weights(torch.zeros(1, 1, 1))))
    exact = np.tanh(x.double().numpy())
    units = np.abs(h.double().numpy() - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert units.max() <= 6 and h.abs().max() <= 1
    assert torch.equal(h[0, 0, : x.shape[2] // 2], -h[0, 0, x.shape[2] // 2 :])


def learned(network, batch, task, direction, recurrence_name, threads=1, **settings):
    """Loss, Ω and every gradient by Network.learn."""
    recurrence.use(recurrence_name, threads)
    for p in network.parameters():
        p.grad = torch.full_like(p, float("nan"))  # to be overwritten
    metrics = network.learn(batch, task, direction, settings)
    return metrics | {name: p.grad.clone() for name, p in network.named_parameters()}


@pytest.mark.parametrize("form", [None, "squared", "plain"])
@pytest.mark.parametrize("name", [FUSED, REFERENCE])
@pytest.mark.parametrize("task_name", ["temporal_order", "addition", "memorization_5bit", "permutation"])
@pytest.mark.parametrize("cell_name", ["sigmoid", "basic_tanh", "lstm"])
def test_a_whole_update_equals_numpy(cell_name, task_name, form, name):
    """Readout, loss and Ω included, against the float64 formulas; ragged, each replica with its own α; targets at the
    last step and at every step."""
    kind = {"sigmoid": "sigmoid", "basic_tanh": "tanh", "lstm": "lstm"}[cell_name]
    task = make_task(task_name, length=11, max_length=17, batch_size=13)
    if task_name == "permutation":
        task.every_step, task.predict = True, "every"
    network = Network.start(make_architecture(cell_name, 37), task, range(3))
    generator = torch.Generator().manual_seed(1)
    for p in network.parameters():
        p.data = 0.3 * torch.randn(p.shape, generator=generator)
    data = TrainingData(task)
    batch = collate([data(seed, 3) for seed in range(3)])
    alpha_R = torch.tensor([0.5, 2.0, 4.0])
    direction = Omega(form) if form else Direction()
    mine = learned(network, batch, task, direction, name, threads=2, alpha=alpha_R)
    for r in range(3):
        p = {name: value[r].detach().double().numpy() for name, value in network.named_parameters()}
        x = batch.inputs[r, : batch.length[r]].numpy()
        x = x.astype(float) if task_name == "addition" else np.eye(task.inputs)[x]
        loss = ref.squared_error if task_name == "addition" else ref.cross_entropy
        target = batch.target[r, : batch.length[r]] if task.every_step else batch.target[r]
        expected = ref.run(kind, p, x, target.numpy(), loss)
        wanted = expected["grads"] | {"loss": expected["loss"]}
        if form:
            factors = expected["d"], expected["delta"], expected["v"], form
            wanted["omega"] = ref.omega_value(expected["d"], expected["v"], form)
            wanted["W"] = wanted["W"] + float(alpha_R[r]) * ref.omega_gradient(p["W"], *factors)
        for part, value in wanted.items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(mine[part][r], value, rtol=2e-4, atol=2e-5 * scale, err_msg=part)


@pytest.mark.parametrize("name", [FUSED, REFERENCE])
@pytest.mark.parametrize("form", ["squared", "plain"])
@pytest.mark.parametrize("ends", [range(0), range(3), range(20, 26), range(26)])
def test_omega_of_sequences_whose_gradients_vanish(ends, form, name):
    """Saturated units send nothing back. Some sequences end so: none, in one of three tiles or in another one, all."""
    task = make_task(length=12, batch_size=26)
    network = Network.start(make_architecture("basic_tanh", 37), task, range(2))
    generator = torch.Generator().manual_seed(1)
    weights = dict(network.named_parameters())
    for p in weights.values():
        p.data = 0.3 * torch.randn(p.shape, generator=generator)
    weights["W_in"].data[:, 0] = 100.0  # tanh is 1 then, and its slope 0
    data = TrainingData(task)
    batch = collate([data(seed, 3) for seed in range(2)])
    batch.inputs[0].clamp_(min=1)
    batch.inputs[0, -1, list(ends)] = 0
    alone = learned(network.select([0]), batch.select([0]), task, Omega(form), name, alpha=torch.full((1,), 4.0))
    mine = learned(network, batch, task, Omega(form), name, threads=3, alpha=torch.tensor([4.0, 0.5]))
    assert name == REFERENCE or all(torch.equal(value[0], alone[key][0]) for key, value in mine.items())
    p = {key: value[0].detach().double().numpy() for key, value in weights.items()}
    expected = ref.run("tanh", p, np.eye(task.inputs)[batch.inputs[0]], batch.target[0].numpy(), ref.cross_entropy)
    factors = expected["d"], expected["delta"], expected["v"], form
    value = ref.omega_value(expected["d"], expected["v"], form)
    wanted = expected["grads"]["W"] + 4 * ref.omega_gradient(p["W"], *factors)
    assert float(mine["omega"][0]) == pytest.approx(value, rel=2e-4)
    np.testing.assert_allclose(mine["W"][0], wanted, rtol=2e-4, atol=2e-5 * np.abs(wanted).max())


def test_learn_and_autograd_agree_and_others_fall_back():
    """The same through recur() and torch's loss; a task with a loss of its own takes that way by itself."""

    class Own(type(make_task())):
        def loss(self, output, target, length_R):
            return 2 * super().loss(output, target, length_R)

    task = make_task(length=12)
    own = Own(name="own", length=12)
    network, data = Network.start(make_architecture("smart_tanh"), task, range(2)), TrainingData(task)
    batch = collate([data(seed, 0) for seed in range(2)])
    assert task.loss_form == "cross_entropy" and own.loss_form is None
    one, two = (learned(network, batch, each, Direction(), "fused") for each in (task, own))
    plain = learned(network, batch, task, Direction(), "reference")
    for name in one:
        scale = float(one[name].abs().max())
        torch.testing.assert_close(two[name], 2 * one[name], rtol=1e-4, atol=2e-5 * scale)
        torch.testing.assert_close(plain[name], one[name], rtol=1e-4, atol=2e-5 * scale)


def test_any_reweighting_works():
    """A direction of one's own, through the factors."""

    def weight(factors):
        return factors.d2_RTB.sum((1, 2)), 0.1 / (1 + factors.d2_RTB)

    class Heavier(OmegaTerm):
        def __call__(self, factors):
            value, coefficient = super().__call__(factors)
            return value, 1000 * coefficient

    args = problem("tanh", 20, 7, 9, 3, "symbols")
    cell, x, weights, state, length, (_, (at_end,)) = args
    for term in (weight, Heavier("squared", torch.ones(3))):
        results = []
        for name in ("reference", "fused"):
            spoiled = memory.empty(100_000).fill_(float("nan"))  # what padding would hold if nobody cleared it
            del spoiled
            recurrence.use(name)
            own = [w.float().requires_grad_() for w in weights]
            start = tuple(part.float() for part in state)
            tape = Tape({"own": term})
            _, (last,) = recur(Pass(cell, x, Weights(*own), start, length), tape, every_step=False)
            (last * at_end.float()).sum().backward()
            results.append([w.grad for w in own])
        for mine, theirs in zip(*results, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_a_cell_or_network_with_equations_of_its_own_is_not_replaced():
    """Whatever a subclass or a new activation says is what is computed."""

    class Silent(Vanilla):
        def _each(self, which, x_RBH):
            return 0 * super()._each(which, x_RBH)

    class Mute(Network):
        def readout(self, h_RBH):
            return 0 * super().readout(h_RBH)

    recurrence.use("fused")
    z, W = torch.ones(1, 2, 3, 5), Weights(torch.zeros(1, 5, 5))
    assert not recur(Pass(Silent("silent", 5), z, W))[0].any() and recur(Pass(Vanilla("v", 5), z, W))[0].all()
    task = make_task(length=12)
    network, data = Network.start(make_architecture("smart_tanh"), task, [0]), TrainingData(task)
    mute = Mute(network.architecture, {name: p.detach() for name, p in network.named_parameters()})
    own = learned(mute, collate([data(0, 0)]), task, Direction(), "fused")
    assert float(own["loss"]) == pytest.approx(np.log(4)) and not own["W"].any()


def test_gradients_are_written_where_they_lie_now():
    """After they were dropped, after parameters moved, in a deep copy; or it is said that they cannot be."""
    task = make_task(length=12)
    network, data = Network.start(make_architecture("smart_tanh"), task, [0]), TrainingData(task)
    batch = collate([data(0, 0)])
    first = learned(network, batch, task, Direction(), "fused")
    network.zero_grad()
    with pytest.raises(ValueError, match="grad"):
        network.learn(batch, task, Direction(), {})
    other = deepcopy(network)
    for p in other.parameters():
        p.data = p.data.clone()
    again = learned(other, batch, task, Direction(), "fused")
    assert [name for name in first if not torch.equal(first[name], again[name])] == []
    assert all(p.grad is None for p in network.parameters())
    other.W.grad = torch.zeros(1, 50, 50).transpose(1, 2)
    with pytest.raises(ValueError, match="dW is not contiguous"):
        other.learn(batch, task, Direction(), {})


def test_activations_of_replicas_may_differ():
    """Mixed in one call, each is as it is alone; and the one that stays when others leave."""
    task = make_task(length=12)
    cell = Vanilla("mixed", 10, activation=KINDS[:5], std=0.3)
    network, data = Network.start(one_layer(cell), task, range(5)), TrainingData(task)
    batch = collate([data(seed, 0) for seed in range(5)])
    for name in ("fused", "reference"):
        mixed = learned(network, batch, task, Direction(), name, threads=2)
        for r, activation in enumerate(KINDS[:5]):
            alone = network.select([r])
            assert alone.architecture.cell.names(1) == [activation]
            own = learned(alone, batch.select([r]), task, Direction(), name)
            assert [key for key in own if not torch.equal(own[key][0], mixed[key][r])] == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("H", [7, 50])
def test_numbers_that_are_not_finite_travel_as_in_the_reference(H, kind, bad):
    """From an input, a weight, or what flows back: the same places are NaN, infinite or neither; neighbours stay."""
    for where in ("drive", "W", "back"):
        cell, x, weights, state, length, (direct, at_end) = problem(kind, H, 3, 6, 2, "drive")
        length = torch.tensor([6, 6])
        clean = everything("fused", torch.float32, cell, x, weights, state, length, (direct, at_end), alpha=0.0)
        spoiled = {"drive": x, "W": weights[0], "back": direct}[where]
        spoiled[(0,) * spoiled.ndim] = bad
        args = cell, x, weights, state, length, (direct, at_end)
        theirs, mine = (everything(name, torch.float32, *args, alpha=0.0) for name in ("reference", "fused"))
        for name in ("h", "dW", "dz", "delta_RTBG", "v_RTBH", "d2_RTB", "v2_RTB", "dstate0", "last0"):
            assert torch.equal(mine[name].isfinite(), theirs[name].isfinite()), (where, name)
            assert torch.equal(mine[name][1], clean[name][1]), (where, name)
        assert torch.equal(mine["h"].isnan(), theirs["h"].isnan()), where


def test_denormals_are_flushed_in_every_thread():
    """1e-38 times 1e-3 is a denormal number; in any of 8 replicas' threads it is 0."""
    recurrence.use("fused", 4)
    W = 1e-3 * torch.eye(3).expand(8, 3, 3)
    state = (torch.full((8, 40, 3), 1.2e-38),)
    h, _ = recur(Pass(make("identity", 3), torch.zeros(8, 2, 40, 3), Weights(W), state))
    assert not h.any()
    assert torch.tensor(1.2e-38) * torch.tensor(1e-3) == 0  # and in the rest of the program


def test_what_is_out_of_range_is_refused():
    weights = Weights(torch.zeros(1, 3, 3), torch.zeros(1, 4, 3), torch.zeros(1, 3))
    cell, symbols = make("tanh", 3), torch.zeros(1, 5, 2, dtype=torch.int8)
    for wrong, name in ((4, "fused"), (-1, "fused"), (4, "reference"), (-1, "reference")):
        recurrence.use(name)
        symbols[0, 3, 1] = wrong
        with pytest.raises(IndexError, match="symbol"):
            recur(Pass(cell, symbols, weights))
        recur(Pass(cell, symbols, weights, length_R=torch.tensor([3])))  # in padding anything may stand
    recurrence.use("fused")
    with pytest.raises(ValueError, match="lengths"):
        recur(Pass(cell, symbols, weights, length_R=torch.tensor([6])))
    with pytest.raises(ValueError, match="W has shape"):
        recur(Pass(make("tanh", 4), symbols, weights))
    with pytest.raises(ValueError, match="inputs"):
        recur(Pass(cell, torch.zeros(1, 5, 2, 3), weights))
    with pytest.raises(ValueError, match="state"):
        recur(Pass(cell, symbols.abs(), weights, (torch.zeros(1, 2, 4),)))
    with pytest.raises(ValueError, match="alpha has shape"):
        args = problem("tanh", 4, 2, 3, 3, "symbols")
        short = OmegaTerm("squared", torch.ones(1))
        own = [w.float().requires_grad_() for w in args[2]]
        recur(Pass(args[0], args[1], Weights(*own)), Tape({"omega": short}))[0].sum().backward()
    with pytest.raises(ValueError, match="1 activations for 3"):
        one = Vanilla("v", 3, activation=["tanh"])
        recur(Pass(one, torch.zeros(3, 5, 2, 3), Weights(torch.zeros(3, 3, 3))))
    with pytest.raises(ValueError, match="no sequence"):
        recur(Pass(cell, torch.zeros(1, 5, 0, dtype=torch.int8), weights))
    with pytest.raises(TypeError, match="W_in is torch"):
        recur(Pass(cell, symbols, Weights(weights.W, weights.W_in.double(), weights.b)))
    task = make_task(length=12)
    network, data = Network.start(make_architecture("smart_tanh"), task, [0]), TrainingData(task)
    batch = collate([data(0, 0)])
    batch.target[0, 0] = 4
    with pytest.raises(IndexError, match="class"):
        learned(network, batch, task, Direction(), "fused")


@pytest.mark.parametrize("name", ["fused", "reference"])
@pytest.mark.parametrize("cell_name", ["smart_tanh", "lstm"])
@pytest.mark.parametrize("task_name", ["temporal_order", "addition"])
def test_padding_never_leaks(cell_name, task_name, name):
    """Whatever stands there: symbols that there are not, NaN."""
    task = make_task(task_name, length=10, max_length=20)
    network, data = Network.start(make_architecture(cell_name, 19), task, range(3)), TrainingData(task)
    batch = collate([data(seed, 0) for seed in range(3)])
    before = learned(network, batch, task, Omega(), name, alpha=torch.ones(3))
    for r in range(3):
        batch.inputs[r, batch.length[r] :] = 100 if task_name == "temporal_order" else float("nan")
    after = learned(network, batch, task, Omega(), name, alpha=torch.ones(3))
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    for r in range(3):  # and alone, where there is none
        alone = batch.select([r])._replace(inputs=batch.inputs[r : r + 1, : batch.length[r]])
        own = learned(network.select([r]), alone, task, Omega(), name, alpha=torch.ones(1))
        assert [name for name in own if not torch.equal(own[name][0], before[name][r])] == []


def test_blocks_of_memory_return():
    """A block is free when the last view of it is gone, and no two tensors share one."""
    gc.collect()
    memory._free.clear()  # what other tests have left
    one, two = memory.empty(1000), memory.empty(1000)
    assert one.data_ptr() != two.data_ptr()
    address, view = two.data_ptr(), two[10:20]
    del two
    assert memory.empty(1000).data_ptr() != address
    del view
    held = [memory.empty(1000) for _ in range(3)]
    assert address in [each.data_ptr() for each in held]


# -- how it is built ---------------------------------------------------------------------------------------------------

BUILD = """
import ctypes
from src.recurrence.cpu import build
build.OPTIONS = tuple(option.replace("-O3", "-O0") for option in build.OPTIONS)  # quick to compile
path = build.build()
ctypes.CDLL(str(path)).lanes()
print(path)
"""


def start(cache, code=BUILD, **environment):
    env = os.environ | {"XDG_CACHE_HOME": str(cache)} | environment
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out.strip(), err


def test_of_processes_that_begin_at_once_one_builds_and_a_damaged_library_is_built_again(tmp_path):
    """The compiler is one that counts its calls."""
    compiler = tmp_path / "counting"
    real = shutil.which("c++")
    compiler.write_text(f'#!/bin/sh\ncase "$*" in *cpu.so*) echo >> {tmp_path}/calls;; esac\nexec {real} "$@"\n')
    compiler.chmod(0o755)
    all_four = [finish(process) for process in [start(tmp_path, CXX=str(compiler)) for _ in range(4)]]
    assert [code for code, _, _ in all_four] == [0] * 4, all_four
    assert (tmp_path / "calls").read_text() == "\n"
    folder = tmp_path / "rnn-long-memory"
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".so"]  # nothing half-done is left
    shutil.rmtree(folder)
    library = Path(finish(start(tmp_path))[1])
    intact, made = library.read_bytes(), library.stat().st_mtime_ns
    assert finish(start(tmp_path))[1] == str(library) and library.stat().st_mtime_ns == made  # found again
    for damage in (b"", intact[:5000] + b"x" + intact[5001:]):
        library.write_bytes(damage)
        code, path, err = finish(start(tmp_path))
        assert code == 0 and path == str(library), err
        assert len(library.read_bytes()) == len(intact) and library.read_bytes() != damage


def test_another_source_compiler_or_processor_is_another_library(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "_compile", lambda compiler, target: target.write_bytes(b"library") and target)
    names = {build.build().name}
    monkeypatch.setattr(build, "processor", lambda: "another")
    names.add(build.build().name)
    monkeypatch.setattr(build, "_version", lambda compiler: "another")
    names.add(build.build().name)
    files = sorted(build.NATIVE.iterdir())
    for file in files:  # every header, and the source
        changed = tmp_path / f"changed-{file.name}"
        shutil.copytree(build.NATIVE, changed)
        (changed / file.name).write_text(file.read_text() + "// another")
        monkeypatch.setattr(build, "NATIVE", changed)
        names.add(build.build().name)
    assert len(files) > 20 and len(names) == 3 + len(files)


def drifted(struct, change):
    """A copy of a struct by the same name, its fields changed."""
    return type(struct.__name__, (ctypes.Structure,), {"_fields_": change(list(struct._fields_))})


DRIFTS = {
    "Call.R is offset 8, 8 bytes in Python, offset 0, 8 bytes in C": ("Call", lambda own: [own[1], own[0], *own[2:]]),
    "the whole of Call is .* in Python": ("Call", lambda own: own[:-1]),
    "the whole of Noise is": ("Noise", lambda own: [*own, ("more", ctypes.c_int64)]),
    "Linear.y is missing in Python": (
        "Linear",
        lambda own: [("z", kind) if n == "y" else (n, kind) for n, kind in own],
    ),
    "Simplex.beta is offset 64, 8 bytes in Python, offset 64, 8 bytes, a pointer in C": (
        "Simplex",
        lambda own: [(n, ctypes.c_int64) if n == "beta" else (n, kind) for n, kind in own],
    ),
    "Product.K is offset 8, 4 bytes": (
        "Product",
        lambda own: [(n, ctypes.c_int32) if n == "K" else (n, kind) for n, kind in own],
    ),
}


@pytest.mark.parametrize("message", DRIFTS)
def test_a_struct_that_is_not_that_of_the_library_is_refused(message):
    name, change = DRIFTS[message]
    own = [drifted(struct, change) if struct.__name__ == name else struct for struct in structs.STRUCTS]
    with pytest.raises(RuntimeError, match=message):
        layout.check(cpu.library(), own, structs.CODES)
    layout.check(cpu.library(), structs.STRUCTS, structs.CODES)


def test_a_code_that_is_not_that_of_the_library_is_refused():
    swapped = IntEnum("Form", {"SQUARED": 1, "PLAIN": 0})
    codes = [swapped if code is structs.Form else code for code in structs.CODES]
    with pytest.raises(RuntimeError, match=r"Form.SQUARED is code 1 in Python, code 0 in C"):
        layout.check(cpu.library(), structs.STRUCTS, codes)


def test_every_struct_is_checked():
    """None is left out of the list, nor of what C++ exports."""
    known = {struct.__name__ for struct in structs.STRUCTS} | {code.__name__ for code in structs.CODES}
    mine = {value.__name__ for value in vars(structs).values() if isinstance(value, type)} - {"IntEnum"}
    assert known == mine == {owner for owner, _ in layout.table_in(cpu.library())}


def test_a_library_made_from_a_changed_header_is_refused(tmp_path, monkeypatch):
    changed = tmp_path / "native"
    shutil.copytree(build.NATIVE, changed)
    fields = changed / "fields.h"
    text = fields.read_text()
    assert text.count("FIELD(float*, d2)") == text.count("FIELD(float*, v2)") == 1
    text = text.replace("FIELD(float*, d2)", "FIELD(float*, other)").replace("FIELD(float*, v2)", "FIELD(float*, d2)")
    fields.write_text(text.replace("FIELD(float*, other)", "FIELD(float*, v2)"))
    monkeypatch.setattr(build, "NATIVE", changed)
    monkeypatch.setattr(build, "OPTIONS", tuple(option.replace("-O3", "-O0") for option in build.OPTIONS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"fields\.h differ: Call\.v2 is offset"):
        load(build.build())


SMOKE = ["experiment=smoke", "replicas=2", "logger=none", "hydra.run.dir=out"]


def test_without_a_compiler_the_reference_runs_and_says_what_to_install(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "CXX"} | {"PATH": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "src.train", *SMOKE, f"hydra.run.dir={tmp_path / 'out'}"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "recurrence" in line]
    assert line.startswith("reference recurrence") and "no C++ compiler found; install" in line
    assert "recurrence: reference" in (tmp_path / "out" / "config.yaml").read_text()
    refused = subprocess.run([*command, "recurrence=fused"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert refused.returncode == 2 and "recurrence=fused: no C++ compiler found" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(build.Unavailable, match="false cannot compile"):
        build.build()
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    no_program = tmp_path / "no_program"
    no_program.write_bytes(b"\x7fELF no program")
    no_program.chmod(0o755)
    monkeypatch.setattr(build, "PATIENCE", 0.5)
    for compiler, words in {
        "no-such-compiler": "no-such-compiler is not there",
        'g++ "': "cannot be read: No closing quotation",
        "true": "true cannot compile cpu.cpp .no message.",
        str(tmp_path): "is not there",
        str(hanging): "has not come to an end in 0.5 seconds",
        str(no_program): "cannot be run",
    }.items():
        monkeypatch.setenv("CXX", compiler)
        with pytest.raises(build.Unavailable, match=words) as refused:
            build.build()
        assert "\n" not in str(refused.value)


def test_a_folder_in_the_cache_is_no_library(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "OPTIONS", tuple(option.replace("-O3", "-O0") for option in build.OPTIONS))
    compiler = build._compiler()
    folder = tmp_path / "rnn-long-memory" / f"{build._key(compiler)}-0.so"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    assert build.build().is_file()


def test_both_recurrences_train(tmp_path, capsys):
    """By the key; what ran is said and kept."""
    from src.run import run

    weights = []
    for name in ("fused", "reference"):
        population = run(compose("experiment=smoke", "replicas=2", f"recurrence={name}"), tmp_path / name)
        assert f"{name} recurrence" in capsys.readouterr().err
        assert f"recurrence: {name}" in (tmp_path / name / "config.yaml").read_text()
        weights.append(population.parameters()["W"])
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)
