"""Launchers and sweepers that are extras: whether they are there, and whether an error is theirs."""

import os
import shutil
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from src.config.overrides import CONF
from src.config.rules import whole

EXTRAS = {"hydra_joblib_launcher": "joblib", "hydra_submitit_launcher": "slurm", "hydra_optuna_sweeper": "optuna"}
"""The extra of this package that installs a plugin of Hydra's."""

JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
PACKED = "hydra_plugins.packed_launcher.PackedLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"


def prefer_our_files() -> None:
    """Removes what plugins have put beside conf/hydra/ under the names of its files.

    Hydra would take an entry for the schema of the file: it warns of that, and refuses where the entry has defaults.
    """
    Plugins.instance()  # finds the plugins
    groups = ConfigStore.instance().repo["hydra"]
    for file in CONF.glob("hydra/*/*.yaml"):
        groups.get(file.parent.name, {}).pop(file.name, None)


def launcher_problems(cfg: DictConfig) -> list[str]:
    """Plugins that the configuration chooses and that are not installed; Slurm, where there is none."""
    problems = []
    if cfg.hydra.launcher._target_ == PACKED:
        wrong = whole(1, optional=True).problem("hydra.launcher.replicas", cfg.hydra.launcher.get("replicas"))
        problems += [] if wrong is None else [wrong]
    for group in ("launcher", "sweeper"):
        plugin = cfg.hydra[group]._target_.split(".")[1]
        choice = f"hydra/{group}={cfg.hydra.runtime.choices[f'hydra/{group}']}"
        if plugin in EXTRAS and not is_installed(f"hydra_plugins.{plugin}"):
            problems.append(f"{choice}: needs pip install -e '.[{EXTRAS[plugin]}]'")
        elif in_slurm(cfg) and group == "launcher" and shutil.which("srun") is None:
            problems.append(f"{choice}: there is no srun here; start the sweep on a machine of the cluster")
    return problems


def side_by_side(cfg: DictConfig, jobs: Sequence[Any]) -> int:
    """How many jobs of a sweep are at work at a time on this machine."""
    if cfg.hydra.launcher._target_ != JOBLIB:
        return 1
    asked: int = cfg.hydra.launcher.n_jobs
    most = asked if asked > 0 else (os.cpu_count() or 1) + 1 + asked  # -1 is one for each core
    return max(1, min(most, len(jobs) or most))


def is_installed(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False


def in_slurm(cfg: DictConfig) -> bool:
    """Whether the jobs of a sweep go into the queue of Slurm."""
    return bool(cfg.hydra.launcher._target_ == SLURM)


def is_of_a_plugin(error: BaseException) -> bool:
    """Whether an error went through an extra plugin: a process or a node was lost, or a queue took no jobs."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(module.startswith("hydra_plugins.") for module in modules)
