"""python -m src.evaluate RUN_DIR task.length=50,100,...: a trained population on fresh sequences of other lengths."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import hydra
import pandas as pd
import torch
from omegaconf import DictConfig
from rich.console import Console

from src.config import ConfigurationError, refuse
from src.config.errors import of_disk
from src.config.evaluation import evaluation_configuration
from src.config.trusted import import_modules
from src.results import run_plots
from src.results.tables import show_evaluation
from src.run import settle_recurrence
from src.rundir import EVALUATION, figure_files, replaced, table_file, write_frame
from src.trained import Trained, load_population
from tasks.data import evaluation_batch
from tasks.task import Task

PART_STEPS = 1_000_000
"""Most steps of all the sequences of a part; what bounds the memory."""

MOST = 1000
"""Most sequences of a part."""

LENGTHS = "50,100,150,200,250,500,1000"


def parts(length: int, sequences: int) -> Iterator[int]:
    """Sizes of the parts in which sequences of a length are drawn: a function of the two alone."""
    most = max(1, min(MOST, PART_STEPS // length))
    for first in range(0, sequences, most):
        yield min(most, sequences - first)


def error(population: Trained, task: Task, seed: int, sequences: int) -> float:
    """Share of fresh sequences that the replica of this seed answers wrongly.

    They are a function of its seed and the task's length: the same for every method. Where the task stretches its
    length, every part has a length of its own.
    """
    network = population.network.select([population.seeds.index(seed)])
    wrong = 0
    for part, size in enumerate(parts(task.length, sequences)):
        wrong += int(network.wrong(evaluation_batch(task, seed, part, size), task).sum())
    return wrong / sequences


def evaluate(population: Trained, tasks: Sequence[Task], sequences: int) -> pd.DataFrame:
    """One row per replica and task, the columns as in evaluation.csv."""
    replicas = population.results[["task", "cell", "optimizer", "seed", "status"]].to_dict("records")
    rows = []
    for task in tasks:
        for names in replicas:
            wrong = error(population, task, names["seed"], sequences)
            rows.append({**names, "length": task.length, "sequences": sequences, "error": wrong})
        print(f"length {task.length:,} done", flush=True)
    return pd.DataFrame(rows)


def run(directory: Path, overrides: Sequence[str], out: Path) -> pd.DataFrame:
    """Evaluates a population, prints the table, and writes evaluation.csv, .png and .svg.

    Args:
        directory: of its run.
        overrides: see :func:`src.config.evaluation.evaluation_configuration`; without lengths, LENGTHS.
        out: where to write.

    Raises:
        ConfigurationError: no trained population there, or overrides that cannot be.
    """
    population = load_population(directory)
    if not any(override.startswith("task.length=") for override in overrides):
        overrides = [*overrides, f"task.length={LENGTHS}"]
    trained_on = lengths_of_training(population.config)
    cfg, lengths = evaluation_configuration(population.config, overrides)
    settle_recurrence(cfg)
    tasks = [hydra.utils.instantiate(cfg.task, length=length) for length in lengths]
    table = evaluate(population, tasks, cfg.success.sequences)
    out.mkdir(parents=True, exist_ok=True)
    write_frame(table, table_file(out, EVALUATION))
    figure = run_plots.evaluation(table, trained_on)
    for file in figure_files(out, EVALUATION):
        with replaced(file) as partial:
            figure.savefig(partial, dpi=150, format=file.suffix[1:])
    show_evaluation(table)
    Console().print(f"in {out}: {EVALUATION}.csv, {EVALUATION}.png (and .svg)", soft_wrap=True)
    return table


def lengths_of_training(cfg: DictConfig) -> tuple[int, int | None]:
    """The shortest and the longest nominal length that a run has learned from; None: there is one."""
    if cfg.get("curriculum"):
        return cfg.curriculum.first or cfg.task.length, cfg.task.length
    return cfg.task.length, cfg.task.max_length


def main() -> None:
    """The command line: 0 done, 1 no disk, 2 nothing to evaluate or bad overrides, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m src.evaluate", description=__doc__)
    parser.add_argument("directory", metavar="RUN_DIR", type=Path, help="of a run, or of a sweep's job")
    parser.add_argument(
        "overrides",
        metavar="KEY=VALUE",
        nargs="*",
        help=f"task.length={LENGTHS} (default), other keys of the task, success.sequences, threads, recurrence",
    )
    parser.add_argument("--out", type=Path, help="where to write; default: RUN_DIR")
    parser.add_argument("--module", action="append", default=[], help="of your own, that the configuration names")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    try:
        import_modules(arguments.module)
        run(arguments.directory, arguments.overrides, arguments.out or arguments.directory)
    except ConfigurationError as problem:
        refuse(problem.problems)
    except OSError as error:
        print(f"error: {of_disk(error)}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
