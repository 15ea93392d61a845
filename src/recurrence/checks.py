"""What must hold of the data: asked at once on the CPU; of a device, when somebody waits for it anyway."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

MOST = 200
"""Checks that wait at a time; more are put together where they lie."""

_waiting: list[tuple[Tensor, Exception]] = []
_depth = 0  # runs that are at work: those of a pack take turns


def refuse(wrong: Tensor, error: Exception) -> None:
    """Raises the error where any of ``wrong``, truth values, is true; if they lie on a device, at the next ask()."""
    if wrong.device.type == "cpu":
        if bool(wrong.any()):
            raise error
        return
    if any(wrong is each for each, _ in _waiting):
        return
    if len(_waiting) >= MOST:
        _put_together()
    _waiting.append((wrong, error))


@contextmanager
def apart() -> Iterator[list[tuple[Tensor, Exception]]]:
    """Hands out what is refused in its body, of devices: whoever asked for it sees to it."""
    global _waiting
    before = _waiting
    _waiting = []
    try:
        yield _waiting
    finally:
        _waiting = before


def ask(flags: Tensor) -> Tensor:
    """Brings truth values to the host, and with them, in one copy, all that waits to be checked on their device.

    Raises:
        Exception: what was refused since the last time, the first of it.
    """
    mine = [each for each in _waiting if each[0].device == flags.device]
    others = [each for each in _waiting if each[0].device != flags.device]
    _waiting[:] = others
    if not mine:
        return flags.cpu()
    parts = [flags, *[wrong for wrong, _ in mine]]
    answers = torch.cat([part.flatten() for part in parts]).cpu().bool().split([part.numel() for part in parts])
    for wrong, (_, error) in zip(answers[1:], mine, strict=True):
        if wrong.any():
            raise error
    return answers[0].view(flags.shape)


@contextmanager
def checked() -> Iterator[None]:
    """Asks at the end whatever nobody has asked before. Nothing waits before the first run, nor after the last.

    Raises:
        Exception: what was refused, the first of it.
    """
    global _depth
    if _depth == 0:
        _waiting.clear()
    _depth += 1
    try:
        yield
        while _waiting:
            device = _waiting[0][0].device
            ask(torch.zeros(0, dtype=torch.bool, device=device))
    finally:
        _depth -= 1
        if _depth == 0:
            _waiting.clear()


def _put_together() -> None:
    """Makes one check of all that have the same device and would say the same."""
    alike: dict[tuple[torch.device, str], list[tuple[Tensor, Exception]]] = {}
    for wrong, error in _waiting:
        alike.setdefault((wrong.device, f"{type(error).__name__}: {error}"), []).append((wrong, error))
    _waiting.clear()
    for each in alike.values():
        flags = torch.cat([wrong.flatten() for wrong, _ in each])
        _waiting.append((flags.any()[None], each[0][1]))
