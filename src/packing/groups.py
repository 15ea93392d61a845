"""Which jobs of a sweep train as one population: those that differ in nothing but what may differ inside one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hydra
from hydra.utils import get_class, get_object
from omegaconf import DictConfig

from src.config.keys import is_packable, leaves
from src.config.memory import free_memory
from src.config.need import estimate
from src.config.solver import has_solver
from src.network import build_architecture

SHARE = 0.8
"""Of the memory that is free, what a pack may take by the estimate."""


@dataclass
class Pack:
    """Jobs that train as one population.

    Args:
        jobs: their places in the sweep.
        replicas: of all of them.
        work: replicas times steps times updates, at most.
        reason: why a job trains alone; None: it does not, or there is none like it.
    """

    jobs: list[int]
    replicas: int
    work: float
    reason: str | None = None

    def describe(self, names: Sequence[str]) -> str:
        """What trains together, in a line.

        Args:
            names: of its jobs.
        """
        if len(self.jobs) == 1:
            why = f" (alone: {self.reason})" if self.reason else ""
            return f"{names[0] or 'one job'}, {self.replicas} replicas{why}"
        return f"{len(self.jobs)} jobs, {self.replicas} replicas"


def packs(configs: Sequence[DictConfig], most: int | None) -> list[Pack]:
    """Divides the jobs of a sweep into packs, the one with most work first.

    Args:
        most: replicas in a pack; None: as many as the memory that is free allows.
    """
    found: list[Pack] = []
    kinds: dict[Any, list[int]] = {}
    for number, cfg in enumerate(configs):
        reason = why_alone(cfg)
        if reason is None:
            kinds.setdefault(kind(cfg), []).append(number)
        else:
            found.append(Pack([number], cfg.replicas, work(cfg), reason))
    for numbers in kinds.values():
        found += _filled(configs, numbers, most)
    return sorted(found, key=lambda pack: -pack.work)


def why_alone(cfg: DictConfig) -> str | None:
    """Why a job is not trained together with others; None: it can be."""
    task: Any = get_class(cfg.task._target_)
    if task.epochs:
        return "learned in epochs"
    if has_solver(cfg):
        return f"{cfg.optimizer.name} makes whole updates itself"
    return None


def kind(cfg: DictConfig) -> tuple[tuple[str, str], ...]:
    """What the jobs of a pack have in common: all keys but those that may differ inside a population."""
    held = getattr(get_object(cfg.optimizer.direction._target_), "held", ())
    own = {f"optimizer.direction.{name}" for name in held}
    found = [(key, str(value)) for key, value in leaves(cfg) if key not in own and not is_packable(key)]
    if "step" in cfg.optimizer:  # torch's optimizers have one rate for all rows
        found.append(("optimizer.lr", str(cfg.optimizer.lr)))
    return tuple(sorted(found))


def work(cfg: DictConfig) -> float:
    """Replicas times steps times updates, if nobody solves the task before the end."""
    steps: float = cfg.task.max_length or cfg.task.length
    return steps * cfg.replicas * cfg.trainer.max_steps


def _filled(configs: Sequence[DictConfig], numbers: Sequence[int], most: int | None) -> list[Pack]:
    """Packs of jobs of one kind, in their order, each as full as it may be."""
    free = free_memory()
    found = []
    pack = Pack([], 0, 0.0)
    taken = 0
    for number in numbers:
        cfg = configs[number]
        needed = estimate(cfg, hydra.utils.instantiate(cfg.task), build_architecture(cfg.cell)).of(cfg.replicas)
        too_many = most is not None and pack.replicas + cfg.replicas > most
        too_much = most is None and free is not None and taken + needed > SHARE * free
        if pack.jobs and (too_many or too_much):
            found.append(pack)
            pack = Pack([], 0, 0.0)
            taken = 0
        pack.jobs.append(number)
        pack.replicas += cfg.replicas
        pack.work += work(cfg)
        taken += needed
    return [*found, pack]
