"""Losses of text as people read them: in bits per character."""

import math
from collections.abc import Mapping
from typing import Any

import hydra

from src.config.trusted import untrusted

BIT = math.log(2)
"""Nats."""

WITHOUT = ("unigram", "zlib", "lzma")
"""Yardsticks of text, which need no network."""


def in_bits(task: Mapping[str, Any]) -> bool:
    """Whether people read the losses of a task in bits.

    Args:
        task: its part of a configuration, as a run has saved it.
    """
    if not task or untrusted(task):
        return False
    try:
        found: Any = hydra.utils.get_class(task["_target_"])
    except Exception:  # whatever an import raises
        return False
    return bool(found.in_bits)


def beside(yardsticks: Mapping[str, float]) -> str:
    """One line: what a character costs without a network."""
    each = ", ".join(f"{name} {loss / BIT:.3g}" for name, loss in yardsticks.items() if not math.isnan(loss))
    return f"bits per character of the test part without a network: {each}"
