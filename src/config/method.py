"""What a method's direction asks for, beside what the configuration gives it."""

import json
import re
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from src.config.errors import near
from src.config.wrong import Wrong

OF_EVERY_METHOD = {
    "name",
    "lr",
    "half_life",
    "momentum",
    "clip",
    "alpha",
    "alpha_decay",
    "omega",
    "l1",
    "l2",
    "penalised",
    "direction",
    "step",
    "solver",
}
"""Keys that a method's file may have, whatever its direction is."""

TAKEN = {"seed", "step", "epoch", "seconds", "loss", "grad_norm", "error", "clipped", "length", "reached"}
"""Names that no metric may have: columns and tags of every run."""


def direction_problems(cfg: DictConfig, wrong: Wrong, cut: bool) -> list[str]:
    """Settings that nobody uses, numbers that are none, and terms that are lost.

    Args:
        cut: whether fresh sequences with targets at every step are cut.
    """
    if wrong.below("optimizer"):
        return []
    direction = hydra.utils.instantiate(cfg.optimizer.direction)
    known = OF_EVERY_METHOD | set(direction.settings) | _repeated(cfg.optimizer)
    problems = []
    for key in cfg.optimizer:
        if key not in known:
            problems.append(f"optimizer.{key}: {cfg.optimizer.name} has no use for it{near(str(key), known)}")
    if "step" in cfg.optimizer and cfg.optimizer.get("half_life") is not None:
        problems.append(f"optimizer.half_life={cfg.optimizer.half_life}: {cfg.optimizer.name} keeps its learning rate")
    if "step" in cfg.optimizer and cfg.optimizer.get("momentum") is not None:
        problems.append(f"optimizer.momentum={cfg.optimizer.momentum}: {cfg.optimizer.name} has steps of its own")
    values: dict[str, float] = {}
    for name, if_null in direction.settings.items():
        value = cfg.optimizer.get(name)
        if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
            problems.append(f"optimizer.{name}={value}: must be a number")
        values[name] = if_null if value is None else value
    return problems or _of_terms(cfg, direction, values, cut)


def _repeated(optimizer: DictConfig) -> set[str]:
    """Keys that other keys of the method repeat."""
    text = json.dumps(OmegaConf.to_container(optimizer, resolve=False))
    return set(re.findall(r"\$\{optimizer\.(\w+)", text))


def _of_terms(cfg: DictConfig, direction: Any, values: dict[str, float], cut: bool) -> list[str]:
    """What is wrong with the terms and the combination that a direction makes of these settings."""
    import torch

    from src.cells import AutogradCell

    method, alpha = cfg.optimizer.name, cfg.optimizer.alpha
    settings = {name: torch.tensor([float(value)]) for name, value in values.items()}
    terms = set(direction.terms(settings))
    combined = direction.combination(settings, [(0, 0)]) is not None
    problems = []
    if alpha and "alpha" not in values and not combined:
        problems.append(f"optimizer.alpha={alpha}: {method} has no Ω")
    if terms and combined:
        problems.append(f"optimizer.direction: {method} has terms and a combination; a combination stands alone")
    if cut and combined:
        problems.append(f"optimizer.direction: {method} cannot be cut where there is a target at every step")
    if terms and not alpha and issubclass(hydra.utils.get_class(cfg.cell._target_), AutogradCell):
        names = ", ".join(sorted(terms))
        problems.append(
            f"optimizer.direction: {cfg.cell.name} runs by autograd, which leaves none of the factors of {names}"
        )
    if not terms <= set(direction.metrics):
        lost = ", ".join(sorted(terms - set(direction.metrics)))
        problems.append(f"optimizer.direction: {method} has terms that are no metrics of it: {lost}")
    taken = TAKEN & (terms | set(direction.metrics))
    if taken:
        problems.append(f"optimizer.direction: {method} has metrics whose names are taken: {', '.join(sorted(taken))}")
    return problems
