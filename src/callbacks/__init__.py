"""Lightning callbacks: what happens around the updates."""

from src.callbacks.clipping import Clipping
from src.callbacks.curriculum import Curriculum
from src.callbacks.diagnostics import Diagnostics
from src.callbacks.figure import Figure
from src.callbacks.interrupt import Interrupt
from src.callbacks.progress import Progress
from src.callbacks.recorder import Recorder
from src.callbacks.success import Success
from src.callbacks.tensorboard import Metrics
from src.callbacks.truncated_bptt import TruncatedBPTT

__all__ = [
    "Clipping",
    "Curriculum",
    "Diagnostics",
    "Figure",
    "Interrupt",
    "Metrics",
    "Progress",
    "Recorder",
    "Success",
    "TruncatedBPTT",
]
