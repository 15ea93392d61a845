"""The backend of GPUs: Triton kernels."""

import torch
from torch import Tensor

from src.cells import Cell, State, Vanilla, Weights
from src.directions import Tape
from src.recurrence import backend
from src.recurrence.backend import Pass, Target, Unavailable
from src.recurrence.cuda import support
from src.recurrence.cuda.run import Run
from src.recurrence.cuda.update import LOSSES, learn
from src.recurrence.known import only_omega
from src.recurrence.reference import Reference


class Triton(Reference):
    """All steps of all replicas in one launch, float32: simple cells to 256 units, LSTM to 128. The rest
    is the reference's."""

    name = "triton"
    device = "cuda"
    wants_torch_threads = True
    precision = "tf32x3"
    """See src.recurrence.cuda.launch."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        reason = self.missing()
        if reason is not None:
            raise Unavailable(reason)
        torch.set_float32_matmul_precision("highest")  # batched products without TF32

    @classmethod
    def missing(cls) -> str | None:
        return support.missing()

    @classmethod
    def refuses(cls, cell: Cell) -> str | None:
        return support.refuses(cell)

    def runs(self, cell: Cell, like: Tensor) -> bool:
        return self.refuses(cell) is None and support.fits(like)

    def records(self, cell: Cell, like: Tensor) -> bool:
        if not self.runs(cell, like):
            return False
        return not isinstance(cell, Vanilla) or len(set(cell.names(len(like)))) == 1  # the numbers of several are sent

    def forward(self, given: Pass, keep: bool, every_step: bool) -> backend.Run:
        return Run(given, keep, every_step, self.precision)

    def learn(self, given: Pass, target: Target, gradients: Weights, tape: Tape) -> tuple[Tensor, State] | None:
        if tape.keep or not only_omega(tape) or target.loss not in LOSSES:
            return None
        with torch.no_grad():
            return learn(given, target, gradients, tape, self.precision)


class TritonTF32(Triton):
    """The same with products of 11 significant bits: docs/cuda.md says what that costs. ``auto`` never takes it."""

    name = "triton_tf32"
    precision = "tf32"
