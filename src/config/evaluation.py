"""What `python -m src.evaluate` may change in the configuration of a run."""

from collections.abc import Sequence
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.check import check
from src.config.errors import ConfigurationError, first_line, near
from src.config.values import make_whole

FIXED = ("_target_", "name", "max_length")
"""Keys of a task that an evaluation may not change; lengths are evaluated one at a time."""

FURTHER = ("success.sequences", "threads", "recurrence")
"""Keys beside the task's that it may change."""


def evaluation_configuration(saved: DictConfig, overrides: Sequence[str]) -> tuple[DictConfig, list[int]]:
    """A run's configuration with some keys changed, and the lengths, sorted.

    Args:
        saved: of the run.
        overrides: ``key=value``; only ``task.length`` takes several values, with commas between them.

    Raises:
        ConfigurationError: keys that an evaluation does not have, values that cannot be, or no lengths.
    """
    from src.recurrence import fitting

    if not hydra.utils.get_class(saved.task._target_).graded:  # type: ignore[attr-defined]
        raise ConfigurationError([f"{saved.task.name}: its answers are neither right nor wrong"])
    cfg = saved.copy()
    OmegaConf.update(cfg, "task.max_length", None)
    cfg.resume = None
    cfg.pop("curriculum", None)
    cfg.trainer.accelerator = "cpu"
    cfg.recurrence = fitting(cfg.recurrence)
    known = [f"task.{name}" for name in cfg.task if name not in FIXED] + [*FURTHER]
    lengths: list[Any] = []
    problems: list[str] = []
    for override in overrides:
        try:
            key, values = read_override(override, known)
        except ConfigurationError as error:
            problems += error.problems
            continue
        if key == "task.length":
            lengths = values
        else:
            OmegaConf.update(cfg, key, values[0])
    problems += length_problems(cfg, lengths)
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    make_whole(cfg)
    return cfg, sorted({int(length) for length in lengths})


def read_override(override: str, known: Sequence[str]) -> tuple[str, list[Any]]:
    """Key and values of one override.

    Raises:
        ConfigurationError: an unknown key, or values that cannot be read or are too many.
    """
    key, _, text = override.partition("=")
    if key not in known:
        problem = f"{key}: no such key here{near(key, known)}; there are {', '.join(known)}"
        raise ConfigurationError([problem])
    try:
        values: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"x=[{text}]"]))["x"]  # type: ignore[index, call-overload]
    except OmegaConfBaseException as unreadable:
        raise ConfigurationError([f"{override}: cannot be read: {first_line(unreadable)}"]) from unreadable
    if key != "task.length" and len(values) != 1:
        raise ConfigurationError([f"{override}: only task.length takes several values"])
    return key, values


def length_problems(cfg: DictConfig, lengths: Sequence[Any]) -> list[str]:
    """Problems of the configuration with each of these lengths; no lengths are one too."""
    problems: list[str] = []
    for length in lengths:
        problems += check(OmegaConf.merge(cfg, {"task": {"length": length}}))  # type: ignore[arg-type]
    if not lengths:
        problems.append("task.length=: no lengths")
    return problems
