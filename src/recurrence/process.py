"""What belongs to the whole process: which backend runs, on how many threads, and how small numbers are treated.

Everything that runs asks here, with the tensors it is going to work on, so that the answer is about the device that is
really used.
"""

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from src.cells import AutogradCell, Cell
from src.recurrence.backend import Backend
from src.recurrence.cpu import Compiled
from src.recurrence.cuda import Triton, TritonTF32
from src.recurrence.reference import Reference

# Vanishing gradients become denormal floats, which are slow on CPUs and carry nothing here. Threads inherit the mode of
# the thread that starts them, so it is set before any work is done.
torch.set_flush_denormal(True)

CPU = torch.device("cpu")
AUTO = "auto"
FUSED = Compiled.name
REFERENCE = Reference.name

BACKENDS: dict[str, type[Backend]] = {
    each.name: each
    for each in (Compiled, Triton, Reference, TritonTF32)  # after the reference: only by its name
}
"""Backends by name, the fastest first; ``auto`` is the first of those for a device that can be had here."""


def share() -> int:
    """Threads that this process may use: torch's own choice, and no more than Slurm's.

    torch's choice heeds OMP_NUM_THREADS, by which launchers divide a machine, and the cores that a process is bound to.
    """
    task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(torch.get_num_threads(), int(task)) if task.isdecimal() else torch.get_num_threads()


def take_gpu(count: int, job: int) -> int:
    """The number of a GPU that no other process of this user's has taken, for as long as this process lives.

    Args:
        count: GPUs that are visible.
        job: chooses one where all are taken.
    """
    if _taken:
        return _taken[0][0]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    for number in range(count):
        name = visible[number] if number < len(visible) and visible[number] else str(number)
        path = Path(tempfile.gettempdir()) / f"rnn-long-memory-{os.getuid()}-gpu-{name}.lock"
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _taken.append((number, file))  # the lock ends with the process
        return number
    return job % count


_taken: list[tuple[int, TextIO]] = []

THREADS = share()
"""Of this process, before any job of a sweep chose another number."""


@dataclass
class Chosen:
    """What was chosen, and why the fastest is not to be had, if so."""

    backend: str  # that runs the cell
    installed: str  # that runs whatever else it can: readout, layers, noise
    threads: int
    reason: str | None = None


_reference = Reference(THREADS)
_backend: Backend | None = None  # what runs where it can; decided at first use
_threads = THREADS
_of_torch = THREADS


def missing(name: str) -> str | None:
    """Why a backend cannot be had here, in one line that says what to install; None: it can."""
    return BACKENDS[name].missing()


def of_device(device: torch.device) -> list[str]:
    """The backends that are made for a device, the fastest first."""
    return [name for name, backend in BACKENDS.items() if backend.device in (None, device.type)]


def fitting(name: str, device: torch.device = CPU) -> str:
    """This name where it stands for a backend made for the device, else ``auto``: so that what trained on a GPU may be
    looked at, or go on, without one."""
    return name if name in of_device(device) else AUTO


def applies(name: str, cell: Cell, device: torch.device) -> bool:
    """Whether this name, or ``auto``, stands for a backend made for this device that can be had and runs the cell."""
    own = {each: backend for each, backend in BACKENDS.items() if backend.device == device.type}
    wanted = own.values() if name == AUTO else [own[name]] if name in own else []
    return any(backend.missing() is None and backend.refuses(cell) is None for backend in wanted)


def use(name: str, threads: int | None = None, device: torch.device = CPU) -> str:
    """Chooses what runs from now on: a backend's name, or ``auto``: the first for this device that can be had.

    What a backend does not know (other devices, precisions and cells) goes to the reference all the same.

    Args:
        threads: of the backend; as before, at first the process's share, if not given.

    Returns:
        the name of what was chosen.

    Raises:
        src.recurrence.backend.Unavailable: a backend that cannot be had here.
    """
    global _backend, _threads
    _threads = threads or _threads
    if name == AUTO:
        name = next(each for each in of_device(device) if missing(each) is None)
    _backend = BACKENDS[name](_threads)
    return name


def chosen() -> Backend:
    """What runs where it can."""
    if _backend is None:
        use(AUTO)
    assert _backend is not None
    return _backend


def backend_of(cell: Cell, like: Tensor) -> Backend:
    """What runs this cell on this tensor's device and in its precision."""
    backend = chosen()
    return backend if backend.runs(cell, like) else _reference


def backend_for(*tensors: Tensor) -> Backend:
    """What works on these tensors' device and in their precision."""
    backend = chosen()
    return backend if backend.takes(*tensors) else _reference


def settle(name: str, cell: Cell, device: torch.device, threads: int | None = None) -> Chosen:
    """Chooses the backend and all threads for a population that is going to live on this device.

    Args:
        name: as for :func:`use`.
        threads: of the CPU; None: this process's share of the cores, but one for a cell run by autograd, whose many
            small operations would spend their time waiting for each other.

    Raises:
        src.recurrence.backend.Unavailable: a backend that cannot be had here.
    """
    global _of_torch
    count = threads or (1 if isinstance(cell, AutogradCell) else THREADS)
    installed = use(name, count, device)
    backend = backend_of(cell, torch.empty(0, device=device))
    _of_torch = count if backend.wants_torch_threads else 1
    torch.set_num_threads(_of_torch)
    return Chosen(backend.name, installed, count, _why_not(cell, device, backend) if name == AUTO else None)


def share_threads() -> None:
    """Gives this thread as many of torch's threads as another one has chosen: torch keeps that for each thread."""
    torch.set_num_threads(_of_torch)


def _why_not(cell: Cell, device: torch.device, backend: Backend) -> str | None:
    """Why this is not the fastest backend made for a device, in one line; None: it is, or nothing is made for it."""
    fastest = BACKENDS[of_device(device)[0]]
    return None if fastest.name == backend.name else fastest.missing() or fastest.refuses(cell)
