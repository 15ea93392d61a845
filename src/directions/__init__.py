"""How a gradient becomes an update: by reweighting the rows of the products that make it."""

from src.directions.direction import Direction, Draws, Together
from src.directions.omega import Omega, OmegaTerm
from src.directions.simplex import Simplex, SimplexCombination
from src.directions.tape import Combination, Copies, Factors, Product, Tape, Term

__all__ = [
    "Combination",
    "Copies",
    "Direction",
    "Draws",
    "Factors",
    "Omega",
    "OmegaTerm",
    "Product",
    "Simplex",
    "SimplexCombination",
    "Tape",
    "Term",
    "Together",
]
