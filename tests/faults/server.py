"""Runs commands of this program in children of a process that has everything imported, and harms them on request.

A command then takes a second instead of five. One JSON request a line on standard input, one answer a line on standard
output; see :class:`Server`.
"""

import ctypes
import errno
import gc
import json
import os
import runpy
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITE, SYNC, RENAME, CREATE, REMOVE, ALLOCATE = 1, 2, 4, 8, 16, 32
FILES = WRITE | SYNC | RENAME | CREATE | REMOVE


@dataclass
class Fault:
    """What goes wrong, as shim.c's arm() takes it; ``call`` 0: nothing, calls are only counted."""

    below: str
    kinds: int = FILES
    call: int = 0
    error: int = errno.ENOSPC
    once: bool = False
    kills: bool = False
    large: int = 0


@dataclass
class Ended:
    """How a command ended: its status (minus the signal, where one killed it), what it wrote, calls counted."""

    status: int
    out: str
    err: str
    counted: int
    seconds: float


class Server:
    """A process with everything imported."""

    @classmethod
    def start(cls) -> "Server | str":
        """A server, or why there can be none here."""
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None or sys.platform != "linux":
            return "faults need Linux and a C compiler"
        return cls(compiler)

    def __init__(self, compiler: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        shim = Path(self.folder.name) / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        environment = os.environ | {"LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        command = [sys.executable, "-m", "tests.faults.server", str(shim)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)

    def run(
        self, *arguments: str, module: str = "src.train", fault: Fault | None = None, kill: float | None = None
    ) -> Ended:
        """Runs ``python -m module arguments``.

        Args:
            fault: what goes wrong.
            kill: seconds after which it is killed.
        """
        request = {"module": module, "arguments": arguments, "fault": fault and asdict(fault), "kill": kill}
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Ended(**json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


LIMIT = 120.0
"""Seconds after which a command is said to hang."""


def serve(shim: ctypes.CDLL) -> None:
    """Answers requests until there are no more."""
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            begun = time.monotonic()
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                _run(request, shim, out.fileno(), err.fileno(), writing)
            os.close(writing)
            status = _wait(child, reading, request["kill"])
            counted = os.read(reading, 100)
            os.close(reading)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        ended = Ended(status, *texts, int(counted or 0), time.monotonic() - begun)
        print(json.dumps(asdict(ended)), flush=True)


def _wait(child: int, reading: int, kill: float | None) -> int:
    """The status of a child, which is killed after some seconds, if at all; one that hangs has status 999."""
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)  # readable when the child ends, however it does
        ready = selector.select(LIMIT if kill is None else kill)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return 999 if not ready and kill is None else os.waitstatus_to_exitcode(status)


def _run(request: dict, shim: ctypes.CDLL, out: int, err: int, writing: int) -> None:
    """Runs a command in this process, which it ends."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.argv = [request["module"], *request["arguments"]]
    status = 0
    fault = request["fault"]
    if fault:
        numbers = [fault[name] for name in ("kinds", "call", "error", "once", "kills")]
        shim.arm(fault["below"].encode(), *numbers, ctypes.c_size_t(fault["large"]))
    sys.modules.pop(request["module"], None)  # it is run anew, as the main module
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        shim.arm(b"", 0, 0, 0, 0, 0, ctypes.c_size_t(0))
        import traceback

        traceback.print_exc()
        status = 1
    counted = shim.count()
    shim.arm(b"", 0, 0, 0, 0, 0, ctypes.c_size_t(0))
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(writing, str(counted).encode())
    os._exit(status)


def warm_up() -> None:
    """Imports everything that a command needs, and fills caches: fonts, formulas, Hydra's parser and plugins."""
    import hydra
    import numpy as np
    from hydra.core.global_hydra import GlobalHydra
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from src.results.run_plots import temporal_gradients

    for name in ("src.curves", "src.evaluate", "src.jobs", "src.run", "tasks.price", "tasks.temporal_order"):
        import_module(name)
    import_module("tensorboard.plugins.hparams.api_pb2")
    numbers = np.geomspace(1e-7, 1, 40).reshape(2, 20)
    figure = temporal_gradients(dict.fromkeys(("temporal_gradient", "jacobian", "bound"), numbers), [0, 1])
    FigureCanvasAgg(figure).draw()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        hydra.compose("train", ["experiment=smoke", "trainer.max_steps=40"], return_hydra_config=True)
    GlobalHydra.instance().clear()


if __name__ == "__main__":
    warm_up()
    gc.freeze()  # what is here stays: no child need look at it, nor copy it
    library = ctypes.CDLL(sys.argv[1])
    library.count.restype = ctypes.c_long
    library.arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, *3 * [ctypes.c_int], ctypes.c_size_t]
    serve(library)
    gc.unfreeze()
