"""Cells: their equation, the way back through it, and how they start.

The cells of the papers are of the form ``a_t = z_t + h_{t-1} W``, ``state_t = advance(a_t, state_{t-1})`` with h the
first part of the state. The time loop (src/recurrence) knows no more than that, and Ω needs no more. Any other cell can
be had as an AutogradCell: a step forward in torch's operations.
"""

from src.cells.cell import AutogradCell, Cell, ExplicitCell, Parameters, State, Weights
from src.cells.gru import GRU
from src.cells.lstm import LSTM
from src.cells.starts import Gaussian, Identity, Orthogonal, Start, Uniform
from src.cells.vanilla import Vanilla

__all__ = [
    "GRU",
    "LSTM",
    "AutogradCell",
    "Cell",
    "ExplicitCell",
    "Gaussian",
    "Identity",
    "Orthogonal",
    "Parameters",
    "Start",
    "State",
    "Uniform",
    "Vanilla",
    "Weights",
]
