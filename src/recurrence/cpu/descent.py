"""Several updates with their steps, in one call."""

import torch
from torch import Tensor

from src.cells import Weights
from src.directions import Tape
from src.recurrence.backend import Descended, Descent, Passes, Target
from src.recurrence.cpu import structs
from src.recurrence.cpu.call import KINDS, Prepared
from src.recurrence.cpu.library import library
from src.recurrence.cpu.update import set_target


def descend(
    passes: Passes, target: Target, gradients: Weights, tape: Tape, descent: Descent, threads: int
) -> Descended:
    """See src.recurrence.descend."""
    call = Prepared(passes.first, threads)
    set_target(call, Target(target.values[0], target.loss))
    call.set_weights(gradients, "d")
    if tape.terms:
        call.add_omega(tape)
    N, R = passes.inputs.shape[:2]
    losses_NR = torch.empty(N, R, dtype=torch.float32)
    omega_NR = torch.empty_like(losses_NR) if tape.terms else None
    norm_NR = torch.empty_like(losses_NR)
    inputs = _whole(passes.inputs)
    answers = _whole(target.values.to(call.memory["target"].dtype))
    memory = {
        "length": passes.length_NR.to(torch.int64).contiguous(),
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


def takes(passes: Passes, target: Target) -> bool:
    """Whether inputs and answers fit together, and are of a kind that is compiled in."""
    N, R, T, B = passes.inputs.shape[:4]
    wanted = (N, R, T, B) if target.values.ndim == 4 else (N, R, B)
    return passes.inputs.dtype in KINDS and target.values.shape == wanted


def norms(grad_RP: Tensor) -> Tensor:
    """The norm of each row, as :func:`descend` takes it."""
    R, P = grad_RP.shape
    grad_RP = grad_RP.contiguous()
    norm_R = torch.empty(R, dtype=torch.float32)
    library().norms(grad_RP.data_ptr(), R, P, norm_R.data_ptr())
    return norm_R


def _whole(rows: Tensor) -> Tensor:
    """Rows of which each lies in memory without gaps."""
    return rows if rows[0].is_contiguous() else rows.contiguous()


def _addresses(rows: Tensor) -> Tensor:
    """Where rows lie, int64."""
    return rows.data_ptr() + torch.arange(len(rows)) * (rows.stride(0) * rows.element_size())
