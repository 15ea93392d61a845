"""The runs that a figure is drawn from: each command trains its own, in a folder of its own."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from src.run import run

ROOT = Path(__file__).resolve().parents[2]

RUNS = Path("runs/figures")
"""Folder of the runs. A run overwrites the one of the same figure before it."""


def compose(*overrides: str) -> DictConfig:
    """The configuration that ``python -m src.train`` would make of these overrides."""
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=list(overrides))


def train(directory: Path, *overrides: str) -> Path:
    """Trains a population into a directory, and returns the directory.

    Raises:
        SystemExit: the run was interrupted, so that there is nothing to draw.
    """
    population = run(compose("logger=none", *overrides), directory)
    if population.interrupt is not None:
        raise SystemExit(128 + population.interrupt)
    return directory
