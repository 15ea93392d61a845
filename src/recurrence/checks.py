"""What must hold of the data, asked without waiting: at once on the CPU, on a device when somebody waits for it anyway."""

import torch
from torch import Tensor

MOST = 1000
"""Checks that wait at a time, at most."""

_waiting: list[tuple[Tensor, Exception]] = []


def refuse(wrong: Tensor, error: Exception) -> None:
    """Raises the error where ``wrong``, one truth value, is true; if that lies on a device, at the next :func:`ask`."""
    if wrong.device.type == "cpu":
        if bool(wrong):
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
    wrong = torch.stack([each.to(flags.device) for each, _ in waiting])
    answers = torch.cat([flags.flatten(), wrong]).cpu()
    for is_wrong, (_, error) in zip(answers[flags.numel() :].tolist(), waiting, strict=True):
        if is_wrong:
            raise error
    return answers[: flags.numel()].view(flags.shape)
