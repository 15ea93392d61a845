"""The recurrence on CPUs: native/, compiled at first use, called on torch's memory.

``threads`` of every call changes nothing but the speed.
"""

from src.recurrence.cpu.direction import simplex
from src.recurrence.cpu.layer import Linear, add_noise
from src.recurrence.cpu.library import available, library, reason
from src.recurrence.cpu.run import Run
from src.recurrence.cpu.support import LOSSES, compiled, runs
from src.recurrence.cpu.update import learn

__all__ = [
    "LOSSES",
    "Linear",
    "Run",
    "add_noise",
    "available",
    "compiled",
    "learn",
    "library",
    "reason",
    "runs",
    "simplex",
]
