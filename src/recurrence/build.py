"""Compiles cpu.cpp with this machine's compiler into a cache.

The cache is ``$XDG_CACHE_HOME/rnn-long-memory``, by default ``~/.cache/rnn-long-memory``. A library's name holds what
it was made from (source, compiler, options, processor) and a digest of what it is, so that one that is damaged, old or
of another machine is never loaded. It is written elsewhere and moved there whole: any number of processes may begin at
once.
"""

import atexit
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("cpu") / "native" / "cpu.cpp"
OPTIONS = ("-std=c++17", "-O3", "-shared", "-fPIC", "-pthread")
THIS_PROCESSOR = (("-march=native",), ("-mcpu=native",), ())
"""What makes a compiler use all that this processor can: the first of these that it takes."""


class Unavailable(Exception):
    """No compiler, or one that fails. The message says which, and what to install."""


def build() -> Path:
    """The library made from cpu.cpp, from the cache or new.

    Raises:
        Unavailable: see there.
    """
    compiler = _compiler()
    sources = [path.name + "\0" + path.read_text() for path in sorted(SOURCE.parent.iterdir()) if path.is_file()]
    key = _digest("\0".join([*sources, _version(compiler), *OPTIONS, processor()]).encode())[:32]
    folder = _folder()
    for found in folder.glob(f"{key}-*.so"):
        if found.stem == f"{key}-{_digest(found.read_bytes())}":
            return found  # a damaged one is left to whoever writes a whole one over it
    with tempfile.TemporaryDirectory(dir=folder) as workshop:
        made = _compile(compiler, Path(workshop) / "cpu.so")
        library = folder / f"{key}-{_digest(made.read_bytes())}.so"
        os.replace(made, library)
    return library


def _folder() -> Path:
    """The cache; where it is not ours alone to write, one that is gone with the process."""
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
    for processor_options in THIS_PROCESSOR:
        command = [*compiler, *OPTIONS, *processor_options, str(SOURCE), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return target
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    complaint = errors[0] if errors else done.stderr.strip() or "no message"
    raise Unavailable(f"{compiler[0]} cannot compile {SOURCE.name} ({complaint}); install a current g++ or clang++")


def _compiler() -> list[str]:
    """$CXX, or the first that is there."""
    own = shlex.split(os.environ.get("CXX", ""))
    for command in [own] if own else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    missing = f"CXX={own[0]} is not there" if own else "no C++ compiler found"
    raise Unavailable(f"{missing}; install one (Debian, Ubuntu: apt install g++; macOS: xcode-select --install)")


def _version(compiler: list[str]) -> str:
    done = subprocess.run([*compiler, "--version"], capture_output=True, text=True)
    return " ".join(compiler) + done.stdout + done.stderr


def processor() -> str:
    """What this machine's processor is and can do, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.platform() + platform.processor()
    telling = r"^(?:model name|flags|Features|CPU (?:implementer|part|variant))\s*:.*$"
    return platform.machine() + "\n".join(sorted(set(re.findall(telling, text, flags=re.MULTILINE))))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
