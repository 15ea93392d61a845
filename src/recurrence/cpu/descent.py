"""Several updates with their steps, in one call."""

from collections.abc import Sequence

import torch
from torch import Tensor

from src.cells import Weights
from src.directions import Tape
from src.recurrence.backend import Descended, Descent, Pass, Target
from src.recurrence.cpu import structs
from src.recurrence.cpu.call import KINDS, Prepared
from src.recurrence.cpu.library import library
from src.recurrence.cpu.update import set_target


def descend(
    passes: Sequence[Pass], targets: Sequence[Target], gradients: Weights, tape: Tape, descent: Descent, threads: int
) -> Descended:
    """See src.recurrence.descend."""
    call = Prepared(passes[0], threads)
    set_target(call, targets[0])
    call.set_weights(gradients, "d")
    if tape.terms:
        call.add_omega(tape)
    N = len(passes)
    R = call.shape[0]
    losses_NR = torch.empty(N, R, dtype=torch.float32)
    omega_NR = torch.empty_like(losses_NR) if tape.terms else None
    norm_NR = torch.empty_like(losses_NR)
    kind = call.memory["target"].dtype
    inputs = [each.inputs.contiguous() for each in passes]
    answers = [target.values.to(kind).contiguous() for target in targets]
    memory = {
        "T": torch.tensor([each.shape[1] for each in passes]),
        "length": torch.stack([_lengths(each) for each in passes]),
        "x": _addresses(inputs),
        "target": _addresses(answers),
        "theta": descent.theta_RP,
        "gradient": descent.grad_RP,
        "velocity": descent.velocity_RP,
        "momentum": torch.tensor([descent.momentum], dtype=torch.float32),
        "rate": descent.rate_R.float().contiguous(),
        "most": descent.most_R.float().contiguous(),
        "losses": losses_NR,
        "omega": omega_NR,
        "norm": norm_NR,
    }
    several = structs.Descent(updates=N, P=descent.theta_RP.shape[1])
    for name, tensor in memory.items():
        if tensor is not None:
            setattr(several, name, tensor.data_ptr())
    made = call.library.descend(call.call, several)
    if made < 0:
        call.refuse()
    return Descended(made, losses_NR, omega_NR, norm_NR)


def alike(passes: Sequence[Pass], targets: Sequence[Target]) -> bool:
    """Whether one call can make these updates: they begin with zeros, and differ in numbers and lengths alone."""
    first = passes[0]
    R, _, B = first.shape
    for given, target in zip(passes, targets, strict=True):
        T = given.shape[1]
        wanted = (R, T, B) if target.values.ndim == 3 else (R, B)
        same_inputs = given.inputs.dtype == first.inputs.dtype and given.inputs.shape[3:] == first.inputs.shape[3:]
        same_target = target.loss == targets[0].loss and target.values.ndim == targets[0].values.ndim
        if given.shape != (R, T, B) or given.state is not None or target.values.shape != wanted:
            return False
        if not same_inputs or not same_target:
            return False
    return first.inputs.dtype in KINDS


def norms(grad_RP: Tensor) -> Tensor:
    """The norm of each row, as :func:`descend` takes it."""
    R, P = grad_RP.shape
    grad_RP = grad_RP.contiguous()
    norm_R = torch.empty(R, dtype=torch.float32)
    library().norms(grad_RP.data_ptr(), R, P, norm_R.data_ptr())
    return norm_R


def _lengths(given: Pass) -> Tensor:
    """Steps of each replica, int64."""
    R, T, _ = given.shape
    return torch.full((R,), T) if given.length_R is None else given.length_R.to(torch.int64)


def _addresses(tensors: Sequence[Tensor]) -> Tensor:
    """Where tensors lie, int64."""
    return torch.tensor([tensor.data_ptr() for tensor in tensors])
