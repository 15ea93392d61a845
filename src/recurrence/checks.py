"""What must hold of the data: asked at once on the CPU; of a device, when somebody waits for it anyway."""

import torch
from torch import Tensor

MOST = 1000
"""Checks that wait at a time, at most."""

_waiting: list[tuple[Tensor, Exception]] = []


def refuse(wrong: Tensor, error: Exception) -> None:
    """Raises the error where any of ``wrong``, truth values, is true; if they lie on a device, at the next ask()."""
    if wrong.device.type == "cpu":
        if bool(wrong.any()):
            raise error
        return
    if len(_waiting) == MOST:
        ask(wrong)
    _waiting.append((wrong, error))


def ask(flags: Tensor) -> Tensor:
    """Brings truth values to the host, and with them, in one copy, all that waits to be checked.

    Raises:
        Exception: what was refused since the last time, the first of it.
    """
    if not _waiting:
        return flags.cpu()
    waiting = _waiting.copy()
    _waiting.clear()
    parts = [flags, *[each for each, _ in waiting]]
    answers = torch.cat([part.flatten() for part in parts]).cpu().bool().split([part.numel() for part in parts])
    for wrong, (_, error) in zip(answers[1:], waiting, strict=True):
        if wrong.any():
            raise error
    return answers[0].view(flags.shape)
