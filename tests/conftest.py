"""Shared builders: cells as the configuration names them, networks of them, tasks, and batches."""

import logging
import os
from copy import deepcopy
from functools import cache
from pathlib import Path

os.environ.setdefault("TRITON_INTERPRET", "1")  # before anybody imports Triton; make test-gpu says 0

import hydra
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

import src  # noqa: F401  (asks for reproducible matrix products before the first one)
from src import recurrence
from src.cells import Cell
from src.network import Architecture, build_architecture
from src.recurrence.process import THREADS
from src.run import Experiment, trainer

ROOT = Path(__file__).resolve().parent.parent
CELLS = sorted(p.stem for p in (ROOT / "conf" / "cell").glob("*.yaml"))
UNGRADED = ("price", "price_as_printed", "records", "text")  # their answers are neither right nor wrong
TASKS = sorted(p.stem for p in (ROOT / "conf" / "task").glob("*.yaml") if p.stem not in UNGRADED)
METHODS = ["msgd", "msgd_c", "msgd_cr"]
SIMPLEX = ["simplex", "simplex_switching"]
TORCH = ["adadelta", "adagrad", "adam", "rmsprop", "sgd_momentum"]  # torch's optimizers
AUTOGRAD = ["gru"]  # cells that autograd takes back
WITHOUT_OMEGA = [*AUTOGRAD, "echo_state"]
HERE = ["logger=none", "~callbacks.progress", "~callbacks.figure", "trainer.accelerator=cpu"]
EXPERIMENTS = sorted(p.stem for p in (ROOT / "conf" / "experiment").glob("*.yaml"))

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def is_refused(cell: str, method: str) -> bool:
    """Whether a method asks for what a cell does not have: Ω, or gradients of what is not learned."""
    return cell in WITHOUT_OMEGA if method == "msgd_cr" else cell == "echo_state" and method in SIMPLEX


def compose(*overrides: str) -> DictConfig:
    """A configuration as the command line would compose it; the caller's own."""
    return deepcopy(_composed(overrides))


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    """Composed once in each process: Hydra takes a tenth of a second."""
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=[*HERE, *overrides])


def make_architecture(name: str, hidden: int = 50, **keys: object) -> Architecture:
    """The layers that a cell's file asks for."""
    overrides = [f"cell={name}", f"cell.hidden_size={hidden}", *(f"cell.{k}={v}" for k, v in keys.items())]
    return build_architecture(compose(*overrides).cell)


def make_cell(name: str, hidden: int = 50, **keys: object) -> Cell:
    """The cell of a file, without its layers."""
    return make_architecture(name, hidden, **keys).cell


def one_layer(cell: Cell) -> Architecture:
    """A network of this cell alone."""
    return Architecture(cell)


def make_task(name: str = "temporal_order", **keys: object):
    return hydra.utils.instantiate(compose(f"task={name}", *(f"task.{k}={v}" for k, v in keys.items())).task)


def fit(experiment: Experiment, cfg: DictConfig, directory: Path, *further: pl.Callback) -> None:
    """Trains what was built, with further callbacks after its own."""
    directory.mkdir(parents=True, exist_ok=True)
    lightning = trainer(cfg, directory, [*experiment.callbacks, *further])
    lightning.fit(experiment.module, datamodule=experiment.data)


@pytest.fixture
def as_before():
    """Whatever a test chooses, the next one finds ``auto`` and torch's threads."""
    yield
    recurrence.use(recurrence.AUTO, THREADS)


@pytest.fixture(params=[1, 2], ids=lambda n: f"{n}thread")
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
