"""Hydra callback: every job is checked before the first one trains, and a sweep ends with its table and plots."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from src.config import check, refuse
from src.config.again import key_of
from src.config.errors import first_line
from src.config.overrides import REFUSED_BY_HYDRA, diagnose
from src.config.resume import changed_keys
from src.jobnames import job_directory, note_common
from src.rundir import JOB_COLUMNS, JOBS, InUse, RunDirectory, failures_under, table_file, write_table
from tasks.price import Price

PASSED_OVER = 1.0
"""Seconds in which no job is trained."""

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class Jobs(Callback):
    """Checks jobs before they run, and reports a sweep at its end.

    Hydra only warns of exceptions in callbacks. :func:`refuse` ends the program; so does whatever goes wrong while the
    jobs of a sweep are composed.
    """

    def __init__(self) -> None:
        self.jobs = 0  # of a sweep, where they are known beforehand
        self.begun = 0.0
        self.job_begun = 0.0
        self.took: list[float] = []  # seconds of each job that was trained
        self.lock = ExitStack()  # of the sweep's directory, until the process ends

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuses a job that cannot run, and a sweep that is started as a single job."""
        if config.hydra.sweeper.get("params") and config.resume is None:
            refuse([f"hydra.mode=RUN: {config.name} is a sweep; leave hydra.mode out or add -m"])
        problems = check(config) or unchosen(config, config.hydra.overrides.task) or occupied(config)
        if problems:
            refuse(problems)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuses a sweep if one of its jobs cannot run, or does not fit what lies in its directory."""
        problems = sweep_problems(config)
        if problems:
            refuse(problems)
        try:
            self.lock.enter_context(RunDirectory(config.hydra.sweep.dir).locked())
        except InUse as problem:
            refuse([str(problem).replace("a run is", "a sweep is")])
        jobs = jobs_of(config)
        if jobs and named_by_us(config):
            list_jobs(config, jobs)
        self.jobs = len(jobs)
        self.begun = perf_counter()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how far a sweep is, where its jobs run one after the other in this process."""
        self.job_begun = perf_counter()
        if self.jobs:
            gone = self.job_begun - self.begun
            print(how_far(int(config.hydra.job.num), self.jobs, gone, self.took), file=sys.stderr)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Notes what a job took; one that was done already says nothing about the others."""
        seconds = perf_counter() - self.job_begun
        if seconds > PASSED_OVER:
            self.took.append(seconds)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes tables and figures of the sweep; names jobs that failed, and ends the program with 1 if there are."""
        directory = Path(config.hydra.sweep.dir)
        failed = failures_under(directory)
        reported = report_sweep(directory)
        if failed:
            print(f"{len(failed)} failed: {', '.join(map(str, failed))}", file=sys.stderr)
            again = shlex.quote(f"resume={directory}")
            print(f"to try them again: python -m src.train {again}", file=sys.stderr)
        if failed or not reported:
            raise SystemExit(1)  # Hydra would only warn of an exception


def list_jobs(config: DictConfig, jobs: Sequence[Sequence[str]]) -> None:
    """Leaves a list of a sweep's jobs in its directory: whoever looks at it later sees what is missing."""
    directory = Path(config.hydra.sweep.dir)
    rows = [(job_directory(number, overrides), " ".join(overrides)) for number, overrides in enumerate(jobs)]
    try:
        write_table(table_file(directory, JOBS), JOB_COLUMNS, rows)
    except OSError as error:  # Hydra would only warn of it
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def report_sweep(directory: Path) -> bool:
    """Writes tables and figures of a sweep. Whatever goes wrong is one line; returns whether nothing did."""
    from src.results.report import report

    try:
        report([directory])
    except Exception as error:  # Hydra would only warn, and go on with the next job
        print(f"error: {directory}: no tables: {first_line(error)}", file=sys.stderr)
        return False
    return True


def how_far(number: int, jobs: int, gone: float, took: Sequence[float]) -> str:
    """One line: which job begins, the time that has gone, and the time that is left if the others take as long.

    Args:
        number: of the job, from 0.
        jobs: how many there are.
        gone: seconds since the sweep began.
        took: seconds of each job that was trained.
    """
    line = f"job {number + 1} of {jobs}"
    if not took:
        return line
    left = sum(took) / len(took) * (jobs - number)
    return f"{line}, {duration(gone)} gone, about {duration(left)} left"


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def occupied(config: DictConfig) -> list[str]:
    """A problem where a single run's directory holds another run, or where one is at work there."""
    run = RunDirectory(config.hydra.run.dir)
    if run.is_locked():
        return [f"{run}: a run is at work there"]
    if config.resume is None and run.has_checkpoint and not config.get("overwrite"):
        return [f"{run}: holds a run already; resume={run} goes on with it, overwrite=true replaces it"]
    return []


CHOICES = ("cell", "optimizer", "experiment", "setting")
"""Groups of which one must be chosen where the defaults are those of other tasks."""


def unchosen(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """A price with the cell and the method that suit the other tasks."""
    if not issubclass(get_class(config.task._target_), Price) or any(key_of(text) in CHOICES for text in overrides):
        return []
    name = config.task.name
    defaults = f"cell={config.cell.name} and optimizer={config.optimizer.name} are the defaults of other tasks"
    advice = f"python -m src.train task={name} cell=dense_lstm optimizer=adam trainer.max_epochs=200 schedule=parts"
    return [f"task={name}: {defaults}; choose them, as in {advice}"]


def jobs_of(cfg: DictConfig) -> list[list[str]]:
    """Overrides of each job of a sweep; none if they are not known beforehand (sweepers that choose as they go)."""
    if cfg.hydra.sweeper._target_ != BASIC:
        return []
    params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
    texts = params + OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)  # type: ignore[operator]
    loader = GlobalHydra.instance().config_loader()
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(texts)
    return [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]


def sweep_problems(cfg: DictConfig) -> list[str]:
    """Every problem of every job of a sweep."""
    loader = GlobalHydra.instance().config_loader()
    problems: list[str] = []
    directories = []
    try:
        jobs = jobs_of(cfg)
        note_common(set(jobs[0]).intersection(*jobs) if len(jobs) > 1 else [])
        for number, overrides in enumerate(jobs):
            try:
                job = loader.load_sweep_config(cfg, overrides)
                problems += check(job) or unchosen(job, overrides)
                if not named_by_us(cfg):
                    continue
                directories.append(Path(cfg.hydra.sweep.dir) / job_directory(number, overrides))
                if not problems and not job.get("overwrite"):
                    problems += standing(job, RunDirectory(directories[-1]))
            except REFUSED_BY_HYDRA as error:
                problems += diagnose_inside(overrides, error)
        if not problems and not cfg.get("overwrite"):
            problems += strangers(Path(cfg.hydra.sweep.dir), directories)
    except Exception as error:  # Hydra would only warn of it
        problems.append(f"{type(error).__name__}: {error}")
    return problems


def named_by_us(cfg: DictConfig) -> bool:
    """Whether the directories of a sweep's jobs have the names that they have by default."""
    return "${job_directory:" in str(OmegaConf.to_container(cfg.hydra.sweep, resolve=False))


def standing(job: DictConfig, run: RunDirectory) -> list[str]:
    """Keys in which a job is not what was run in its directory, of those that may not change."""
    if not run.has_checkpoint or not run.config_file.is_file():
        return []
    return changed_keys(job, run)


def strangers(sweep: Path, directories: list[Path]) -> list[str]:
    """Runs in a sweep's directory that are none of its jobs: an older sweep's, or one's of another order."""
    found = {file.parents[1] for file in sweep.glob("*/checkpoints/last.ckpt")}
    others = sorted(found - set(directories)) if directories else []
    return [f"{other}: holds a run that is no job of this sweep" for other in others]


def diagnose_inside(overrides: list[str], error: Exception) -> list[str]:
    """:func:`diagnose` while Hydra is running: it may be set up only once at a time."""
    instance = GlobalHydra.instance()
    running = instance.hydra
    instance.hydra = None
    try:
        return diagnose(overrides, error)
    finally:
        instance.hydra = running
