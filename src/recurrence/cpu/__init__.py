"""The recurrence on CPUs: native/, compiled at first use, called on torch's memory.

``threads`` of every call changes nothing but the speed.
"""

from src.recurrence.cpu.backend import Compiled
from src.recurrence.cpu.library import available, library, reason

__all__ = ["Compiled", "available", "library", "reason"]
