"""Commands of the program, run as a user runs them, but in children of a process that has everything imported."""

import atexit
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.conftest import ROOT
from tests.faults.server import Ended, Running, Server


@cache
def server() -> Server | str:
    """That process, or why there can be none here."""
    found = Server.start()
    if isinstance(found, Server):
        atexit.register(found.close)
    return found


def started(*arguments: object, module: str = "src.train", fresh: bool = False, **keys) -> subprocess.Popen | Running:
    """A command that runs, for whoever wants to send it signals.

    Args:
        fresh: whether it is a new process; it always is with keys for ``subprocess.Popen``.
    """
    warm = None if fresh or keys else server()
    if isinstance(warm, Server):
        return warm.begin(*map(str, arguments), module=module)
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keys)


def ended(
    *arguments: object, module: str = "src.train", fresh: bool = False, path: Path | None = None, **keys
) -> Ended:
    """How a command ended; see :func:`started`. ``path``: a folder of modules of one's own."""
    warm = None if fresh or keys else server()
    if isinstance(warm, Server):
        return warm.run(*map(str, arguments), module=module, path=path)
    if path is not None:
        keys["env"] = os.environ | {"PYTHONPATH": str(path)}
    process = started(*arguments, module=module, fresh=True, **keys)
    out, err = process.communicate(timeout=300)
    return Ended(process.returncode, out, err, 0, 0.0)
