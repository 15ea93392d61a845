"""Looks at the first sequences that a task draws: what they are not is said before a run begins."""

from typing import Any

import numpy as np
from omegaconf import DictConfig

from src.config.errors import first_line
from tasks.draws import Stream, generator
from tasks.task import Classification, Regression, Split, Task

SEQUENCES = 2


def sequence_problems(cfg: DictConfig, task: Task) -> list[str]:
    """What is wrong with the sequences of a task, in one line; an empty list: nothing."""
    try:
        drawn = task.draw(task.length, SEQUENCES, generator(0, Stream.DATA, 0), Split.TRAIN)
        inputs, target = map(np.asarray, drawn)
    except Exception as error:  # whatever a user's class raises
        return [f"task: {cfg.task.name}: draw: {first_line(error)}"]
    found = _of_inputs(task, inputs) or _of_target(task, inputs, target)
    return [f"task: {cfg.task.name}: draw: {found}"] if found else []


def _of_inputs(task: Task, inputs: np.ndarray[Any, Any]) -> str | None:
    symbols = np.issubdtype(inputs.dtype, np.integer)
    if not symbols and inputs.dtype != np.float32:
        return f"inputs are {inputs.dtype}: symbols must be integers, vectors float32"
    shape = (SEQUENCES,) if symbols else (SEQUENCES, task.inputs)
    if len(inputs) == 0 or inputs.shape[1:] != shape:
        wanted = "(steps, sequences)" if symbols else f"(steps, sequences, {task.inputs})"
        return f"inputs of {SEQUENCES} sequences have the shape {inputs.shape}: it must be {wanted}"
    if symbols and not (inputs.min() >= 0 and inputs.max() < task.inputs):
        return f"symbols go from {inputs.min()} to {inputs.max()}: they must be in [0, {task.inputs})"
    return None


def _of_target(task: Task, inputs: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> str | None:
    each = inputs.shape[:2] if task.every_step else (SEQUENCES,)
    classes = isinstance(task, Classification)
    several = isinstance(task, Regression) and task.outputs > 1
    whole = classes or isinstance(task, Regression)
    each = (*each, task.outputs) if several else each
    if target.shape[: len(each)] != each or (whole and target.shape != each):
        names = ["steps"] * task.every_step + ["sequences"] + ["outputs"] * several
        wanted = f"({', '.join(names)}{',' * (len(names) == 1)})"
        return f"targets of {SEQUENCES} sequences have the shape {target.shape}: it must be {wanted}"
    if not classes:
        return None
    if not np.issubdtype(target.dtype, np.integer):
        return f"targets are {target.dtype}: classes must be integers"
    if not (target.min() >= 0 and target.max() < task.outputs):
        return f"classes go from {target.min()} to {target.max()}: they must be in [0, {task.outputs})"
    return None
