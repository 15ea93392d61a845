"""What must hold so that a run can go on where another one ended."""

from typing import Any

from omegaconf import DictConfig

from src.config.keys import is_resumable, leaves
from src.rundir import ENDED, RunDirectory


def resume_problems(cfg: DictConfig) -> list[str]:
    """Why this configuration cannot go on with the run in ``cfg.resume``; an empty list if it can."""
    run = RunDirectory(cfg.resume)
    if run.missing() or not run.history_file.is_file():
        return [f"resume={cfg.resume}: no run with config.yaml and checkpoints/last.ckpt there"]
    results = run.read_results()
    if results["status"].isin(ENDED).all():
        return [f"resume={cfg.resume}: every replica there has come to an end; nothing is left to train"]
    return budget_problems(cfg, run) or changed_keys(cfg, run)


def budget_problems(cfg: DictConfig, run: RunDirectory) -> list[str]:
    """A budget that the run has spent already; epochs count where there is a bound on them, else updates."""
    if cfg.trainer.max_epochs is not None:
        epoch = run.read_history()["epoch"]
        epochs = int(epoch.max()) if len(epoch) else 0
        if epochs >= cfg.trainer.max_epochs:
            return [f"trainer.max_epochs={cfg.trainer.max_epochs}: {cfg.resume} has made {epochs} already"]
        return []
    updates = int(run.read_results()["updates"].max())
    if updates >= cfg.trainer.max_steps:
        return [f"trainer.max_steps={cfg.trainer.max_steps}: {cfg.resume} has made {updates} updates already"]
    return []


def changed_keys(cfg: DictConfig, run: RunDirectory) -> list[str]:
    """Keys that are not what they were, of those that may not change."""
    before: dict[str, Any] = {"recurrence": "reference", **dict(leaves(run.configuration()))}
    now = dict(leaves(cfg))
    if now["recurrence"] == "auto":
        now["recurrence"] = before["recurrence"]  # auto goes on with what ran
    problems = []
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not is_resumable(key):
            problems.append(f"resume={cfg.resume}: was run with {key}={before.get(key)}, not {now.get(key)}")
    return problems
