"""Commands of the program, run as a user runs them, but in children of a process that has everything imported."""

import atexit
import subprocess
import sys
from functools import cache

from tests.conftest import ROOT
from tests.faults.server import Ended, Server


def started(*arguments: object, module: str = "src.train", **keys) -> subprocess.Popen:
    """A process of its own, for whoever wants to send it signals, or to give it an environment."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keys)


@cache
def server() -> Server | None:
    """That process; None where there can be none."""
    found = Server.start()
    if isinstance(found, str):
        return None
    atexit.register(found.close)
    return found


def ended(*arguments: object, module: str = "src.train", fresh: bool = False, **keys) -> Ended:
    """How a command ended.

    Args:
        fresh: whether it is a process of its own; it always is with keys for it.
    """
    warm = None if fresh or keys else server()
    if warm is not None:
        return warm.run(*map(str, arguments), module=module)
    process = started(*arguments, module=module, **keys)
    out, err = process.communicate(timeout=300)
    return Ended(process.returncode, out, err, 0, 0.0)
