"""Makes the objects that a configuration names, to hear what their classes say of its keys."""

import inspect
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from src.config.errors import first_line, near
from src.config.keys import RULES
from src.config.solver import has_solver
from src.config.wrong import Wrong

NAMED = {"task": "task", "cell": "cell", "optimizer.direction": "optimizer"}
"""Objects that are made, and the part of the configuration that must be right by itself before."""


ALLOWED = ("benchmark", "detect_anomaly", "deterministic", "profiler")
"""Keys of Lightning's Trainer, besides those of the table, that may be added."""


def object_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """What the classes that a configuration names say of their keys, unless these are wrong already."""
    problems = []
    for name, part in NAMED.items():
        problems += _no_class(cfg, name) or ([] if wrong.below(part) else _refused(cfg, name))
    problems += callback_classes(cfg)
    if "step" in cfg.optimizer and not wrong.below("optimizer.step", "optimizer.lr"):
        problems += step_problems(cfg)
    if has_solver(cfg) and not wrong.below("optimizer"):
        problems += _solver(cfg)
    return problems + trainer_problems(cfg)


def _no_class(cfg: DictConfig, name: str) -> list[str]:
    """Why a part names no class of its kind."""
    from src.cells import Cell
    from src.directions import Direction
    from tasks.task import Task

    kind = {"task": Task, "cell": Cell}.get(name, Direction)
    return _of_kind(OmegaConf.select(cfg, name), name, kind)


def _refused(cfg: DictConfig, name: str) -> list[str]:
    from src.network import build_architecture

    part = OmegaConf.select(cfg, name)
    try:
        build_architecture(part) if name == "cell" else hydra.utils.instantiate(part)
    except Exception as error:  # whatever a user's class raises
        return [f"{name}: {_said(part, error)}"]
    return []


def _said(part: DictConfig, error: Exception) -> str:
    """What a class said, or that it is not there."""
    said = first_line(error.__cause__ or error)
    if "Error loading" in (said[:13], str(error)[:13]):  # Hydra's words
        return f"{part._target_} cannot be loaded; a module of your own needs PYTHONPATH"
    return said


def _solver(cfg: DictConfig) -> list[str]:
    """What is wrong with the class that makes whole updates, and with its keys."""
    from src.population import Solver

    return _of_kind(cfg.optimizer.solver, "optimizer.solver", Solver) or _refused(cfg, "optimizer.solver")


def callback_classes(cfg: DictConfig) -> list[str]:
    """What the classes of callbacks and of the logger say of their keys; a logger is not made, it would write."""
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger

    problems = []
    for name, part in cfg.callbacks.items():
        if part is not None and not OmegaConf.is_dict(part):
            problems.append(f"callbacks.{name}={part}: must name a class")
        elif part is not None:
            problems += _of_kind(part, f"callbacks.{name}", Callback) or _refused(cfg, f"callbacks.{name}")
    if cfg.get("curriculum"):
        problems += _of_kind(cfg.curriculum, "curriculum", Callback) or _refused(cfg, "curriculum")
    if cfg.logger:
        problems += _of_kind(cfg.logger, "logger", Logger)
    return problems


def _of_kind(part: Any, name: str, kind: type) -> list[str]:
    """Why a part names no class of this kind."""
    if not OmegaConf.is_dict(part) or part.get("_target_") is None:
        return [f"{name}={'null' if part is None else part}: must name a class"]
    try:
        found = hydra.utils.get_class(str(part._target_))
    except Exception as error:  # whatever an import raises
        return [f"{name}: {_said(part, error)}"]
    return [] if issubclass(found, kind) else [f"{name}: {part._target_} is no {kind.__name__}"]


def step_problems(cfg: DictConfig) -> list[str]:
    """What torch's optimizer says of its keys; one that mixes rows is refused too."""
    try:
        if mixes_rows(cfg):
            return [f"optimizer.step: {cfg.optimizer.step._target_} mixes rows, so that replicas would touch"]
    except Exception as error:  # whatever an optimizer raises
        return [f"optimizer.step: {first_line(error.__cause__ or error)}"]
    return []


def mixes_rows(cfg: DictConfig) -> bool:
    """Whether the first row moves otherwise beside a second one than alone; tried for two steps."""
    import torch

    step = hydra.utils.instantiate(cfg.optimizer.step, lr=cfg.optimizer.lr)
    start = torch.arange(6.0).view(2, 3) / 10
    gradient = torch.tensor([[0.1, -2.0, 0.3], [4.0, 0.5, -6.0]])

    def moved(rows: list[int]) -> torch.Tensor:
        p = torch.nn.Parameter(start[rows])
        optimizer = step([p])
        for _ in range(2):
            p.grad = gradient[rows]
            optimizer.step()
        return p.detach()

    beside = moved([0, 1])[:1]
    alone = moved([0])
    return not torch.equal(beside, alone)


def trainer_problems(cfg: DictConfig) -> list[str]:
    """Keys that Lightning's Trainer does not know, or with which a run would not be what is promised."""
    extra = sorted(key for key in cfg.trainer if f"trainer.{key}" not in RULES and key not in ALLOWED)
    if not extra:
        return []
    from pytorch_lightning import Trainer

    known = list(inspect.signature(Trainer).parameters)
    problems = []
    for key in extra:
        if key in known:
            problems.append(f"trainer.{key}: cannot be set here; of Lightning's keys {', '.join(ALLOWED)} can")
        else:
            problems.append(f"trainer.{key}: no such key{near(key, known)}")
    return problems
