"""Compiles native/cpu.cpp with this machine's compiler into a cache.

The cache is ``$XDG_CACHE_HOME/rnn-long-memory``, by default ``~/.cache/rnn-long-memory``. A library's name holds two
digests: of what it was made from (every file in native/, compiler, options, processor) and of what it is. So a library
that is damaged, old or of another machine is never loaded. It is written elsewhere and moved there whole. Of processes
that begin at once the first compiles, and the others wait for it.
"""

import atexit
import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from src.recurrence.backend import Unavailable

NATIVE = Path(__file__).with_name("native")
OPTIONS = ("-std=c++17", "-O3", "-shared", "-fPIC", "-pthread")
PATIENCE = 300
"""Seconds that a compiler may take; it takes some ten."""

THIS_PROCESSOR = (("-march=native",), ("-mcpu=native",), ())
"""Options that make a compiler use all that this processor can. The first that it takes is used."""


def build() -> Path:
    """Returns the library made from native/, from the cache or new.

    Raises:
        Unavailable: there is no compiler, or it fails.
    """
    compiler = _compiler()
    key = _key(compiler)
    folder = _folder()
    library = _cached(folder, key)
    if library is not None:
        return library
    with (folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _cached(folder, key) or _make(compiler, folder, key)


def _cached(folder: Path, key: str) -> Path | None:
    """A whole library of this key; a damaged one is left to whoever writes a whole one over it."""
    for found in folder.glob(f"{key}-*.so"):
        if found.is_file() and found.stem == f"{key}-{_digest(found.read_bytes())}":
            return found
    return None


def _make(compiler: list[str], folder: Path, key: str) -> Path:
    """Compiles a library and moves it to its name."""
    with tempfile.TemporaryDirectory(dir=folder) as workshop:
        made = _compile(compiler, Path(workshop) / "cpu.so")
        library = folder / f"{key}-{_digest(made.read_bytes())}.so"
        os.replace(made, library)
    return library


def _key(compiler: list[str]) -> str:
    """A digest of all that a library is made from."""
    parts = []
    for file in sorted(path for path in NATIVE.iterdir() if path.suffix in (".h", ".cpp")):
        parts += [file.name, file.read_text()]
    parts += [_version(compiler), *OPTIONS, processor()]
    return _digest("\0".join(parts).encode())[:32]


def _folder() -> Path:
    """Returns the cache or, where others may write to it, a folder that is gone with the process."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnn-long-memory"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        if state.st_uid == os.getuid() and not state.st_mode & 0o022 and os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # no home, or one that is read-only
        pass
    folder = Path(tempfile.mkdtemp(prefix="rnn-long-memory-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _compile(compiler: list[str], target: Path) -> Path:
    source = NATIVE / "cpu.cpp"
    for processor_options in THIS_PROCESSOR:
        command = [*compiler, *OPTIONS, *processor_options, str(source), "-o", str(target)]
        done = _asked(command)
        if done.returncode == 0 and target.is_file():
            return target
    lines = done.stderr.strip().splitlines() or ["no message"]
    errors = [line for line in lines if "error" in line]
    complaint = [*errors, *lines][0]
    raise Unavailable(f"{compiler[0]} cannot compile {source.name} ({complaint}); install a current g++ or clang++")


def _compiler() -> list[str]:
    """Returns $CXX or, without it, the first compiler that is there."""
    try:
        own = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise Unavailable(f"CXX={os.environ['CXX']} cannot be read: {error}") from error
    for command in [own] if own else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    missing = f"CXX={own[0]} is not there" if own else "no C++ compiler found"
    raise Unavailable(f"{missing}; install one (Debian, Ubuntu: apt install g++; macOS: xcode-select --install)")


def _version(compiler: list[str]) -> str:
    done = _asked([*compiler, "--version"])
    return " ".join(compiler) + done.stdout + done.stderr


def _asked(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Runs a compiler, which may hang or be no program at all."""
    try:
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"{command[0]} has not come to an end in {PATIENCE} seconds; choose another with CXX"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{command[0]} cannot be run: {error}; choose another compiler with CXX") from error


def processor() -> str:
    """Describes this machine's processor and what it can do, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.platform() + platform.processor()
    telling = r"^(?:model name|flags|Features|CPU (?:implementer|part|variant))\s*:.*$"
    return platform.machine() + "\n".join(sorted(set(re.findall(telling, text, flags=re.MULTILINE))))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
