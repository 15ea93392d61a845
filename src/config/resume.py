"""What must hold so that a run can go on where another one ended."""

from typing import Any

from omegaconf import DictConfig

from src.config.keys import is_resumable, leaves
from src.rundir import ENDED, RunDirectory
from src.storage import DamagedFile


def resume_problems(cfg: DictConfig) -> list[str]:
    """Why this configuration cannot go on with the run in ``cfg.resume``; an empty list if it can."""
    from src.population import checkpoint  # torch: seconds that other checks need not wait for

    run = RunDirectory(cfg.resume)
    if not run.has_checkpoint:
        return [f"resume={cfg.resume}: no run with checkpoints/last.ckpt there"]
    try:
        outcomes = checkpoint.read(run.checkpoint_file).outcomes
    except DamagedFile as problem:
        return [f"resume={cfg.resume}: {problem}"]
    if all(status in ENDED for status in outcomes["status"]) and run.is_closed:
        return [f"resume={run}: every replica there has come to an end; nothing is left to train"]
    return budget_problems(cfg, run, outcomes) or changed_keys(cfg, run)


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
            return [f"trainer.max_epochs={cfg.trainer.max_epochs}: {run} has made {epochs} already"]
        return []
    updates = max(outcomes["updates"])
    if updates + run.is_closed > cfg.trainer.max_steps:
        return [f"trainer.max_steps={cfg.trainer.max_steps}: {run} has made {updates} updates already"]
    return []


def changed_keys(cfg: DictConfig, run: RunDirectory) -> list[str]:
    """Keys that are not what they were, of those that may not change."""
    saved = configuration(run)
    if not saved:  # damaged: whoever reads the checkpoint says so
        return []
    before: dict[str, Any] = {"recurrence": "reference", **dict(leaves(saved))}
    now = dict(leaves(cfg))
    if "auto" in (now["recurrence"], before["recurrence"]):  # auto goes on with what ran
        now["recurrence"] = before["recurrence"]
    problems = []
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not is_resumable(key):
            problems.append(f"resume={run}: was run with {key}={before.get(key)}, not {now.get(key)}")
    return problems
