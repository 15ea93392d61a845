"""Galvan's direction: temporal gradients of one length, weighted at random (src/recurrence/temporal.py)."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from src.directions.plain import Direction
from src.recurrence import Copies, Rows, SimplexTerm, Tape, simplex
from src.recurrence.temporal import FORMS, betas


class Simplex(Direction):
    """d = -‖∇L‖ s / ‖s‖, s = Σ β_t ∇_t / ‖∇_t‖ (G16, algorithm 3), with each replica's ψ from the settings.

    Args:
        beta: ``uniform``, β_t ∝ u_t, or ``exponential``, β_t ∝ exp(1 - u_t), u ~ U(0, 1).
        descent: whether -∇L is taken where d is no descent direction.

    Raises:
        ValueError: any other ``beta``.
    """

    def __init__(self, beta: str = "exponential", descent: bool = False) -> None:
        if beta not in FORMS:
            raise ValueError(f"beta={beta}: must be {' or '.join(FORMS)}")
        self.beta, self.descent = beta, descent

    def begin(self, settings: dict[str, Tensor], draws: Sequence[tuple[int, int]] = ()) -> Self:
        self.rows: list[Rows | Copies] = []
        self.term = SimplexTerm(lambda length, T: betas(draws, length, T, self.beta), settings["psi"], self.descent)
        return self

    def tape(self) -> Tape:
        return Tape(rows=self.rows, simplex=self.term)

    def finish(self, gradients: dict[str, Tensor], length_A: Tensor, T: int) -> None:
        with torch.no_grad():
            simplex(self.rows, gradients, length_A, T, self.term)
        self.rows = []
