"""Hydra callback: every job is checked before the first one trains, and a sweep ends with its table and plots."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from src.config import check, refuse
from src.config.again import command_of, key_of
from src.config.errors import of_disk
from src.config.keys import leaves
from src.config.overrides import REFUSED_BY_HYDRA, diagnose
from src.config.resume import changed_keys
from src.jobnames import common, job_directory, note_common
from src.launchers import PACKED, in_slurm, launcher_problems, side_by_side
from src.results.missing import job_names
from src.rundir import JOB_COLUMNS, JOBS, InUse, RunDirectory, table_file, write_table
from src.sweeps import Sweep, name_jobs, report_sweep

PASSED_OVER = 1.0
"""Seconds in which no job is trained."""

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
OPTUNA = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"

MULTIRUN = "multirun.yaml"
"""The configuration of a sweep in its directory: what ``resume`` reads."""


class Jobs(Callback):
    """Checks jobs before they run, and reports a sweep at its end.

    Hydra only warns of exceptions in callbacks. :func:`refuse` ends the program; so does whatever goes wrong while the
    jobs of a sweep are composed. Launchers send this object to other processes: there it knows how jobs are named, and
    nothing of the sweep.
    """

    sweep: ClassVar[Sweep | None] = None  # of this process

    def __init__(self) -> None:
        self.jobs = 0  # of a sweep, where they are known beforehand
        self.begun = 0.0
        self.job_begun = 0.0
        self.took: list[float] = []  # seconds of each job that was trained
        self.lock = ExitStack()  # of the directory of a run or a sweep, until the process ends

    def __reduce__(self) -> Any:
        return in_another_process, (common(),)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuses a job that cannot run, and a sweep that is started as a single job."""
        if config.hydra.sweeper.get("params") and config.resume is None:
            refuse([f"hydra.mode=RUN: {config.name} is a sweep; leave hydra.mode out or add -m"])
        problems = check(config) or unchosen(config, config.hydra.overrides.task)
        if problems:
            refuse(problems)
        self.take(config.hydra.run.dir, "a run is")
        problems = occupied(config)
        if problems:
            refuse(problems)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuses a sweep if one of its jobs cannot run, or does not fit what lies in its directory."""
        problems = launcher_problems(config) or sweep_problems(config)
        if problems:
            refuse(problems)
        self.take(config.hydra.sweep.dir, "a sweep is")
        jobs = jobs_of(config)
        self.jobs = len(jobs)
        self.begun = perf_counter()
        Jobs.sweep = Sweep(Path(config.hydra.sweep.dir), directories_of(config, jobs), in_slurm(config))
        try:
            prepare(config, Jobs.sweep, jobs)
        except OSError as error:  # Hydra would only warn of it
            print(f"error: {of_disk(error)}", file=sys.stderr)
            raise SystemExit(1) from error
        if in_slurm(config):
            from src.slurm import ask_the_queue  # an extra

            ask_the_queue()

    def take(self, directory: str, words: str) -> None:
        """Locks a directory until the process ends; ends the program where that cannot be: Hydra would only warn."""
        try:
            self.lock.enter_context(RunDirectory(directory).locked())
        except InUse as problem:
            refuse([str(problem).replace("a run is", words)])
        except OSError as error:
            print(f"error: {of_disk(error)}", file=sys.stderr)
            raise SystemExit(1) from error

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how far a sweep is, where its jobs run one after the other in this process."""
        self.job_begun = perf_counter()
        if self.jobs and config.hydra.launcher._target_ != PACKED:
            gone = self.job_begun - self.begun
            line = how_far(int(config.hydra.job.num), self.jobs, gone, self.took)
            print(f"{line}: {Path(config.hydra.runtime.output_dir).name}", file=sys.stderr)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Notes what a job took; one that was done already says nothing about the others."""
        seconds = perf_counter() - self.job_begun
        if seconds > PASSED_OVER:
            self.took.append(seconds)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes tables and figures of the sweep; names jobs that failed, and ends the program with 1 if there are."""
        assert Jobs.sweep is not None
        reported = report_sweep(Jobs.sweep.directory)
        if name_jobs(Jobs.sweep) or not reported:
            raise SystemExit(1)  # Hydra would only warn of an exception


def prepare(config: DictConfig, sweep: Sweep, jobs: Sequence[Sequence[str]]) -> None:
    """Leaves in a sweep's directory what ``resume`` repeats and a list of its jobs; removes what it is to overwrite.

    Raises:
        OSError: that cannot be done.
    """
    RunDirectory(sweep.directory).write_command(command_of(config.hydra))
    if config.get("overwrite"):
        before = [sweep.directory / name for name in job_names(table_file(sweep.directory, JOBS))]
        for path in {*before, *sweep.known}:
            RunDirectory(path).clear()
    if sweep.known:
        rows = [(path.name, " ".join(overrides)) for path, overrides in zip(sweep.known, jobs, strict=True)]
        write_table(table_file(sweep.directory, JOBS), JOB_COLUMNS, rows)
    if config.hydra.sweeper._target_ != BASIC:  # others do not leave what resume reads
        OmegaConf.save(config, sweep.directory / MULTIRUN)


def in_another_process(shared: list[str]) -> Jobs:
    """The callback in a process that runs a job; names of directories need the overrides that all jobs have."""
    note_common(shared)
    return Jobs()


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
    if config.resume is None and run.has_checkpoint and not config.get("overwrite"):
        return [f"{run}: holds a run already; resume={run} goes on with it, overwrite=true replaces it"]
    return []


CHOICES = ("cell", "optimizer", "experiment", "setting")
"""Groups of which one must be chosen where the defaults are those of other tasks."""


def unchosen(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """A price or a text with the cell and the method that suit the other tasks."""
    from tasks.price import Price  # NumPy: seconds that --help need not wait for
    from tasks.text import Text

    kind = get_class(config.task._target_)
    if not issubclass(kind, Price | Text) or any(key_of(text) in CHOICES for text in overrides):
        return []
    name = config.task.name
    defaults = f"cell={config.cell.name} and optimizer={config.optimizer.name} are the defaults of other tasks"
    advice = f"python -m src.train task={name} cell=dense_lstm optimizer=adam trainer.max_epochs=200 schedule=parts"
    if issubclass(kind, Text):
        advice = f"python -m src.train task={name} setting=text_lstm replicas=1 trainer.max_epochs=30"
    return [f"task={name}: {defaults}; choose them, as in {advice}"]


def jobs_of(cfg: DictConfig) -> list[list[str]]:
    """Overrides of each job of a sweep; none if they are not known beforehand (sweepers that choose as they go)."""
    if cfg.hydra.sweeper._target_ != BASIC:
        return []
    return [job for batch in BasicSweeper.split_arguments(overrides_of(cfg), None) for job in batch]


def ends_of(cfg: DictConfig) -> list[list[str]]:
    """Overrides of two jobs that Optuna might choose: the first of all values, and the last; others lie between."""
    if cfg.hydra.sweeper._target_ != OPTUNA:
        return []
    first = []
    last = []
    for override in overrides_of(cfg):
        if override.is_interval_sweep():
            interval: Any = override.value()
            values = [interval.start, interval.end]
        elif override.is_sweep_override():
            values = list(override.sweep_string_iterator())
        else:
            values = [override.get_value_element_as_str()]  # as Optuna's own jobs have it
        first.append(f"{override.get_key_element()}={values[0]}")
        last.append(f"{override.get_key_element()}={values[-1]}")
    return [first, last]


def overrides_of(cfg: DictConfig) -> list[Override]:
    """Overrides of a sweep, values that are swept and those that are not: of an experiment's file, then as typed."""
    params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
    texts = params + OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)  # type: ignore[operator]
    loader = GlobalHydra.instance().config_loader()
    return OverridesParser.create(config_loader=loader).parse_overrides(texts)


def directories_of(cfg: DictConfig, jobs: list[list[str]]) -> list[Path]:
    """Where the jobs of a sweep write; none if the user has named them otherwise."""
    if not named_by_us(cfg):
        return []
    return [Path(cfg.hydra.sweep.dir) / job_directory(number, overrides) for number, overrides in enumerate(jobs)]


def sweep_problems(cfg: DictConfig) -> list[str]:
    """Every problem of every job of a sweep."""
    loader = GlobalHydra.instance().config_loader()
    problems: list[str] = []
    try:
        jobs = jobs_of(cfg)
        seen = jobs or ends_of(cfg)
        note_common(set(seen[0]).intersection(*seen) if len(seen) > 1 else [])
        directories = directories_of(cfg, jobs)
        at_once = side_by_side(cfg, jobs)
        for number, overrides in enumerate(seen):
            try:
                job = loader.load_sweep_config(cfg, overrides)
                problems += check(job, at_once) or unchosen(job, overrides)
                if not problems and directories:
                    problems += standing(job, RunDirectory(directories[number]))
            except REFUSED_BY_HYDRA as error:
                problems += diagnose_inside(overrides, error)
        if not problems and not cfg.get("overwrite"):
            problems += strangers(Path(cfg.hydra.sweep.dir), directories) + search_problems(cfg)
    except Exception as error:  # Hydra would only warn of it
        problems.append(f"{type(error).__name__}: {error}")
    return list(dict.fromkeys(problems))


def named_by_us(cfg: DictConfig) -> bool:
    """Whether the directories of a sweep's jobs have the names that they have by default."""
    return "${job_directory:" in str(OmegaConf.to_container(cfg.hydra.sweep, resolve=False))


def standing(job: DictConfig, run: RunDirectory) -> list[str]:
    """What keeps a job from its directory: it is none, a run is at work there, or what was run there had other keys."""
    if run.path.exists() and not run.path.is_dir():
        return [f"{run}: is no directory"]
    if run.is_locked():
        return [f"{run}: a run is at work there"]
    if job.get("overwrite") or not run.has_checkpoint or not run.config_file.is_file():
        return []
    return changed_keys(job, run)


def strangers(sweep: Path, directories: list[Path]) -> list[str]:
    """Runs in a sweep's directory that are none of its jobs: an older sweep's, or one's of another order."""
    found = {file.parents[1] for file in sweep.glob("*/checkpoints/last.ckpt")}
    others = sorted(found - set(directories)) if directories else []
    return [f"{other}: holds a run that is no job of this sweep" for other in others]


def search_problems(cfg: DictConfig) -> list[str]:
    """What makes Optuna choose other jobs than those that are done in the directory of a search."""
    file = Path(cfg.hydra.sweep.dir) / MULTIRUN
    if cfg.hydra.sweeper._target_ != OPTUNA or not file.is_file():
        return []
    before = dict(leaves(OmegaConf.load(file).hydra.sweeper))
    problems = []
    for key, value in leaves(cfg.hydra.sweeper):
        decides = key in ("n_jobs", "direction") or key.startswith("sampler.")
        if decides and before.get(key) != value:
            was = f"was searched with hydra.sweeper.{key}={before.get(key)}"
            problems.append(f"resume={file.parent}: {was}, not {value}")
    return problems


def diagnose_inside(overrides: list[str], error: Exception) -> list[str]:
    """:func:`diagnose` while Hydra is running: it may be set up only once at a time."""
    instance = GlobalHydra.instance()
    running = instance.hydra
    instance.hydra = None
    try:
        return diagnose(overrides, error)
    finally:
        instance.hydra = running
