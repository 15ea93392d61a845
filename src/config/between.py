"""Keys that are each right by themselves, and wrong beside another one.

Torch is imported where it is asked: seconds that a refusal need not wait for.
"""

from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from src.config.wrong import Wrong
from tasks.draws import MAX_SEED

SETTINGS_WITHOUT = {"msgd": ("alpha", "clip"), "msgd_c": ("alpha",), "simplex": ("psi",)}
"""Settings that a method of this name does not have: with them, a table would not be what its names say."""

CUT = "callbacks.truncated_bptt"

NEEDED = ("interrupt", "clipping", "success", "recorder")
"""Callbacks without which there is no method, no outcome or no file."""

OURS = {
    "src.callbacks.TruncatedBPTT": "callbacks.truncated_bptt",
    "src.callbacks.Clipping": "callbacks.clipping",
    "src.callbacks.Curriculum": "curriculum",
}
"""Callbacks that the update or the test asks, by the key under which it does."""


def length_problems(cfg: DictConfig, wrong: Wrong, usable: bool) -> list[str]:
    """Lengths that are too short for the task, or a range of lengths that is none."""
    if wrong.among("task.length"):
        return []
    problems = []
    length = cfg.task.length
    minimum: int = getattr(class_of(cfg.task), "minimum_length", 1) if usable else 1
    if length < minimum:
        problems.append(f"task.length={length}: {cfg.task.name} needs {minimum} steps or more")
    longest = cfg.task.max_length
    if longest is not None and not wrong.among("task.max_length") and longest < length:
        problems.append(f"task.max_length={longest}: must not be below task.length={length}")
    return problems


def noise_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Noise between layers where there is one layer."""
    noise = cfg.cell.get("noise")
    if not noise or wrong.below("cell") or cfg.cell.get("layers", 1) > 1 or cfg.cell.get("dense", 0):
        return []
    return [f"cell.noise={noise}: noise is between layers, and there is one"]


def seed_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Seeds of replicas beyond the largest that there is."""
    if wrong.among("seed", "replicas") or cfg.seed + cfg.replicas - 1 <= MAX_SEED:
        return []
    return [f"seed={cfg.seed}: the last replica's seed must stay below 2**63"]


def data_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Epochs and cut sequences, of a task that is not learned in epochs."""
    name = cfg.task.name
    in_epochs = class_of(cfg.task).epochs
    problems = []
    if not in_epochs and cfg.trainer.max_epochs is not None:
        problems.append(f"trainer.max_epochs: {name} draws fresh data for ever; set trainer.max_steps instead")
    cut = cfg.callbacks.get("truncated_bptt")
    if cut is None or wrong.below(CUT):
        return problems
    most = max(cut.parts)
    if not in_epochs:
        if len(cut.parts) > 1 or cut.patience is not None:
            problems.append(
                f"{CUT}: {name}: stages need epochs, and it draws fresh data for ever; give parts=[one number]"
            )
        for name in ("noise", "dropout"):
            if (most > 1 or cut.steps is not None) and cfg.cell.get(name):
                problems.append(f"cell.{name}={cfg.cell[name]}: fresh sequences that are cut ({CUT}) can have none")
    if not wrong.among("task.length") and cut.steps is None and most > cfg.task.length:
        problems.append(f"{CUT}.parts: {most} parts are more than task.length={cfg.task.length} steps")
    return problems


def method_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Settings that the method's name denies, or that it needs."""
    optimizer = cfg.optimizer
    problems = []
    for setting in SETTINGS_WITHOUT.get(optimizer.name, ()):
        key = f"optimizer.{setting}"
        if optimizer.get(setting) and not wrong.among(key):
            problems.append(f"{key}={optimizer[setting]}: {optimizer.name} has none; choose another method")
    if optimizer.name == "simplex_switching" and optimizer.get("psi") is None:
        problems.append("optimizer.psi=null: simplex_switching needs one; choose optimizer=simplex")
    return problems


def omega_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """An Ω where the direction or the cell has none."""
    alpha = cfg.optimizer.alpha
    if not alpha or wrong.among("optimizer.alpha"):
        return []
    from src.cells import AutogradCell
    from src.directions import Simplex

    problems = []
    if issubclass(class_of(cfg.optimizer.direction), Simplex):
        problems.append(f"optimizer.alpha={alpha}: the simplex direction has no Ω")
    if issubclass(class_of(cfg.cell), AutogradCell):
        problems.append(
            f"optimizer.alpha={alpha}: {cfg.cell.name} runs by autograd, which leaves none of the "
            "factors that Ω is made of; use optimizer.alpha=0"
        )
    return problems


def cuts_every_step(cfg: DictConfig, wrong: Wrong) -> bool:
    """Whether fresh sequences with targets at every step are cut; no, where the key that says so is wrong."""
    if wrong.below(CUT):
        return False
    cut = cfg.callbacks.get("truncated_bptt")
    if cut is None or (cut.steps is None and max(cut.parts) == 1) or class_of(cfg.task).epochs:
        return False
    return bool(hydra.utils.instantiate(cfg.task).every_step)


def callback_problems(cfg: DictConfig) -> list[str]:
    """Callbacks that make the method, left out; ours under another name than theirs, where nobody would ask them."""
    problems = []
    for name in NEEDED:
        if name in cfg.callbacks and cfg.callbacks[name] is None:
            problems.append(f"callbacks.{name}=null: no run can do without it")
    for name, part in cfg.callbacks.items():
        if part is not None and not OmegaConf.is_dict(part):
            continue
        own = OURS.get(str(part.get("_target_"))) if part is not None else None
        if own not in (None, f"callbacks.{name}"):
            problems.append(f"callbacks.{name}: {part._target_} is known as {own}")
    return problems


def class_of(part: DictConfig) -> Any:
    """The class that a part of the configuration names."""
    return hydra.utils.get_class(part._target_)
