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
from typing import Any

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


class Running:
    """A command that runs on in a child of the server; what a test needs of ``subprocess.Popen``."""

    def __init__(self, server: "Server", pid: int, files: tuple[Path, Path]) -> None:
        self.server = server
        self.pid = pid
        self.files = files
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its status, None while it runs."""
        if self.returncode is None:
            self.returncode = self.server.ask(poll=self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends it a signal; once it has ended this does nothing."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """What it has written to standard output and error, when it has ended.

        Raises:
            TimeoutError: it has not.
        """
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid}")
            time.sleep(0.02)
        out, err = (file.read_text(errors="replace") for file in self.files)
        return out, err


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
        self.begun = 0

    def run(
        self,
        *arguments: str,
        module: str = "src.train",
        fault: Fault | None = None,
        kill: float | None = None,
        path: Path | None = None,
    ) -> Ended:
        """Runs ``python -m module arguments``.

        Args:
            fault: what goes wrong.
            kill: seconds after which it is killed.
            path: a folder of modules of one's own.
        """
        request = {"module": module, "arguments": arguments, "fault": fault and asdict(fault)}
        return Ended(**self.ask(**request, kill=kill, path=path and str(path)))

    def begin(self, *arguments: str, module: str = "src.train") -> Running:
        """Begins ``python -m module arguments``."""
        self.begun += 1
        files = [Path(self.folder.name) / f"{self.begun}.{name}" for name in ("out", "err")]
        pid = self.ask(module=module, arguments=arguments, fault=None, files=[str(file) for file in files])
        return Running(self, pid, (files[0], files[1]))

    def ask(self, **request: object) -> Any:
        """The answer to a request."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

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
        if "poll" in request:
            child, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if child else None
        elif "files" in request:
            answer = _begin(request, shim)
        else:
            answer = asdict(_end(request, shim))
        print(json.dumps(answer), flush=True)


def _begin(request: dict, shim: ctypes.CDLL) -> int:
    """Begins a command; its process."""
    child = os.fork()
    if child == 0:
        out, err = (os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND) for file in request["files"])
        _run(request, shim, out, err, os.open(os.devnull, os.O_WRONLY))
    return child


def _end(request: dict, shim: ctypes.CDLL) -> Ended:
    """Runs a command to its end."""
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
    return Ended(status, texts[0], texts[1], int(counted or 0), time.monotonic() - begun)


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
    if request.get("path"):
        sys.path.insert(0, request["path"])
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
