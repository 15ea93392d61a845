"""What must hold so that a run can go on where another one ended."""

from typing import Any

from omegaconf import DictConfig

from src.config.keys import is_resumable, leaves
from src.rundir import ENDED, RunDirectory
from src.storage import DamagedFile

BUDGETS = ("trainer.max_steps", "trainer.max_epochs")
"""Keys that may only become larger."""


def resume_problems(cfg: DictConfig) -> list[str]:
    """Why this configuration cannot go on with the run in ``cfg.resume``; an empty list if it can."""
    from src.population import checkpoint  # torch: seconds that other checks need not wait for

    run = RunDirectory(cfg.resume)
    if not run.path.is_dir():
        return [f"resume={cfg.resume}: no such directory"]
    if not run.has_checkpoint:
        return [f"resume={cfg.resume}: no run with checkpoints/last.ckpt there"]
    try:
        outcomes = checkpoint.read(run.checkpoint_file).outcomes
    except DamagedFile as problem:
        return [f"resume={cfg.resume}: {problem}"]
    if all(status in ENDED for status in outcomes["status"]) and run.is_closed:
        return [f"resume={run}: every replica there has come to an end; nothing is left to train"]
    return changed_keys(cfg, run) or budget_problems(cfg, run, outcomes)


def configuration(run: RunDirectory) -> dict[str, Any]:
    """The configuration of a run as its checkpoint has it; nothing where there is none that can be read."""
    from src.population import checkpoint

    try:
        return checkpoint.read(run.checkpoint_file).config
    except DamagedFile:
        return {}


def is_done(cfg: DictConfig, run: RunDirectory) -> bool:
    """Whether a run came to its end, and this configuration's budget leaves nothing to train."""
    from src.population import checkpoint

    if not run.is_closed or not run.results_file.is_file():
        return False
    outcomes = checkpoint.read(run.checkpoint_file).outcomes
    ended = all(status in ENDED for status in outcomes["status"])
    return ended or bool(budget_problems(cfg, run, outcomes))


def budget_problems(cfg: DictConfig, run: RunDirectory, outcomes: dict[str, Any]) -> list[str]:
    """A budget that the run has spent already; epochs count where there is a bound on them, else updates.

    Where a run has spent just the budget and is not closed, its last tests are left to be made.

    Args:
        outcomes: of its checkpoint.
    """
    if cfg.trainer.max_epochs is not None:
        epochs = max(outcomes["epochs"])
        if epochs + run.is_closed > cfg.trainer.max_epochs:
            return [f"trainer.max_epochs={cfg.trainer.max_epochs}: {run} has made {epochs} already; more go on"]
        return []
    updates = max(outcomes["updates"])
    if updates + run.is_closed > cfg.trainer.max_steps:
        return [f"trainer.max_steps={cfg.trainer.max_steps}: {run} has made {updates} updates already; more go on"]
    return []


def changed_keys(cfg: DictConfig, run: RunDirectory) -> list[str]:
    """Keys that are not what they were, of those that may not change; a budget that is smaller than it was."""
    saved = configuration(run)
    if not saved:  # damaged: whoever reads the checkpoint says so
        return []
    before = dict(leaves(saved))
    now = dict(leaves(cfg))
    problems = []
    for key in sorted(before.keys() | now.keys()):
        then = before.get(key)
        given = now.get(key)
        if key in BUDGETS and _bound(given) < _bound(then):
            problems.append(f"resume={run}: was run with {key}={_text(then)}; it may be larger, not {_text(given)}")
        elif then != given and not is_resumable(key):
            problems.append(f"resume={run}: was run with {key}={_text(then)}, not {_text(given)}")
    return problems


def _bound(budget: Any) -> float:
    """A budget as a number; none is infinite."""
    return float("inf") if budget is None else float(budget)


def _text(value: Any) -> str:
    """A value as it is typed."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
