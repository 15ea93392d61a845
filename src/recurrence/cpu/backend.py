"""The backend of CPUs: native/, compiled at first use."""

import numpy as np
import torch
from torch import Tensor

from src.cells import Cell, State, Weights
from src.directions import Combination, Copies, Product, SimplexCombination, Tape
from src.recurrence import backend
from src.recurrence.backend import Descended, Descent, Key, LayerRun, Pass, Passes, Target
from src.recurrence.cpu.descent import descend, norms, takes
from src.recurrence.cpu.direction import simplex
from src.recurrence.cpu.layer import Linear, add_noise
from src.recurrence.cpu.library import available, library, reason
from src.recurrence.cpu.run import Run
from src.recurrence.cpu.support import LOSSES, runs
from src.recurrence.cpu.update import learn
from src.recurrence.known import only_omega
from src.recurrence.reference import Reference
from tasks.draws import quantiles


class Compiled(Reference):
    """Fused loops in C++, float32: simple cells and LSTM, layers, noise, Ω, the simplex direction."""

    name = "fused"
    device = "cpu"
    wants_torch_threads = False

    def __init__(self, threads: int) -> None:
        library()
        self.threads = threads

    @classmethod
    def missing(cls) -> str | None:
        return None if available() else reason()

    def runs(self, cell: Cell, like: Tensor) -> bool:
        return runs(cell, like)

    def takes(self, *tensors: Tensor) -> bool:
        return all(each.dtype == torch.float32 and each.device.type == "cpu" for each in tensors)

    def forward(self, given: Pass, keep: bool, every_step: bool) -> backend.Run:
        return Run(given, keep, every_step, self.threads)

    def learn(self, given: Pass, target: Target, gradients: Weights, tape: Tape) -> tuple[Tensor, State] | None:
        known = tape.products is None or type(tape.combination) is SimplexCombination
        if tape.keep or not known or not only_omega(tape) or target.loss not in LOSSES:
            return None
        return learn(given, target, gradients, tape, self.threads)

    def descend(
        self, passes: Passes, target: Target, gradients: Weights, tape: Tape, descent: Descent
    ) -> Descended | None:
        plain = not tape.keep and tape.products is None and only_omega(tape) and target.loss in LOSSES
        if not plain or not self.takes(descent.theta_RP, descent.grad_RP) or not takes(passes, target):
            return None
        return descend(passes, target, gradients, tape, descent, self.threads)

    def norms(self, grad_RP: Tensor) -> Tensor:
        return norms(grad_RP)

    def linear(self, x_RTBK: Tensor, W_RKM: Tensor, b_RM: Tensor, tanh: bool) -> LayerRun:
        return Linear(x_RTBK, W_RKM, b_RM, tanh, self.threads)

    def add_noise(self, x_RTBK: Tensor, keys: list[Key], std: float) -> Tensor:
        streams = np.array([[seed, stream, part, index] for seed, stream, index, part in keys], dtype=np.uint64)
        scaled = quantiles() * np.float32(std)
        return add_noise(x_RTBK, torch.from_numpy(streams.view(np.int64)), torch.from_numpy(scaled), self.threads)

    def combine(
        self,
        combination: Combination,
        products: list[Product | Copies],
        gradients: dict[str, Tensor],
        length_R: Tensor,
        steps: int,
    ) -> None:
        known = [product for product in products if isinstance(product, Product)]
        if type(combination) is SimplexCombination and len(known) == len(products):
            simplex(combination, known, gradients, length_R, steps, self.threads)
        else:
            combination(products, gradients, length_R, steps)
