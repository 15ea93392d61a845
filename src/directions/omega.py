"""MSGD-CR's direction: the gradient of L + αΩ (src/recurrence/omega.py)."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor

from src.directions.plain import Direction
from src.recurrence import OmegaTerm, Tape


class Omega(Direction):
    """Gradient of L + αΩ, with each replica's α from the settings: MSGD-CR. Where every α is 0, the plain gradient.

    Args:
        form: ``squared`` (Pcode) or ``plain`` (P13, eq. 9).
    """

    def __init__(self, form: str = "squared") -> None:
        self.form = form

    def begin(self, settings: dict[str, Tensor], draws: Sequence[tuple[int, int]] = ()) -> Self:
        self.alpha_A = settings["alpha"]
        self.terms: list[OmegaTerm] = []
        return self

    def tape(self) -> Tape:
        if not bool(self.alpha_A.any()):
            return Tape()
        self.terms.append(OmegaTerm(self.form, self.alpha_A))
        return Tape(reweight=self.terms[-1])

    def value(self) -> Tensor | None:
        values = [term.value_R for term in self.terms if term.value_R is not None]
        return sum(values[1:], start=values[0]) if values else None
