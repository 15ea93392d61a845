"""Penalties, a falling α and parameters that are not learned: keys of these that would be without effect.

Torch is imported where it is asked: seconds that a refusal need not wait for.
"""

import hydra
from omegaconf import DictConfig

from src.config.wrong import Wrong


def penalty_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """A falling α where there is none, and weights named for penalties where there are none."""
    optimizer = cfg.optimizer
    problems = []
    decay = optimizer.get("alpha_decay")
    if decay and not optimizer.alpha and not wrong.among("optimizer.alpha_decay", "optimizer.alpha"):
        problems.append(f"optimizer.alpha_decay={decay}: {optimizer.name} has optimizer.alpha=0, which cannot fall")
    penalised = optimizer.get("penalised")
    if penalised and not _penalties(cfg) and not wrong.among(*PENALTIES, "optimizer.penalised"):
        problems.append(f"optimizer.penalised={penalised}: there is no penalty; set optimizer.l1 or optimizer.l2")
    return problems


PENALTIES = ("optimizer.l1", "optimizer.l2")


def _penalties(cfg: DictConfig) -> list[str]:
    """The penalties that there are, as they are typed."""
    found = []
    for key in PENALTIES:
        value = cfg.optimizer.get(key.split(".")[1])
        if value:
            found.append(f"{key}={value}")
    return found


def learned_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """What acts on parameters that are not learned: Ω, a penalty on W, a direction of all parameters together."""
    if cfg.cell.get("learned", "all") == "all" or wrong.below("cell", "optimizer"):
        return []
    from src.directions import Direction

    name = cfg.cell.name
    problems = []
    alpha = cfg.optimizer.alpha
    if alpha:
        problems.append(f"optimizer.alpha={alpha}: Ω acts on W, which {name} does not learn; use optimizer=msgd_c")
    if cfg.optimizer.get("penalised") != "all":
        for penalty in _penalties(cfg):
            problems.append(f"{penalty}: W is penalised, which {name} does not learn; use optimizer.penalised=all")
    direction = hydra.utils.get_class(cfg.optimizer.direction._target_)
    if issubclass(direction, Direction) and direction.combination is not Direction.combination:
        weighs = f"{cfg.optimizer.name} weighs steps by all parameters' gradients"
        problems.append(f"optimizer.direction: {weighs}, and {name} learns its readout alone")
    return problems
