"""The memory that a population takes on the CPU, estimated before it is trained, and what there is.

The factors were fitted to the largest resident size of short runs, see docs/speed-and-memory.md. They are rough, up to
twice too large: what is refused near the bound might have run.
"""

import os
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from omegaconf import DictConfig

from src.cells import AutogradCell
from src.config.memory import free_memory
from src.network import Architecture
from src.recurrence import AUTO, FUSED, REFERENCE
from src.recurrence import missing as missing_backend
from tasks.block import most_updates
from tasks.draws import DRAW, Stream, generator
from tasks.task import Split, Task

FLOAT = 4
"""Bytes of a number."""

COPIES, COPIES_OF_TORCH = 12, 20
"""Of each parameter: gradients, buffers, checkpoints on their way to the disk; with one of torch's optimizers."""

KEPT, KEPT_OF_LAYERS = 12, 2
"""Numbers that are kept per step, sequence, unit and gate: by the reference, and by compiled layers on each other."""

MEASURED = 160_000_000
"""Bytes that diagnostics take, however many replicas there are."""

OF_ANSWERS = 4
"""Numbers that are kept per answer where layers lie on each other: outputs, shares, and what they send back."""

TESTED = 1000
"""Sequences of a success test that are there at a time."""


@dataclass(frozen=True)
class Need:
    """Bytes that a population takes: whatever its size, and for each replica."""

    fixed: int
    each: int

    def of(self, replicas: int) -> int:
        """Bytes of so many replicas."""
        return self.fixed + replicas * self.each

    def fits(self, free: int) -> int:
        """How many replicas fit into so many bytes."""
        return max(0, (free - self.fixed) // self.each)


def memory_problems(cfg: DictConfig, task: Task, architecture: Architecture, at_once: int) -> list[str]:
    """A population that is larger than the memory that is free; nothing where that is not known.

    Args:
        at_once: how many populations like it share the memory.
    """
    free = free_memory()
    on_gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
    if free is None or on_gpu:
        return []
    free //= at_once
    need = estimate(cfg, task, architecture)
    if need.of(cfg.replicas) <= free:
        return []
    fitting = need.fits(free)
    fit = "1 replica fits" if fitting == 1 else f"{fitting} replicas fit"
    advice = fit if fitting else "not even one replica fits"
    wanted = f"about {gigabytes(need.of(cfg.replicas))} of memory are needed and {gigabytes(free)} are free"
    if at_once > 1:
        wanted += f" for each of {at_once} jobs at a time"
    return [f"replicas={cfg.replicas}: {wanted}; {advice}"]


def gigabytes(count: int) -> str:
    """Bytes in GB."""
    return f"{count / 1e9:.2g} GB" if count < 1e11 else f"{count / 1e9:,.0f} GB"


def estimate(cfg: DictConfig, task: Task, architecture: Architecture) -> Need:
    """What this configuration takes."""
    cell = architecture.cell
    columns = cell.gates * cell.hidden_size
    layers = architecture.layers + architecture.dense
    width = architecture.dense_size or cell.hidden_size
    steps, of_sequence = sequence(task)
    stretched = (task.max_length or task.length) / task.length * (1 + cfg.task.get("stretch", 0))
    longest = int(steps * stretched)
    parameters = layers * columns * (cell.hidden_size + task.inputs + 1) + cell.hidden_size * task.outputs
    parameters += architecture.dense * width * (width + task.inputs + 1) + (architecture.dense > 0) * width * columns
    remembers = "step" in cfg.optimizer or cfg.optimizer.get("momentum")
    copies = COPIES_OF_TORCH if remembers else COPIES
    at_once = most_updates(cfg.replicas * task.batch_size * (task.max_length or task.length))
    updates = min(cfg.block, cfg.trainer.max_steps, cfg.success.check_every, at_once)
    block = 1 if task.epochs else 2 * updates + DRAW  # as drawn, and side by side
    tested = min(TESTED, cfg.success.sequences) if task.graded else 0
    each = FLOAT * copies * parameters
    each += int(of_sequence * stretched) * (block * task.batch_size + 2 * tested)
    each += FLOAT * longest * columns * KEPT * cfg.optimizer.get("curvature", 0)
    each += task.batch_size * _outputs(cfg, task, architecture, longest)
    longest = min(longest, part(cfg, task, longest))
    diagnostics = cfg.callbacks.get("diagnostics")
    fixed = task.held
    fixed += MEASURED if diagnostics is not None and diagnostics.every is not None else 0
    plain = cfg.recurrence == REFERENCE or isinstance(cell, AutogradCell)
    if plain or (cfg.recurrence == AUTO and missing_backend(FUSED) is not None):
        each += FLOAT * longest * columns * layers * (KEPT * task.batch_size + tested)
    elif architecture.stacked:
        each += FLOAT * longest * columns * layers * (KEPT_OF_LAYERS * task.batch_size + tested)
    else:
        threads = cfg.threads or os.cpu_count() or 1
        tile = task.batch_size / min(8, ceil(task.batch_size / 12))
        fixed += int(threads * tile * longest * cell.hidden_size * FLOAT * (6 if cell.gates > 1 else 1))
    return Need(fixed, each)


def part(cfg: DictConfig, task: Task, longest: int) -> int:
    """Steps of the longest part that is learned at once: of epochs that are cut, not all of them."""
    cut = cfg.callbacks.get("truncated_bptt")
    if cut is None or not task.epochs:
        return longest
    return int(cut.steps or ceil(longest / min(cut.parts)))


def _outputs(cfg: DictConfig, task: Task, architecture: Architecture, longest: int) -> int:
    """Bytes of one sequence's answers, where there is one at every step and layers lie on each other."""
    if not (task.epochs and task.every_step and architecture.stacked):
        return 0
    return FLOAT * OF_ANSWERS * part(cfg, task, longest) * task.outputs


def sequence(task: Task) -> tuple[int, int]:
    """Steps of one sequence of the nominal length, and the bytes that it and its targets take."""
    inputs, target = task.draw(task.length, 1, generator(0, Stream.DATA, 0), Split.TRAIN)
    return len(inputs), np.asarray(inputs).nbytes + np.asarray(target).nbytes
