"""python -m src.train [overrides]: one population, or a sweep with -m."""

import sys

if not __package__:  # run as a script: src/ is where Python looks for modules, and nothing below would be found
    print("error: run it from the repository's root as python -m src.train", file=sys.stderr)
    raise SystemExit(2)

import logging
import os
import shlex
import signal
import threading
import traceback
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.config import ConfigurationError, refuse, science
from src.config.again import command_of, continued, is_override
from src.config.errors import first_line, of_disk
from src.config.overrides import REFUSED_BY_HYDRA, diagnose
from src.config.resume import configuration, is_done
from src.jobs import Jobs
from src.launchers import is_of_a_plugin, prefer_our_files
from src.rundir import RunDirectory
from src.sweeps import report_lost, report_stopped

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit statuses after Ctrl-C and SIGTERM."""


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def job(cfg: DictConfig) -> float | None:
    """Trains one population; returns its success rate, None if it failed. Jobs that are done are passed over."""
    from src.run import run  # torch and Lightning: seconds that --help and a refusal need not wait for

    directory = Path(HydraConfig.get().runtime.output_dir)
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        RunDirectory(directory).write_command(command_of(HydraConfig.get()))
        rate = take_up(cfg, directory) if in_sweep else None
        if rate is not None:
            return rate
        population = run(cfg, directory)
    except Exception as error:
        if in_sweep:  # the other jobs are run; Jobs then names those that failed
            note_failure(directory, error)
            return None
        end_if_starved(error)
        raise
    if population.interrupt is not None:
        end_interrupted(directory, population.interrupt)
    return float(population.solved_R.mean())


def take_up(cfg: DictConfig, directory: Path) -> float | None:
    """Looks at what a job of a sweep has left so far, and has it go on from there.

    Returns:
        its success rate if it is done, 0 where its table cannot be read; None if there is something to train.
    """
    run = RunDirectory(directory)
    cfg.overwrite = False  # the sweep has seen to it
    if not run.has_checkpoint:
        return None
    if is_done(cfg, run):
        run.failure_file.unlink(missing_ok=True)
        take_budget(cfg, run)
        print(f"{directory}: done", file=sys.stderr)
        return success_rate(run)
    run.failure_file.unlink(missing_ok=True)
    cfg.resume = str(directory)
    return None


def take_budget(cfg: DictConfig, run: RunDirectory) -> None:
    """Gives a run whose replicas have all come to an end the larger budget of its sweep: it would change nothing.

    A configuration that is damaged or gone is written anew: the checkpoint has it.
    """
    saved = OmegaConf.create(configuration(run))
    try:
        found = run.plain_configuration()
        budget = found["trainer"]
        known = science(found)
    except Exception:  # whatever a damaged file leads to
        budget = {}
        known = {}
    for key in ("max_steps", "max_epochs"):
        given = (cfg.trainer[key], saved.trainer[key], budget.get(key))
        saved.trainer[key] = max((value for value in given if value is not None), default=None)
    if known != science(saved):
        run.write_configuration(saved)


def success_rate(run: RunDirectory) -> float:
    """Of a run that is done; 0 where its table cannot be read."""
    try:
        return float(run.read_results()["solved"].eq(True).mean())
    except Exception:  # a table that others wrote
        return 0.0


def note_failure(directory: Path, error: Exception) -> None:
    """Keeps what ended a job in its directory, and says so in one line."""
    text = "".join(traceback.format_exception(error))
    said = starved(error) or f"{type(error).__name__}: {first_line(error)}"
    print(f"error: {directory}: {said}", file=sys.stderr)
    try:
        RunDirectory(directory).failure_file.write_text(text)
    except OSError:
        if starved(error) is None:
            print(text, file=sys.stderr)


def starved(error: BaseException) -> str | None:
    """One line where the machine was at fault: no disk, a folder that is gone, no memory; None where it was not."""
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):  # torch raises a RuntimeError
        return f"not enough memory: {first_line(error)}"
    cause = error.__cause__ if isinstance(error, ValueError) else error  # logging raises a ValueError
    return of_disk(cause) if isinstance(cause, OSError) else None


def end_if_starved(error: Exception) -> None:
    """Ends the program in one line where the machine was at fault: what was written before is as it was."""
    line = starved(error)
    if line is not None:
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(1) from error


def is_of_composition(error: BaseException) -> bool:
    """Whether Hydra raised it when it put the configuration together."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")).startswith("hydra._internal.defaults")


def quiet_about_disks() -> None:
    """Keeps logging and TensorBoard's thread from printing what the run itself will say in one line."""
    logging.raiseExceptions = False
    former = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            former(arguments)

    threading.excepthook = hook


def end_interrupted(directory: Path, signum: int) -> NoReturn:
    """Ends the program, and says how to go on with a single run; of a sweep, :func:`main` says it.

    Args:
        directory: of the run that a signal stopped.
        signum: the signal. Whoever waited for a warning gets it now, and puts the job back into its queue.
    """
    if signum not in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(signum)
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        print(f"to go on: python -m src.train {shlex.quote(f'resume={directory}')}", file=sys.stderr)
    raise SystemExit(128 + signum)  # ends a sweep too, where an exception would not


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def typed_overrides() -> list[str]:
    """Overrides on the command line, without Hydra's own flags."""
    return [argument for argument in sys.argv[1:] if is_override(argument)]


def main() -> None:
    """The command line: 0 done, 1 no disk or memory, 2 bad configuration, 130 and 143 interrupted; no traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then lets its exceptions through to us
    quiet_about_disks()
    overrides: list[str] = []
    prefer_our_files()
    try:
        sys.argv[1:] = continued(sys.argv[1:])
        overrides = typed_overrides()
        job()
    except ConfigurationError as error:
        refuse(error.problems)
    except REFUSED_BY_HYDRA as error:
        refuse(diagnose(overrides, error))
    except KeyboardInterrupt:
        if Jobs.sweep is None:
            print("interrupted before training began", file=sys.stderr)
        else:
            report_stopped(Jobs.sweep)
        raise SystemExit(128 + signal.SIGINT) from None
    except SystemExit as end:
        if Jobs.sweep is not None and end.code in STOPPED:
            report_stopped(Jobs.sweep)
        raise
    except Exception as error:
        end_if_starved(error)
        if is_of_composition(error):  # a choice of a group that is no word
            refuse(diagnose(overrides, error))
        if Jobs.sweep is None or not is_of_a_plugin(error):
            raise
        report_lost(Jobs.sweep, error)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
