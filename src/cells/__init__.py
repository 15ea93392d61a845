"""Cells: their equation, the way back through it, and how they start.

A cell here is anything of the form ``a_t = z_t + h_{t-1} W``, ``state_t = advance(a_t, state_{t-1})`` with h the first
part of the state. The time loop (src/recurrence) knows no more than that, and Ω needs no more.
"""

from src.cells.cell import Cell, Parameters
from src.cells.lstm import LSTM
from src.cells.vanilla import Vanilla

__all__ = ["LSTM", "Cell", "Parameters", "Vanilla"]
