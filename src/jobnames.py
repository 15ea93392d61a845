"""What the directory of a sweep's job is called: its number, and what distinguishes it from the other jobs."""

import os
import re
from collections.abc import Iterable

from omegaconf import OmegaConf

from src.config.keys import is_resumable

COMMON = "RNN_LONG_MEMORY_COMMON_OVERRIDES"
"""Environment variable with the overrides that all jobs of a sweep have, one per line: jobs may be other processes."""

LONGEST = 100
"""Most characters of a name."""


def note_common(overrides: Iterable[str]) -> None:
    """Keeps the overrides that all jobs of a sweep have, for this process and those that it starts."""
    os.environ[COMMON] = "\n".join(overrides)


def common() -> list[str]:
    """The overrides that all jobs of a sweep have."""
    return os.environ.get(COMMON, "").split("\n")


def job_directory(number: int, overrides: Iterable[str]) -> str:
    """A name like ``3_msgd_c_length=100``.

    Args:
        number: of the job, from 0.
        overrides: of the job, those that all jobs have included. Keys that may change when it goes on give no name.
    """
    shared = common()
    words = [_word(text) for text in overrides if text not in shared and not is_resumable(text.split("=")[0])]
    name = "_".join([str(number), *words])
    return re.sub(r"[^\w.,=+-]+", "-", name)[:LONGEST].rstrip("-.")


def _word(override: str) -> str:
    """The choice of a group, or the last part of a key and its value."""
    key, _, value = override.partition("=")
    last = key.rpartition(".")[2]
    is_number = re.fullmatch(r"[-+.\deE]+|null|true|false", value) is not None
    return f"{last}={value}" if "." in key or is_number else value


OmegaConf.register_new_resolver("job_directory", job_directory, replace=True)  # in each process that imports this
