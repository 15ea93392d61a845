"""What a curriculum of lengths asks of the other keys."""

from math import ceil

from omegaconf import DictConfig

from src.config.solver import has_solver
from src.config.wrong import Wrong
from tasks.task import Task

PARTS = "callbacks.truncated_bptt.parts"


def curriculum_problems(cfg: DictConfig, wrong: Wrong, task: type[Task]) -> list[str]:
    """Why the lengths of this task cannot grow as the configuration says; nothing where there is no curriculum.

    Args:
        wrong: keys that are not compared with any other.
        task: the class of the task.
    """
    curriculum = cfg.get("curriculum")
    if not curriculum or wrong.below("curriculum", "task.length", "task.max_length"):
        return []
    if task.epochs or not task.graded:
        return [
            f"curriculum: {cfg.task.name} has one length; lengths grow where a test can be passed on fresh sequences"
        ]
    problems = []
    if cfg.task.max_length is not None:
        instead = "lengths grow to task.length, and curriculum.mixing mixes them"
        problems.append(f"task.max_length={cfg.task.max_length}: with a curriculum {instead}")
    search = curriculum.get("search")
    growth = curriculum.get("growth", 1)
    if search is not None and search < growth:
        problems.append(f"curriculum.search={search}: must not be below curriculum.growth={growth} (null: no search)")
    exponent = curriculum.get("exponent", 0)
    if exponent and ("step" in cfg.optimizer or has_solver(cfg)):
        problems.append(f"curriculum.exponent={exponent}: {cfg.optimizer.name} keeps its learning rate; choose 0")
    return problems + length_problems(cfg, wrong, task.minimum_length)


def length_problems(cfg: DictConfig, wrong: Wrong, minimum: int) -> list[str]:
    """A first length beyond the last one, or shortest sequences that are too short.

    Args:
        minimum: steps that the task needs.
    """
    first = cfg.curriculum.get("first") or cfg.task.length  # none: one stage, or a class of the user's own
    if first > cfg.task.length:
        return [f"curriculum.first={first}: must not be above task.length={cfg.task.length}, the last length"]
    mixing = cfg.curriculum.get("mixing", 1)
    shortest = ceil(round(mixing * first, 9))
    what = f"curriculum.first={first}" if mixing == 1 else f"curriculum.first={first}, mixing={mixing}"
    if shortest < minimum:
        return [f"{what}: {cfg.task.name} needs {minimum} steps or more"]
    cut = cfg.callbacks.get("truncated_bptt")
    if cut is None or wrong.below("callbacks.truncated_bptt") or cut.steps is not None or max(cut.parts) <= shortest:
        return []
    return [f"{what}: {PARTS}={max(cut.parts)} are more than the shortest sequence's {shortest} steps"]
