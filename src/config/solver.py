"""What a method that makes whole updates itself (``optimizer.solver``) asks of the other keys.

Torch is imported where it is asked: seconds that a refusal need not wait for.
"""

import hydra
from omegaconf import DictConfig

from src.config.wrong import Wrong

ABSENT = {
    "clip": "clips no gradient",
    "alpha": "has no Ω",
    "alpha_decay": "has no Ω",
    "l1": "has no penalties",
    "l2": "has no penalties",
    "half_life": "keeps its first step length",
    "momentum": "has no momentum",
}
"""Keys of other methods, and what is said where one of them is set."""


def has_solver(cfg: DictConfig) -> bool:
    """Whether the method makes whole updates itself."""
    return cfg.optimizer.get("solver") is not None


def solver_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Why a solver cannot learn this task with this network; nothing where there is none."""
    if not has_solver(cfg) or wrong.below("optimizer", "task", "cell", "callbacks", "trainer"):
        return []
    return [*_of_network(cfg), *_of_task(cfg), *_of_method(cfg)]


def _of_network(cfg: DictConfig) -> list[str]:
    """A network that is not one layer of simple cells."""
    from src.cells import Vanilla
    from src.network.architecture import ALL

    name = cfg.optimizer.name
    problems = []
    if not issubclass(hydra.utils.get_class(cfg.cell._target_), Vanilla):
        problems.append(f"cell={cfg.cell.name}: {name} knows simple cells only, as basic_tanh; choose another method")
    for key, most in {"layers": 1, "dense": 0}.items():
        if cfg.cell.get(key, most) > most:
            problems.append(f"cell.{key}={cfg.cell[key]}: {name} knows networks of one recurrent layer only")
    if cfg.cell.get("learned", ALL) != ALL:
        problems.append(f"cell.learned={cfg.cell.learned}: {name} changes every parameter; choose all")
    if cfg.cell.get("dropout"):
        problems.append(f"cell.dropout={cfg.cell.dropout}: {name} needs the same network in each product; choose 0")
    return problems


def _of_task(cfg: DictConfig) -> list[str]:
    """A task without curvature, in epochs, or with mini-batches that are too small."""
    name = cfg.optimizer.name
    task = hydra.utils.instantiate(cfg.task)
    if task.epochs:
        return [f"task={task.name}: {name} wants fresh sequences, and this task is learned in epochs"]
    if task.loss_form is None:
        loss = cfg.task.get("loss", "of its own")
        return [f"task.loss={loss}: {name} needs the curvature of cross_entropy, or of the error of one output"]
    sequences = cfg.optimizer.get("curvature", 1)
    if sequences > task.batch_size:
        wanted = f"has to be as many or more, as 1000 in setting=rival_{name}"
        return [f"optimizer.curvature={sequences}: task.batch_size={task.batch_size} {wanted}"]
    return []


def _of_method(cfg: DictConfig) -> list[str]:
    """Keys that would be without effect, and a GPU."""
    from src.directions import Direction

    name = cfg.optimizer.name
    problems = []
    for key, reason in ABSENT.items():
        if cfg.optimizer.get(key):
            problems.append(f"optimizer.{key}={cfg.optimizer[key]}: {name} {reason}; choose null or 0")
    if hydra.utils.get_class(cfg.optimizer.direction._target_) is not Direction or "step" in cfg.optimizer:
        problems.append(f"optimizer.direction: {name} makes its own steps, from the plain gradient alone")
    cut = cfg.callbacks.get("truncated_bptt")
    if cut is not None and (cut.steps is not None or max(cut.parts) > 1):
        problems.append(
            f"callbacks.truncated_bptt: {name} goes through whole sequences; choose parts=[1] and steps=null"
        )
    if cfg.trainer.accelerator in ("gpu", "cuda"):
        problems.append(f"trainer.accelerator={cfg.trainer.accelerator}: {name} runs on the CPU; use cpu or auto")
    return problems
