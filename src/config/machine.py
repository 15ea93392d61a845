"""What a configuration asks of the machine: memory, a GPU, a backend.

Torch is imported where it is asked: seconds that a refusal need not wait for.
"""

import hydra
from omegaconf import DictConfig, OmegaConf

from src.config.memory import free_memory
from src.config.resume import configuration
from src.config.sequences import SEQUENCES
from src.rundir import RunDirectory


def size_problems(cfg: DictConfig) -> list[str]:
    """Sequences of which not even a few fit into the memory that is free: looking at them would be too much."""
    free = free_memory()
    longest = cfg.task.max_length or cfg.task.length
    steps = longest * (1 + cfg.task.get("stretch", 0)) * max(cfg.task.batch_size, SEQUENCES)
    if free is None or steps <= free:
        return []
    return [
        f"task.length={cfg.task.length}: a mini-batch of {steps:.2g} steps does not fit into the memory that is free"
    ]


def memory_problems(cfg: DictConfig, at_once: int) -> list[str]:
    """A population that does not fit into the memory that is free, or into its part of it.

    Args:
        at_once: how many populations like it there are.
    """
    from src.config import need
    from src.network import build_architecture

    if "submitit" in str(OmegaConf.select(cfg, "hydra.launcher._target_")):
        return []  # the machine that runs it will say
    return need.memory_problems(cfg, hydra.utils.instantiate(cfg.task), build_architecture(cfg.cell), at_once)


def machine_problems(cfg: DictConfig) -> list[str]:
    """What is asked for and this machine does not have."""
    import torch

    accelerator = cfg.trainer.accelerator
    problems = []
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        problems.append(f"trainer.accelerator={accelerator}: torch sees no GPU here; use cpu")
    return problems + recurrence_problems(cfg)


def recurrence_problems(cfg: DictConfig) -> list[str]:
    """A backend that there is not, or not here; of a run that goes on, with the key that lets it do so."""
    from src.recurrence import AUTO, BACKENDS, REFERENCE, missing

    name = cfg.recurrence
    goes_on = name == AUTO and isinstance(cfg.resume, str)
    if goes_on:
        name = configuration(RunDirectory(cfg.resume)).get("recurrence", AUTO)
    if name == AUTO:
        return []
    if name not in BACKENDS:
        return [f"recurrence={name}: must be {' or '.join([AUTO, *BACKENDS])}"]
    reason = missing(name)
    other = f"recurrence={REFERENCE}" if BACKENDS[name].device == "cpu" else "trainer.accelerator=cpu"
    if reason is None or (goes_on and BACKENDS[name].device == "cuda" and cfg.trainer.accelerator == "cpu"):
        return []
    if goes_on:
        reason += f"; with {other} {cfg.resume} goes on here, and rounds in another way from there on"
    return [f"recurrence={name}: {reason}"]
