"""The seam for speed: the time loop, forward and backward, for R networks at once.

:func:`recur` is differentiable; :func:`learn` makes all gradients of an update at once where that is compiled in. They
are all the rest of the program sees. Behind them are backends (backend.py): reference.py, the specification, and cpu/,
compiled. process.py chooses.
"""

from src.recurrence.backend import Backend, Gradients, Key, LayerRun, Pass, Run, Target, Unavailable
from src.recurrence.checks import ask, checked
from src.recurrence.layers import add_noise, linear
from src.recurrence.process import (
    AUTO,
    BACKENDS,
    FUSED,
    REFERENCE,
    Chosen,
    applies,
    backend_for,
    backend_of,
    missing,
    settle,
    share,
    share_threads,
    take_gpu,
    use,
)
from src.recurrence.seam import combine, learn, recur

__all__ = [
    "AUTO",
    "BACKENDS",
    "FUSED",
    "REFERENCE",
    "Backend",
    "Chosen",
    "Gradients",
    "Key",
    "LayerRun",
    "Pass",
    "Run",
    "Target",
    "Unavailable",
    "add_noise",
    "applies",
    "ask",
    "backend_for",
    "backend_of",
    "checked",
    "combine",
    "learn",
    "linear",
    "missing",
    "recur",
    "settle",
    "share",
    "share_threads",
    "take_gpu",
    "use",
]
