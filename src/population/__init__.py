"""R replicas trained in lockstep, their rows, and what a checkpoint holds of them."""

from src.population.metrics import METRICS, Window
from src.population.population import Population
from src.population.solver import Solver
from src.population.stack import Optimizer, Rows, Stack

__all__ = ["METRICS", "Optimizer", "Population", "Rows", "Solver", "Stack", "Window"]
