"""Builds a population from a configuration, trains it, and says what came of it."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from src import recurrence
from src.config import ConfigurationError, check, science
from src.intervals import wilson
from src.module import Training
from src.network import Network
from src.population import Population
from src.recurrence import cpu
from src.results.rows import results_rows
from src.rundir import INTERRUPTED, RESULTS, SOLVED, RunDirectory
from src.success import SuccessTest
from tasks.datamodule import Sequences

THREADS = torch.get_num_threads()
"""Torch's own choice, before any job of a sweep made another."""


def build(cfg: DictConfig) -> tuple[Training, Sequences]:
    """The module and the data of one population.

    Raises:
        ConfigurationError: a configuration that cannot run.
    """
    if problems := check(cfg):
        raise ConfigurationError(problems)
    task, cell, optimizer = hydra.utils.instantiate(cfg.task), hydra.utils.instantiate(cfg.cell), cfg.optimizer
    direction = hydra.utils.instantiate(optimizer.direction)
    step = hydra.utils.instantiate(optimizer.step, lr=optimizer.lr) if "step" in optimizer else None
    seeds = range(cfg.seed, cfg.seed + cfg.replicas)
    settings = {
        "lr": optimizer.lr,
        "clip": float("inf") if optimizer.clip is None else optimizer.clip,
        "alpha": optimizer.alpha,
        "psi": float("inf") if optimizer.get("psi") is None else optimizer.psi,
    }
    population = Population(seeds, settings)
    population.graded = not task.fixed_data
    success = SuccessTest(**cfg.success)
    module = Training(
        task,
        Network.start(cell, task, seeds),
        population,
        success,
        direction,
        max_steps=cfg.trainer.max_steps,
        config=OmegaConf.to_container(cfg, resolve=False),  # type: ignore[arg-type]
        step=step,
        max_epochs=cfg.trainer.max_epochs,
    )
    stops = [success.check_every]
    if cfg.callbacks.get("metrics") is not None:
        stops.append(cfg.callbacks.metrics.every)
    return module, Sequences(task, population, cfg.block, cfg.trainer.max_steps, stops)


def trainer(cfg: DictConfig, directory: Path) -> pl.Trainer:
    """Lightning's Trainer without what it would do besides: no sanity checks, bars or summaries of its own."""
    return pl.Trainer(
        default_root_dir=directory,
        callbacks=[hydra.utils.instantiate(callback) for callback in cfg.callbacks.values() if callback is not None],
        logger=hydra.utils.instantiate(cfg.logger) if cfg.logger else False,
        **{**cfg.trainer, "max_epochs": 1},  # of Lightning's, whose batch may be a whole epoch of ours
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def quiet() -> None:
    """Silences what Lightning says about things that are as they should be here."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        "does not have many workers",  # data are drawn when needed
        "GPU available but not used",
        "smaller than the logging interval",  # not Lightning's logging
        "LeafSpec",  # Lightning's own use of torch
        "gradient layout contract",  # gradients are views of one tensor
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")


def run(cfg: DictConfig, directory: Path) -> Population:
    """Trains a population and writes everything under ``directory``; an interrupted one comes back all the same."""
    quiet()
    cfg.recurrence = settle_recurrence(cfg)
    RunDirectory(directory).write_configuration(cfg)
    module, data = build(cfg)
    lightning = trainer(cfg, directory)
    checkpoint = None if cfg.resume is None else RunDirectory(cfg.resume).checkpoint_file
    lightning.fit(module, datamodule=data, ckpt_path=checkpoint)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # the next job of a sweep may need it
    summary = outcome(module.population)
    if lightning.logger is not None:
        known = {key: value for key, value in summary.items() if not np.isnan(value)}
        keys = {"seed": cfg.seed, "replicas": cfg.replicas, **science(cfg)}
        lightning.logger.log_hyperparams(keys, known)  # type: ignore[call-arg, arg-type]
        lightning.logger.finalize("success")
    rows = results_rows(module.population, module.config)
    closing_table(rows, directory, module.population.graded)
    return module.population


def settle_recurrence(cfg: DictConfig) -> str:
    """Chooses the recurrence and the threads, says so, and returns what ``auto`` means here."""
    wanted = cfg.recurrence
    if wanted == "auto" and cfg.resume is not None:  # on with what ran
        before = RunDirectory(cfg.resume).configuration()
        wanted = OmegaConf.select(before, "recurrence", default=recurrence.REFERENCE)
    on_cpu = cfg.trainer.accelerator == "cpu" or not torch.cuda.is_available()
    cell, threads = hydra.utils.instantiate(cfg.cell), cfg.threads or THREADS
    recurrence.use(wanted if on_cpu else recurrence.REFERENCE, threads)
    chosen = recurrence.which(cell, torch.empty(0))
    # torch's own threads would wait busily for work on the cores that the fused recurrence wants
    torch.set_num_threads(1 if chosen == recurrence.FUSED else threads)
    line = f"{chosen} recurrence, {threads} thread{'s' * (threads > 1)}"
    if wanted == "auto" and on_cpu and not cpu.available():
        line += f" (much slower): {cpu.reason()}"
    Console(stderr=True).print(line, highlight=False, soft_wrap=True)
    return chosen


def outcome(population: Population) -> dict[str, float]:
    """The numbers shown beside the hyper-parameters in TensorBoard."""
    graded, nan = population.graded, float("nan")
    return {
        "outcome/success_rate": float(np.mean([s == SOLVED for s in population.status])) if graded else nan,
        "outcome/median_error": float(np.median(population.last["error"])),
        "outcome/median_loss": float(np.median(population.last["test_loss"])),
        "outcome/seconds": population.seconds,
    }


def _cells(r: dict[str, Any]) -> Iterator[str]:
    """Of one row of the closing table; empty where there is no number."""
    yield from (str(r["seed"]), str(r["status"]), f"{r['updates']:,}")
    numbers = {"error": (100, ".2f"), "best_error": (100, ".2f"), "loss": (1, ".3g"), "test_loss": (1, ".3g")}
    for name, (factor, form) in (numbers | {"spectral_radius": (1, ".3f"), "seconds": (1, ".1f")}).items():
        yield "" if np.isnan(r[name]) else format(factor * r[name], form)


def rate(results: list[dict[str, Any]]) -> str:
    """Solved replicas of those that finished, with Wilson's interval."""
    solved = sum(bool(r["solved"]) for r in results)
    finished = sum(r["status"] != INTERRUPTED for r in results)
    words = f"{solved}/{finished} solved"
    if finished:
        low, high = wilson(solved, finished)
        words += f" ({100 * solved / finished:.0f} %, 95 % interval {100 * low:.0f}-{100 * high:.0f} %)"
    if finished < len(results):
        words += f", {len(results) - finished} interrupted"
    return words


def closing_table(rows: list[list[object]], directory: Path, graded: bool) -> None:
    """Prints one row a replica, the success rate, and where things are."""
    console = Console()
    results = [dict(zip(RESULTS, row, strict=True)) for row in rows]
    first = results[0]
    length = f"{first['length']}" + (f"-{first['max_length']}" if first["max_length"] else "")
    table = Table(
        title=f"{first['task']}, length {length}, {first['cell']}, {first['optimizer']}", title_justify="left"
    )
    columns = ["seed", "status", "updates", "error %", "best %", "loss", "test loss", "radius", "seconds"]
    shown = [[*_cells(r)] for r in results]
    used = [k for k, _ in enumerate(columns) if any(cells[k] for cells in shown)]
    for k in used:
        table.add_column(columns[k], justify="right", min_width=11 if columns[k] == "status" else None)
    for cells in shown:
        table.add_row(*(cells[k] for k in used))
    console.print(table)
    if graded:
        console.print(rate(results), highlight=False)
    console.print(f"in {directory}: results.csv, history.csv, checkpoints/, TensorBoard events", soft_wrap=True)
