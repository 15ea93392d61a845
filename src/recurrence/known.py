"""Which cells and terms the fused backends know by heart. A subclass with equations of its own is not known."""

from src.cells import LSTM, Cell, Vanilla
from src.directions import OmegaTerm, Tape

EQUATIONS = ("advance", "pull_back", "_each", "names")
"""A cell's methods that say what it computes."""


def is_known(cell: Cell, activations: set[str]) -> bool:
    """Whether this is LSTM, or the simple cell with some of these activations."""
    known = LSTM if isinstance(cell, LSTM) else Vanilla
    for name in EQUATIONS:
        if getattr(type(cell), name, None) is not getattr(known, name, None):
            return False
    return not isinstance(cell, Vanilla) or set(cell.names(1)) <= activations


def only_omega(tape: Tape) -> bool:
    """Whether a tape's terms are none, or one that is Ω as it is written down."""
    terms = list(tape.terms.values())
    if len(terms) != 1:
        return not terms
    return isinstance(terms[0], OmegaTerm) and type(terms[0]).__call__ is OmegaTerm.__call__


def omega_of(tape: Tape) -> tuple[str, OmegaTerm]:
    """The name of the metric and the term of a tape that has Ω alone."""
    ((name, term),) = tape.terms.items()
    assert isinstance(term, OmegaTerm)
    return name, term
