"""python -m src.evaluate RUN_DIR task.length=50,100,...: a trained population on fresh sequences of other lengths."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table

from src.config import ConfigurationError, check, first_line, near, refuse
from src.trained import Trained, load_population
from tasks.data import evaluation_batch
from tasks.task import Task

PART_STEPS = 1_000_000
"""Most steps of all the sequences of a part; what bounds the memory."""

FEW = 6
"""Most replicas with a column of their own."""

LENGTHS = "50,100,150,200,250,500,1000"


def parts(length: int, sequences: int) -> Iterator[int]:
    """Sizes of the parts in which sequences of a length are drawn: a function of the two alone."""
    most = max(1, min(1000, PART_STEPS // length))
    for first in range(0, sequences, most):
        yield min(most, sequences - first)


def error(population: Trained, task: Task, seed: int, sequences: int) -> float:
    """Share of fresh sequences that the replica of this seed answers wrongly.

    They are a function of its seed and the task's length: the same for every method. Where the task stretches its
    length, every part has a length of its own.
    """
    network, wrong = population.network.select([population.seeds.index(seed)]), 0
    for part, size in enumerate(parts(task.length, sequences)):
        wrong += int(network.wrong(evaluation_batch(task, seed, part, size), task).sum())
    return wrong / sequences


def evaluate(population: Trained, tasks: Sequence[Task], sequences: int) -> pd.DataFrame:
    """One row a replica and task, the columns as in evaluation.csv."""
    names = population.results[["task", "cell", "optimizer", "seed", "status"]]
    rows = []
    for task in tasks:
        for name in names.to_dict("records"):
            wrong = error(population, task, name["seed"], sequences)
            rows.append({**name, "length": task.length, "sequences": sequences, "error": wrong})
        print(f"length {task.length:,} done", flush=True)
    return pd.DataFrame(rows)


def configured(saved: DictConfig, overrides: Sequence[str]) -> tuple[DictConfig, list[int]]:
    """The run's configuration with these keys changed, and the lengths.

    Raises:
        ConfigurationError: keys that are not the task's, or values that cannot be.
    """
    cfg, problems = saved.copy(), []
    if not hydra.utils.get_class(saved.task._target_).graded:  # type: ignore[attr-defined]
        raise ConfigurationError([f"{saved.task.name}: its answers are neither right nor wrong"])
    OmegaConf.update(cfg, "task.max_length", None)  # one length at a time
    cfg.resume, cfg.trainer.accelerator = None, "cpu"
    lengths: Any = None
    for override in overrides:
        key, _, text = override.partition("=")
        known = [f"task.{name}" for name in cfg.task if name not in ("_target_", "name", "max_length")]
        known += ["success.sequences", "threads", "recurrence"]
        if key not in known:
            problems.append(f"{key}: no such key here{near(key, known)}; there are {', '.join(known)}")
            continue
        try:
            value = OmegaConf.to_container(OmegaConf.from_dotlist([f"x=[{text}]"]))["x"]  # type: ignore[index, call-overload]
        except OmegaConfBaseException as unreadable:
            problems.append(f"{override}: cannot be read: {first_line(unreadable)}")
            continue
        if key == "task.length":
            lengths = value
        elif len(value) == 1:
            OmegaConf.update(cfg, key, value[0])
        else:
            problems.append(f"{override}: only task.length takes several values")
    for length in lengths or []:
        problems += check(OmegaConf.merge(cfg, {"task": {"length": length}}))  # type: ignore[arg-type]
    if problems or not lengths:
        raise ConfigurationError(list(dict.fromkeys(problems)) or ["task.length=: no lengths"])
    return cfg, sorted(set(lengths))


def show(table: pd.DataFrame) -> None:
    """A row a length: the median and the worst replica, and each if they are few; in per cent."""
    wide = 100 * table.pivot(index="length", columns="seed", values="error")
    columns = {"median": wide.median(axis=1), "worst": wide.max(axis=1)}
    if len(wide.columns) <= FEW:
        columns |= {f"seed {seed}": wide[seed] for seed in wide.columns}
    title = f"{table['task'][0]}: wrong of {table['sequences'][0]:,} sequences, %"
    printed = Table("length", *columns, title=title, title_justify="left")
    for column in printed.columns:
        column.justify = "right"
    for length in wide.index:
        printed.add_row(f"{length:,}", *(f"{values[length]:.2f}" for values in columns.values()))
    Console().print(printed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.evaluate", description=__doc__)
    parser.add_argument("directory", metavar="RUN_DIR", type=Path, help="of a run, or of a sweep's job")
    parser.add_argument(
        "overrides",
        metavar="KEY=VALUE",
        nargs="*",
        help=f"task.length={LENGTHS} (default), other keys of the task, success.sequences, threads, recurrence",
    )
    parser.add_argument("--out", type=Path, help="where to write; default: RUN_DIR")
    arguments = parser.parse_args()
    try:
        run(arguments.directory, arguments.overrides, arguments.out or arguments.directory)
    except ConfigurationError as problem:
        refuse(problem.problems)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def run(directory: Path, overrides: Sequence[str], out: Path) -> pd.DataFrame:
    """Evaluates, prints the table, and writes evaluation.csv, .png and .svg."""
    from src import plots
    from src.run import settle_recurrence

    population = load_population(directory)
    if not any(override.startswith("task.length=") for override in overrides):
        overrides = [*overrides, f"task.length={LENGTHS}"]
    trained_on = population.config.task.length, population.config.task.max_length
    cfg, lengths = configured(population.config, overrides)
    settle_recurrence(cfg)
    tasks = [hydra.utils.instantiate(cfg.task, length=length) for length in lengths]
    table = evaluate(population, tasks, cfg.success.sequences)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "evaluation.csv", index=False, float_format="%.6g")
    figure = plots.evaluation(table, trained_on)
    for suffix in ("png", "svg"):
        figure.savefig(out / f"evaluation.{suffix}", dpi=150)
    show(table)
    Console().print(f"in {out}: evaluation.csv, evaluation.png (and .svg)", soft_wrap=True)
    return table


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
