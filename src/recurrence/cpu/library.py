"""The compiled library: built, loaded and checked at first use."""

import ctypes
from functools import cache
from pathlib import Path

from src.recurrence.backend import Unavailable
from src.recurrence.cpu import layout, structs
from src.recurrence.cpu.build import build


def library() -> ctypes.CDLL:
    """Returns the compiled native/cpu.cpp.

    Raises:
        Unavailable: it cannot be built here; the message says why, and what to install.
        RuntimeError: its structs are not those of structs.py.
    """
    found = _attempt()
    if isinstance(found, Unavailable):
        raise found
    return found


def available() -> bool:
    """Whether the library can be built here, or has been."""
    return not isinstance(_attempt(), Unavailable)


def reason() -> str:
    """Says in one line why the library is not available, and what to install."""
    return str(_attempt())


def load(path: Path) -> ctypes.CDLL:
    """Loads a library and declares its functions.

    Raises:
        OSError: it cannot be loaded.
        RuntimeError: its structs are not those of structs.py.
    """
    loaded = ctypes.CDLL(str(path))
    layout.check(loaded, structs.STRUCTS, structs.CODES)
    arguments = {
        "simplex": structs.Simplex,
        "linear_forward": structs.Linear,
        "linear_backward": structs.Linear,
        "add_noise": structs.Noise,
    }
    for name, struct in arguments.items():
        function = getattr(loaded, name)
        function.argtypes = [ctypes.POINTER(struct)]
        function.restype = None
    loaded.multiply_adds.argtypes = [ctypes.c_int64] * 3
    loaded.multiply_adds.restype = ctypes.c_int64
    for function in (loaded.forward, loaded.backward):
        function.argtypes = [ctypes.POINTER(structs.Call)]
    loaded.descend.argtypes = [ctypes.POINTER(structs.Call), ctypes.POINTER(structs.Descent)]
    loaded.descend.restype = ctypes.c_int64
    loaded.norms.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    loaded.norms.restype = None
    return loaded


@cache
def _attempt() -> ctypes.CDLL | Unavailable:
    try:
        return load(build())
    except Unavailable as problem:
        return problem
    except OSError as problem:  # a folder from which nothing may be run, a system library that is missing
        return Unavailable(f"the library cannot be loaded ({problem}); set XDG_CACHE_HOME to another folder")
