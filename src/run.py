"""Builds a population from a configuration, trains it, and says what came of it."""

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig, OmegaConf

from src import recurrence
from src.callbacks.going_on import GoingOn
from src.callbacks.progress import in_parallel, in_sweep
from src.config import ConfigurationError, check, science
from src.config.machine import recurrence_problems
from src.config.resume import configuration
from src.config.solver import has_solver
from src.directions import Direction
from src.network import Network, build_architecture
from src.packing import say, seat
from src.population import Population, checkpoint
from src.population.checkpoint import UnreadableCheckpoint
from src.results.closing import closing_table
from src.results.rows import results_rows
from src.rundir import InUse, RunDirectory
from src.storage import DamagedFile
from src.training.checkpoint_io import DurableCheckpoints
from src.training.data import Sequences
from src.training.module import Training, uncut
from src.training.penalty import RECURRENT
from src.training.stages import OneStage
from src.training.success import SuccessTest
from src.training.update import Method
from tasks.task import MEMORYLESS


@dataclass
class Experiment:
    """A population that is ready to be trained: the module, its data, and the callbacks that go with them."""

    module: Training
    data: Sequences
    callbacks: list[pl.Callback]


def build(cfg: DictConfig) -> Experiment:
    """Makes one population, as its configuration says.

    Raises:
        ConfigurationError: a configuration that cannot run.
    """
    problems = check(cfg)
    if problems:
        raise ConfigurationError(problems)
    task = hydra.utils.instantiate(cfg.task)
    direction: Direction = hydra.utils.instantiate(cfg.optimizer.direction)
    callbacks = {name: hydra.utils.instantiate(keys) for name, keys in cfg.callbacks.items() if keys is not None}
    curriculum = hydra.utils.instantiate(cfg.curriculum) if cfg.get("curriculum") else None
    if curriculum is not None:
        callbacks["curriculum"] = curriculum
    seeds = range(cfg.seed, cfg.seed + cfg.replicas)
    solver = hydra.utils.instantiate(cfg.optimizer.solver) if has_solver(cfg) else None
    metrics = direction.metrics if solver is None else solver.metrics
    population = Population(seeds, settings(cfg, direction), metrics)
    success = SuccessTest(**cfg.success)
    optimizer = None
    if "step" in cfg.optimizer:
        optimizer = hydra.utils.instantiate(cfg.optimizer.step, lr=cfg.optimizer.lr)
    module = Training(
        task,
        Network.start(build_architecture(cfg.cell), task, seeds),
        population,
        success,
        Method(
            direction,
            callbacks["clipping"].clip,
            optimizer,
            cfg.optimizer.get("penalised") or RECURRENT,
            solver,
            cfg.optimizer.get("momentum") or 0.0,
        ),
        max_steps=cfg.trainer.max_steps,
        max_epochs=cfg.trainer.max_epochs,
        config=OmegaConf.to_container(cfg, resolve=False),  # type: ignore[arg-type]
        borders=callbacks["truncated_bptt"].borders if "truncated_bptt" in callbacks else uncut,
        stages=curriculum,
    )
    stops = [success.check_every]
    if cfg.callbacks.get("metrics") is not None:
        stops.append(cfg.callbacks.metrics.every)
    ahead = device(cfg).type == "cuda"
    data = Sequences(task, population, cfg.block, cfg.trainer.max_steps, stops, ahead, curriculum)
    return Experiment(module, data, list(callbacks.values()))


def settings(cfg: DictConfig, direction: Direction) -> dict[str, float]:
    """The numbers of a method that each replica has for itself, by the names of their keys."""
    wanted = {"lr": 0.0, "half_life": float("inf"), "clip": float("inf"), **direction.settings}
    found = {}
    for name, if_null in wanted.items():
        value = cfg.optimizer.get(name)
        found[name] = if_null if value is None else value
    for name in ("alpha_decay", "l1", "l2"):
        if cfg.optimizer.get(name):  # an update asks for them: what nobody has costs nothing
            found[name] = cfg.optimizer[name]
    return found


def trainer(cfg: DictConfig, directory: Path, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    """Lightning's Trainer without what it would do besides: no sanity checks, bars or summaries of its own."""
    keys = dict(cfg.trainer)
    keys["accelerator"] = "cpu"
    if device(cfg).type == "cuda":
        keys["accelerator"] = "gpu"
        keys["devices"] = [own_gpu()]
    keys["max_epochs"] = 1  # of Lightning's, whose batch may be a whole epoch of ours
    keys["max_steps"] = -1  # the loader ends by itself; Lightning would leave out the last tests of a resumed run
    return pl.Trainer(
        default_root_dir=directory,
        callbacks=list(callbacks),
        logger=hydra.utils.instantiate(cfg.logger, **purged(cfg)) if cfg.logger else False,
        plugins=[DurableCheckpoints(), LightningEnvironment()],  # not Slurm's: Lightning would requeue by itself
        **keys,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def own_gpu() -> int:
    """The number of this process's GPU; jobs of a sweep that may be at work at the same time have one each."""
    if not in_parallel():
        return 0
    return recurrence.take_gpu(torch.cuda.device_count(), HydraConfig.get().job.num)


def purged(cfg: DictConfig) -> dict[str, int]:
    """What TensorBoard is told where a run goes on: events after its checkpoint did not happen."""
    if cfg.resume is None or not cfg.logger._target_.endswith("TensorBoardLogger"):
        return {}
    outcomes = checkpoint.read(RunDirectory(cfg.resume).checkpoint_file).outcomes
    return {"purge_step": max(outcomes["updates"]) + 1}


def quiet() -> None:
    """Silences what Lightning says about things that are as they should be here."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        "does not have many workers",  # data are drawn when needed
        "GPU available but not used",
        "smaller than the logging interval",  # not Lightning's logging
        "LeafSpec",  # Lightning's own use of torch
        "`srun` command is available",  # on a machine with Slurm, whoever starts the run
        "gradient layout contract",  # gradients are views of one tensor
    ):
        warnings.filterwarnings("ignore", message=f".*{message}.*")


def run(cfg: DictConfig, directory: Path) -> Population:
    """Trains a population and writes everything under ``directory``; an interrupted one comes back all the same.

    Raises:
        ConfigurationError: a configuration that cannot run, or another run is at work in the directory.
    """
    try:
        with RunDirectory(directory).locked():
            return _run(cfg, RunDirectory(directory))
    except InUse as problem:
        raise ConfigurationError([str(problem)]) from problem


def _run(cfg: DictConfig, own: RunDirectory) -> Population:
    """:func:`run` in a directory that is its own."""
    quiet()
    before = None if cfg.resume is None else configuration(RunDirectory(cfg.resume)).get("recurrence")
    if before is not None and cfg.recurrence == recurrence.AUTO:
        problems = recurrence_problems(cfg)  # a sweep is looked at before it is known what ran
        if problems:
            raise ConfigurationError(problems)
        cfg.recurrence = recurrence.fitting(before, device(cfg, before))
    cfg.recurrence = settle_recurrence(cfg)
    if before not in (None, cfg.recurrence):
        say(f"{before} ran until here and rounds in another way: no longer the run that it would have been")
    experiment = build(cfg)
    module = experiment.module
    about = module.task.about()
    if about is not None:
        say(about)
    packed = seat()
    if packed is not None:
        module.work = packed.work
    callbacks = experiment.callbacks
    if cfg.resume is None:
        own.clear()
    if cfg.resume is not None and own.config_file.is_file():
        callbacks = [*callbacks, GoingOn(own, cfg)]
    else:
        own.open()
        own.write_configuration(cfg)
    lightning = trainer(cfg, own.path, callbacks)
    file = None if cfg.resume is None else RunDirectory(cfg.resume).checkpoint_file
    try:
        with recurrence.checked():
            lightning.fit(module, datamodule=experiment.data, ckpt_path=file)
    except (UnreadableCheckpoint, DamagedFile) as problem:
        raise ConfigurationError([f"resume={cfg.resume}: {problem}"]) from problem
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # the next job of a sweep may need it
    report(cfg, lightning, module)
    rows = results_rows(module.population, module.config, module.task.graded)
    budget = None if in_sweep() else module.max_steps
    closing_table(
        rows,
        own.path,
        module.task.graded,
        packed is not None,
        budget,
        memoryless=memoryless(module),
        task=module.task,
    )
    if module.population.interrupt is None:
        own.close()
    return module.population


def memoryless(module: Training) -> float | None:
    """The loss of answers without memory, where the task knows it and all updates are of its length."""
    if not module.task.graded or not isinstance(module.stages, OneStage):
        return None
    return module.task.yardsticks().get(MEMORYLESS)


def report(cfg: DictConfig, lightning: pl.Trainer, module: Training) -> None:
    """Shows the outcome beside the hyper-parameters in TensorBoard."""
    if lightning.logger is None:
        return
    known = {key: value for key, value in outcome(module).items() if not np.isnan(value)}
    keys = {"seed": cfg.seed, "replicas": cfg.replicas, **science(cfg)}
    lightning.logger.log_hyperparams(keys, known)  # type: ignore[call-arg, arg-type]
    lightning.logger.finalize("success")


def outcome(module: Training) -> dict[str, float]:
    """The numbers shown beside the hyper-parameters; NaN where there is none."""
    population = module.population
    solved = float(population.solved_R.mean())
    return {
        "outcome/success_rate": solved if module.task.graded else float("nan"),
        "outcome/median_error": float(np.median(population.last["error"])),
        "outcome/median_loss": float(np.median(population.last["test_loss"])),
        "outcome/seconds": population.seconds,
    }


def settle_recurrence(cfg: DictConfig) -> str:
    """Chooses the recurrence and the threads for the device that will be used, says so, and returns what it chose."""
    threads = cfg.threads
    cores = os.cpu_count() or 1
    if threads is not None and threads > cores:
        say(f"threads={threads}: there are {cores} cores, which are taken")
        threads = cores
    cell = build_architecture(cfg.cell).cell
    chosen = recurrence.settle(cfg.recurrence, cell, device(cfg), threads)
    line = f"{chosen.backend} recurrence, {chosen.threads} thread{'s' * (chosen.threads > 1)}"
    if chosen.reason is not None:
        line += f" (much slower): {chosen.reason}"
    say(line)
    return chosen.installed


def device(cfg: DictConfig, wanted: str | None = None) -> torch.device:
    """Where a population is going to live; ``auto``: on a GPU where there is one with kernels for the cell.

    Args:
        wanted: the recurrence, if it is not the configuration's.
    """
    gpu = torch.device("cuda")
    cpu = torch.device("cpu")
    if cfg.trainer.accelerator == "cpu" or has_solver(cfg) or not torch.cuda.is_available():
        return cpu
    if cfg.trainer.accelerator != "auto":
        return gpu
    cell = build_architecture(cfg.cell).cell
    return gpu if recurrence.applies(wanted or cfg.recurrence, cell, gpu) else cpu
