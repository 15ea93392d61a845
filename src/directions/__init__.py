"""How a gradient becomes an update: by reweighting the rows of the products that make it."""

from src.directions.omega import Omega
from src.directions.plain import Direction
from src.directions.simplex import Simplex

__all__ = ["Direction", "Omega", "Simplex"]
