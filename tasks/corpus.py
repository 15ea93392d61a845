"""Text to learn from: a file of the user's, or the sources of Python's standard library, which need no download."""

import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

CHARACTERS = 2_000_000
"""Of the standard library, its modules of one file in the order of their names; Python 3.11 has 4.6 million."""


def text_of(path: str | None) -> str:
    """The text of a UTF-8 file, or of the standard library where no path is given; line ends become one character.

    Raises:
        ValueError: a file that is not there, is empty, or is no text; one line that begins with the key.
    """
    if path is None:
        return standard_library()
    file = Path(path).expanduser()
    try:
        seen = file.stat()
        return _read(file, seen.st_mtime_ns, seen.st_size)
    except OSError as error:
        raise ValueError(f"path={path}: {error.strerror}") from error


@lru_cache(maxsize=4)
def _read(file: Path, _changed: int, _size: int) -> str:
    """The text of a file, remembered until it changes."""
    content = file.read_bytes()
    if not content:
        raise ValueError(f"path={file}: is empty")
    if b"\0" in content:
        raise ValueError(f"path={file}: is no text, byte {content.index(0)} is 0")
    try:
        return _with_line_ends(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"path={file}: is no UTF-8 text, byte {error.start} fits nowhere") from error


@lru_cache(maxsize=1)
def standard_library() -> str:
    """The first ``CHARACTERS`` of the modules of Python's standard library that are one file, sorted by name.

    The names are those of ``sys.stdlib_module_names``, which are the same on every system: whoever has the same Python
    has the same text.

    Raises:
        ValueError: this Python comes without its sources.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    parts: list[str] = []
    size = 0
    for name in sorted(sys.stdlib_module_names):
        file = folder / f"{name}.py"
        if file.is_file() and size < CHARACTERS:
            parts.append(_with_line_ends(file.read_text("utf-8")))
            size += len(parts[-1])
    if not parts:
        raise ValueError(f"path=null: there are no sources of Python in {folder}; name a file")
    return "".join(parts)[:CHARACTERS]


def _with_line_ends(text: str) -> str:
    """The text with one character at the end of each line, on every system."""
    return text.replace("\r\n", "\n")
