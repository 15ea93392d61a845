"""What is printed at the end of a run: one row per replica, and how many have solved the task."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from src.intervals import wilson
from src.results.bits import BIT, beside
from src.rundir import DIVERGED, FIGURE, INTERRUPTED, RESULTS
from tasks.task import Task

NUMBERS = {
    "reached": ("reached", 1.0, ",.0f"),
    "error": ("error %", 100.0, ".2f"),
    "best_error": ("best %", 100.0, ".2f"),
    "loss": ("loss", 1.0, ".3g"),
    "test_loss": ("test loss", 1.0, ".3g"),
    "spectral_radius": ("radius", 1.0, ".3f"),
    "seconds": ("seconds", 1.0, ".1f"),
}
"""Heading, factor and format of the columns of numbers."""

IN_BITS = {"loss": ("bits", 1 / BIT, ".4g"), "test_loss": ("test bits", 1 / BIT, ".4g")}
"""The same of losses that are read in bits."""


def closing_table(
    rows: Sequence[Sequence[Any]],
    directory: Path,
    graded: bool,
    short: bool = False,
    budget: int | None = None,
    memoryless: float | None = None,
    task: Task | None = None,
) -> None:
    """Prints one row per replica, the success rate, and where things are.

    Args:
        rows: as in results.csv.
        graded: whether answers are right or wrong.
        short: only one line, where there are many runs.
        budget: updates of a single run: what came of it is then said in words.
        memoryless: the loss of answers without memory, where it is known.
        task: what was learned; losses of one that is read in bits are printed so, beside its yardsticks.
    """
    in_bits = task is not None and task.in_bits
    results = [dict(zip(RESULTS, row, strict=True)) for row in rows]
    console = Console()
    if short:
        line = rate(results) if graded else test_losses(results)
        console.print(f"{directory.name}: {line}", highlight=False, markup=False, soft_wrap=True)
        return
    console.print(table(results, in_bits))
    if task is not None and in_bits:
        console.print(beside(task.yardsticks()), highlight=False, soft_wrap=True)
    if graded:
        console.print(rate(results), highlight=False)
    if memoryless is not None:
        console.print(f"Answers without memory have a loss of {memoryless:.3g}.", highlight=False)
    if graded and budget is not None:
        for line in in_words(results, directory, budget):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    figure = f"{FIGURE}, " if (directory / FIGURE).is_file() else ""
    events = ", TensorBoard events" if any(directory.glob("events.out.tfevents.*")) else ""
    console.print(f"in {directory}: {figure}results.csv, history.csv, checkpoints/{events}", soft_wrap=True)


def table(results: Sequence[dict[str, Any]], in_bits: bool = False) -> Table:
    """The replicas' numbers; columns in which nobody has one are left out.

    Args:
        in_bits: whether losses are printed in bits.
    """
    columns = NUMBERS | IN_BITS if in_bits else NUMBERS
    first = results[0]
    length = str(first["length"])
    if first["max_length"]:
        length += f"-{first['max_length']}"
    title = f"{first['task']}, length {length}, {first['cell']}, {first['optimizer']}"
    printed = Table(title=title, title_justify="left")
    printed.add_column("seed", justify="right")
    printed.add_column("status", justify="right", min_width=11)
    printed.add_column("updates", justify="right")
    used = [name for name in NUMBERS if any(not np.isnan(result[name]) for result in results)]
    if "reached" in used:
        used.remove("best_error")  # at the last length only: the table stays narrow
    for name in used:
        printed.add_column(columns[name][0], justify="right")
    for result in results:
        numbers = [_number(columns[name], result[name]) for name in used]
        printed.add_row(str(result["seed"]), str(result["status"]), f"{result['updates']:,}", *numbers)
    return printed


def _number(column: tuple[str, float, str], value: float) -> str:
    """A number as it is printed; empty where there is none."""
    _, factor, form = column
    return "" if np.isnan(value) else format(factor * value, form)


def rate(results: Sequence[dict[str, Any]]) -> str:
    """Solved replicas of all, with Wilson's interval; without it where some were interrupted."""
    solved = sum(bool(result["solved"]) for result in results)
    interrupted = sum(result["status"] == INTERRUPTED for result in results)
    words = f"{solved}/{len(results)} solved"
    if interrupted:
        return f"{words} so far, {interrupted} interrupted"
    low, high = wilson(solved, len(results))
    return f"{words} ({100 * solved / len(results):.0f} %, 95 % interval {100 * low:.0f}-{100 * high:.0f} %)"


def test_losses(results: Sequence[dict[str, Any]]) -> str:
    """The replicas' losses on fresh sequences, where answers are neither right nor wrong."""
    return f"test losses {' '.join(_number(NUMBERS['test_loss'], result['test_loss']) for result in results)}"


def in_words(results: Sequence[dict[str, Any]], directory: Path, budget: int) -> list[str]:
    """What the table of a single run means, and what to do next: a sentence or two; none where it was interrupted.

    Args:
        results: by column of results.csv.
        directory: of the run.
        budget: updates of each replica.
    """
    if any(result["status"] == INTERRUPTED for result in results):
        return []
    replicas = len(results)
    solved = sum(bool(result["solved"]) for result in results)
    lost = sum(result["status"] == DIVERGED for result in results)
    longer = f"python -m src.train {shlex.quote(f'resume={directory}')} trainer.max_steps={2 * budget}"
    if solved == replicas:
        low, _ = wilson(solved, replicas)
        half = int(np.median([result["solved_at"] for result in results]))
        sharper = f"replicas={4 * replicas} would show it more sharply"
        lines = [f"Every replica learned the task, half of them within {half:,} updates."]
        lines.append(f"{replicas} replicas show that at least {100 * low:.0f} % of all seeds would; {sharper}.")
    elif solved:
        lines = [f"{solved} of {replicas} replicas learned the task. With more updates others may: {longer}"]
    else:
        lines = [f"No replica learned the task within {budget:,} updates{_best(results)}."]
        lines.append(f"Try more updates ({longer}), a shorter task.length, or another method or cell.")
    if lost:
        lines.append(f"{lost} diverged: a smaller optimizer.lr, or clipping (optimizer.clip=1), prevents it.")
    return lines


def _best(results: Sequence[dict[str, Any]]) -> str:
    """How near the best replica came: where lengths grow, to which length."""
    reached = [result["reached"] for result in results if not np.isnan(result["reached"])]
    if reached:
        return f"; one has passed {max(reached):,.0f} of {results[0]['length']:,} steps"
    errors = [result["best_error"] for result in results if not np.isnan(result["best_error"])]
    return f"; the best one was wrong in {100 * min(errors):.3g} % of the sequences" if errors else ""
