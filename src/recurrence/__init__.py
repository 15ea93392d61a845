"""The seam for speed: the time loop, forward and backward, for R networks at once.

:func:`recur` is differentiable; :func:`learn` makes all gradients of an update at once, and :func:`descend` several
updates with their steps, where that is compiled in. They are all the rest of the program sees. Behind them are backends
(backend.py): reference.py, the specification, cpu/, compiled, and cuda/, in Triton. process.py chooses.
"""

from src.recurrence.backend import (
    Backend,
    Descended,
    Descent,
    Gradients,
    Key,
    LayerRun,
    Pass,
    Passes,
    Run,
    Target,
    Unavailable,
)
from src.recurrence.checks import apart, ask, checked, refuse
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
    fitting,
    missing,
    settle,
    share,
    share_threads,
    take_gpu,
    use,
)
from src.recurrence.seam import combine, descend, learn, norms, recur

__all__ = [
    "AUTO",
    "BACKENDS",
    "FUSED",
    "REFERENCE",
    "Backend",
    "Chosen",
    "Descended",
    "Descent",
    "Gradients",
    "Key",
    "LayerRun",
    "Pass",
    "Passes",
    "Run",
    "Target",
    "Unavailable",
    "add_noise",
    "apart",
    "applies",
    "ask",
    "backend_for",
    "backend_of",
    "checked",
    "combine",
    "descend",
    "fitting",
    "learn",
    "linear",
    "missing",
    "norms",
    "recur",
    "refuse",
    "settle",
    "share",
    "share_threads",
    "take_gpu",
    "use",
]
