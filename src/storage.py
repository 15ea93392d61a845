"""Checkpoint files that a kill, a full disk or a flipped bit cannot turn into something else.

A checkpoint is written beside its target, brought to the disk, and then renamed; the one before is kept as
``previous.ckpt``. The file is torch's own (a zip archive) with a checksum as the archive's comment, so that
``torch.load`` reads it too.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from src.rundir import PREVIOUS

MARK = b"sha256:"
"""What the comment of a checkpoint's archive begins with; 64 hexadecimal digits follow."""

COMMENT = len(MARK) + 64


class DamagedFile(Exception):
    """A checkpoint that is not as it was written. The message is one line and names the file."""


def write(file: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint durably; a sound former one becomes ``previous.ckpt`` in the same folder.

    Raises:
        OSError: it cannot be written; the former file is as it was.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    file.parent.mkdir(exist_ok=True)
    partial = file.with_name(file.name + ".part")
    try:
        with partial.open("wb") as target:
            target.write(sealed(buffer.getvalue()))
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(file)) from error
    if _is_sound(file):
        os.replace(file, file.with_name(PREVIOUS))
    os.replace(partial, file)
    _sync_folder(file.parent)


def read(file: Path) -> tuple[dict[str, Any], list[str]]:
    """Reads a checkpoint, or the previous one where it is missing or damaged.

    Returns:
        the content, and one line for each file that could not be used.

    Raises:
        DamagedFile: neither can be read.
    """
    problems: list[str] = []
    for candidate in (file, file.with_name(PREVIOUS)):
        try:
            return _load(candidate), problems
        except DamagedFile as problem:
            problems.append(str(problem))
    raise DamagedFile("; ".join(problems))


def sealed(archive: bytes) -> bytes:
    """A zip archive without a comment, with its own checksum as the comment."""
    assert archive[-2:] == b"\0\0", "the archive has a comment already"
    digest = hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + COMMENT.to_bytes(2, "little") + MARK + digest


def _opened(data: bytes) -> bytes | None:
    """The archive without its comment, or None where the checksum is missing or wrong."""
    archive = data[: -COMMENT - 2] + b"\0\0"
    comment = data[-COMMENT:]
    if comment[: len(MARK)] != MARK or hashlib.sha256(archive).hexdigest().encode() != comment[len(MARK) :]:
        return None
    return archive


def _load(file: Path) -> dict[str, Any]:
    """Reads one file. Checkpoints of before have no checksum; torch decides whether they can be read."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DamagedFile(f"{file}: {error.strerror}") from error
    archive = _opened(data)
    if archive is None and MARK in data[-2 * COMMENT :]:
        raise DamagedFile(f"{file}: damaged, its checksum is wrong")
    try:
        content = torch.load(io.BytesIO(data if archive is None else archive), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever damaged bytes lead to
        raise DamagedFile(f"{file}: no checkpoint, or damaged") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise DamagedFile(f"{file}: no checkpoint of this program")
    return content


def _is_sound(file: Path) -> bool:
    """Whether a file is there and is what was written."""
    return file.is_file() and _opened(file.read_bytes()) is not None


def _sync_folder(folder: Path) -> None:
    """Brings the renaming to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
