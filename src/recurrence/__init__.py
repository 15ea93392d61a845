"""The seam for speed: the time loop, forward and backward, for R networks at once.

:func:`recur` is differentiable; :func:`learn` makes all gradients of an update at once where that is compiled in. They
are all the rest of the program sees. Behind them: reference.py, the specification, and cpu/, compiled.

Shapes: R replicas, T steps, B sequences, I inputs, H units, G = gates * H columns of W; step t of the text is index
t - 1 here.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.cells import AutogradCell, Cell, ExplicitCell
from src.recurrence import cpu, reference, temporal
from src.recurrence.interface import Copies, Factors, Rows, SimplexTerm, Tape, Weights
from src.recurrence.linear import AddNoise, Key, Linear
from src.recurrence.omega import OmegaTerm

__all__ = [
    "FUSED",
    "REFERENCE",
    "Copies",
    "Factors",
    "OmegaTerm",
    "Rows",
    "SimplexTerm",
    "Tape",
    "Weights",
    "add_noise",
    "learn",
    "linear",
    "recur",
    "simplex",
    "threads",
    "use",
    "which",
]

# Vanishing gradients become denormal floats, which are slow on CPUs and carry nothing here. Threads inherit the mode of
# the thread that starts them, so it is set before any work is done.
torch.set_flush_denormal(True)


FUSED, REFERENCE = "fused", "reference"
_NONE = Weights(None)  # type: ignore[arg-type]
_chosen: str | None = None  # decided at first use
_threads = torch.get_num_threads()  # of the fused recurrence


def use(name: str, threads: int | None = None) -> str:
    """Chooses what runs from now on: ``fused``, ``reference``, or ``auto``: fused where there is a compiler.

    What is not compiled in (other devices, precisions and cells) goes to the reference all the same.

    Args:
        threads: of the fused recurrence; as before, at first torch's, if not given.

    Returns:
        ``fused`` or ``reference``.

    Raises:
        src.recurrence.cpu.build.Unavailable: ``fused``, but it cannot be built.
    """
    global _chosen, _threads
    if name == FUSED:
        cpu.library()
    _chosen = REFERENCE if name == REFERENCE or not cpu.available() else FUSED
    _threads = threads or _threads
    return _chosen


def threads() -> int:
    """Threads of the fused recurrence. They change nothing but the speed."""
    return _threads


def recur(
    cell: Cell,
    inputs: Tensor,
    weights: Weights,
    state: tuple[Tensor, ...] | None = None,
    length_R: Tensor | None = None,
    tape: Tape | None = None,
    every_step: bool = True,
) -> tuple[Tensor | None, tuple[Tensor, ...]]:
    """Runs ``a_t = x_t W_in + b + h_{t-1} W`` through the cell for t = 1 .. length of each replica.

    Args:
        inputs: symbols RTB, integers in [0, I) that stand for rows of W_in; real vectors RTBI; or, where the weights
            have no W_in, z_RTBG itself, which may want a gradient.
        state: state before the first step, each part RBH; zeros if not given.
        length_R: steps of each replica, integers in [0, T]; T if not given. Steps after it are padding: whatever the
            inputs hold there is ignored, h is 0 there, and gradients that arrive there are dropped.
        tape: see :class:`Tape`.
        every_step: whether h of every step is wanted.

    Returns:
        h_RTBH, or None unless ``every_step``; and the state after each replica's last step.

    Raises:
        ValueError: a length outside [0, T]; a tape that asks for anything of a cell that runs by autograd.
        IndexError: a symbol outside [0, I).
    """
    R, _, B = inputs.shape[:3]
    if state is None:
        state = (weights.W.new_zeros(R, B, cell.hidden_size),) * cell.parts
    _check(length_R, inputs)
    if isinstance(cell, AutogradCell):
        if tape is not None and (tape.keep or tape.reweight is not None):
            raise ValueError(f"{cell.name} runs by autograd: there are no factors to keep or to reweight, so no Ω")
        return reference.by_autograd(cell, inputs, weights, state, length_R, tape or Tape(), every_step)
    learned = (inputs, weights.W, weights.W_in, weights.b, *state)
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in learned)
    h_RTBH, *last = _Recurrence.apply(cell, tape or Tape(), length_R, keep, every_step, *learned)
    return h_RTBH, tuple(last)


def learn(
    cell: Cell,
    inputs: Tensor,
    target: Tensor,
    weights: Weights,
    gradients: Weights,
    loss: str,
    length_R: Tensor | None = None,
    tape: Tape | None = None,
    state: tuple[Tensor, ...] | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """Forward, readout, loss and the way back in one call, without autograd: overwrites ``gradients``.

    Args:
        target: classes, or numbers, of the last step, RB, or of every step, RTB.
        loss: ``cross_entropy`` (of the softmax) or ``squared_error`` (of the one output); the mean over sequences and,
            with targets at every step, over each replica's steps.
        inputs, length_R, tape, state: as for :func:`recur`; no gradient flows into the state.

    Returns:
        loss_R and the state after each replica's last step; None where this is not compiled in, or nothing is: the
        same is then to be had by :func:`recur`.

    Raises:
        ValueError, IndexError: as :func:`recur`; a class that there is not.
    """
    term = None if tape is None else tape.reweight
    known = term is None or cpu.compiled(term)
    if tape is not None:
        known &= not tape.keep and (tape.rows is None or tape.simplex is not None)
    if not (known and loss in cpu.LOSSES and _fused(cell, weights.W)):
        return None
    _check(length_R, inputs)
    return cpu.learn(cell, inputs, target, weights, gradients, loss, length_R, tape or Tape(), state, _threads)


def which(cell: Cell, W: Tensor) -> str:
    """``fused`` or ``reference``: what runs this cell."""
    return FUSED if _fused(cell, W) else REFERENCE


def _fused(cell: Cell, W: Tensor) -> bool:
    return (_chosen or use("auto")) == FUSED and cpu.runs(cell, W)


def _check(length_R: Tensor | None, inputs: Tensor) -> None:
    T = inputs.shape[1]
    if length_R is not None and not all(0 <= length <= T for length in length_R.tolist()):
        raise ValueError(f"lengths {length_R.tolist()} are not all in [0, {T}]")


def linear(
    x_RTBK: Tensor,
    W_RKM: Tensor,
    b_RM: Tensor,
    tanh: bool = False,
    names: tuple[str, str] = ("W", "b"),
    tape: Tape | None = None,
    at_end: bool = False,
) -> Tensor:
    """x W + b of every step, RTBM, or its tanh; differentiable, in sums whose order padding does not change.

    Args:
        names, at_end: of W and b, for a tape that wants rows; whether the one step is each replica's last.
    """
    rows = None if tape is None else tape.rows

    def record(x: Tensor, right: Tensor) -> None:
        assert rows is not None
        rows.append(Rows(*names, x, right, at_end))

    own_threads = _threads if _compiled_for(x_RTBK, W_RKM, b_RM) else None
    return Linear.apply(x_RTBK, W_RKM, b_RM, tanh, own_threads, None if rows is None else record)


def add_noise(x_RTBK: Tensor, streams: list[Key], std: float) -> Tensor:
    """x and normal noise, each replica's a function of its seed, stream, index and part; differentiable."""
    return AddNoise.apply(x_RTBK, streams, std, _threads if _compiled_for(x_RTBK) else None)


def _compiled_for(*tensors: Tensor) -> bool:
    chosen = (_chosen or use("auto")) == FUSED
    return chosen and all(each.dtype == torch.float32 and each.device.type == "cpu" for each in tensors)


def simplex(
    rows: Sequence[Rows | Copies], gradients: dict[str, Tensor], length_R: Tensor, T: int, term: SimplexTerm
) -> None:
    """Overwrites gradients with Galvan's direction, see src/recurrence/temporal.py.

    Args:
        gradients: of every weight and bias that the rows name.
        T: the longest of the lengths, padding included.
    """
    plain = [own for own in rows if isinstance(own, Rows)]
    if len(plain) == len(rows) and _compiled_for(*(own.right for own in plain), *gradients.values()):
        cpu.simplex(plain, gradients, length_R, T, term, _threads)
    else:
        temporal.simplex(rows, gradients, length_R, T, term)


class _Recurrence(torch.autograd.Function):
    """Joins an implementation's forward and backward to autograd."""

    @staticmethod
    def forward(
        ctx: Any, cell: ExplicitCell, tape: Tape, length_R: Tensor | None, keep: bool, every_step: bool, *learned: Any
    ) -> Any:
        inputs, W, W_in, b, *state = learned
        ctx.set_materialize_grads(False)
        arguments = (cell, inputs, Weights(W, W_in, b), tuple(state), length_R, keep, every_step)
        run = cpu.Run(*arguments, threads=_threads) if _fused(cell, W) else reference.Run(*arguments)
        ctx.run, ctx.tape = run if keep else None, tape
        # not what is kept itself: an output that is stored here would be a cycle, freed late
        h_RTBH, run.h_RTBH = run.h_RTBH, None
        return h_RTBH if every_step else None, *(part.clone() for part in run.last)

    @staticmethod
    def backward(ctx: Any, dh_RTBH: Tensor | None, *dlast: Tensor | None) -> Any:
        gradients = ctx.run.backward(dh_RTBH, dlast, ctx.tape)
        ctx.run = None
        own = gradients.weights or _NONE
        return None, None, None, None, None, gradients.z_RTBG, own.W, own.W_in, own.b, *gradients.state
