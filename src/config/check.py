"""Checks a composed configuration before anything runs, and names every problem in the user's words."""

from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from src.config.between import (
    callback_problems,
    class_of,
    cuts_every_step,
    data_problems,
    length_problems,
    method_problems,
    noise_problems,
    omega_problems,
    seed_problems,
)
from src.config.curriculum import curriculum_problems
from src.config.keys import REQUIRED
from src.config.machine import machine_problems, memory_problems, size_problems
from src.config.method import direction_problems
from src.config.objects import object_problems
from src.config.penalties import learned_problems, penalty_problems
from src.config.resume import resume_problems
from src.config.sequences import sequence_problems
from src.config.solver import solver_problems
from src.config.trusted import untrusted
from src.config.values import lists_for_parts, make_whole, unknown_success_keys, unresolved, wrong_values
from src.config.wrong import Wrong


def check(cfg: DictConfig, at_once: int = 1) -> list[str]:
    """Every problem of a composed configuration; an empty list if it can run.

    Whole numbers that were written like 1e5 become whole numbers in it.

    Args:
        at_once: how many populations like it share the memory of this machine.
    """
    lost = unresolved(cfg) or lists_for_parts(cfg)
    if lost:
        return [one_line(problem) for problem in lost]
    make_whole(cfg)
    wrong = Wrong()
    wrong_values(cfg, wrong)
    missing = [key for key in REQUIRED if OmegaConf.select(cfg, key, default=...) is ...]
    for key in missing:
        wrong.note(key, f"{key}: is missing")
    unknown_success_keys(cfg, wrong)
    problems = wrong.problems
    strange = untrusted(without_hydra(cfg), importing=True) if cfg.get("resume") else []
    problems += [f"resume={cfg.resume}: names {name}, which is no class, or one of Python's own" for name in strange]
    if not missing and not strange:
        objects = object_problems(cfg, wrong)
        problems += [*objects, *problems_between_keys(cfg, wrong, not objects, at_once)]
    return [one_line(problem) for problem in problems]


def without_hydra(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain dictionaries, without Hydra's own part."""
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    return {key: value for key, value in plain.items() if key != "hydra"}


def one_line(text: str) -> str:
    """The text with whatever would break a line written out."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def problems_between_keys(cfg: DictConfig, wrong: Wrong, usable: bool, at_once: int) -> list[str]:
    """Problems of keys that are each right by themselves.

    Args:
        wrong: keys that are not compared with any other.
        usable: whether the classes that are named can be made.
        at_once: how many populations like it share the memory of this machine.
    """
    problems = length_problems(cfg, wrong, usable) + noise_problems(cfg, wrong)
    problems += seed_problems(cfg, wrong)
    if usable:
        problems += data_problems(cfg, wrong)
        problems += curriculum_problems(cfg, wrong, class_of(cfg.task))
    if usable and not problems and not wrong.below("task"):
        problems += size_problems(cfg) or sequence_problems(cfg, hydra.utils.instantiate(cfg.task))
    problems += method_problems(cfg, wrong) + penalty_problems(cfg, wrong)
    if usable:
        problems += omega_problems(cfg, wrong) + learned_problems(cfg, wrong)
        problems += direction_problems(cfg, wrong, cut=cuts_every_step(cfg, wrong))
        problems += solver_problems(cfg, wrong)
    problems += callback_problems(cfg)
    problems += machine_problems(cfg)
    if usable and not problems and not wrong.problems:
        problems += memory_problems(cfg, at_once)
    if cfg.resume is not None and not wrong.among("resume", "trainer.max_steps"):
        problems += resume_problems(cfg)
    return problems
