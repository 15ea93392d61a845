"""python -m src.train [overrides]: one population, or a sweep with -m."""

import sys

if not __package__:  # run as a script: src/ is where Python looks for modules, and nothing below would be found
    print("error: run it from the repository's root as python -m src.train", file=sys.stderr)
    raise SystemExit(2)

import os
import signal
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src.config import ConfigurationError, refuse
from src.config.overrides import REFUSED_BY_HYDRA, diagnose


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def job(cfg: DictConfig) -> float:
    """Trains one population; returns its success rate."""
    from src.run import run  # torch and Lightning: seconds that --help and a refusal need not wait for

    directory = Path(HydraConfig.get().runtime.output_dir)
    population = run(cfg, directory)
    if population.interrupt is not None:
        end_interrupted(directory, population.interrupt)
    return float(population.solved_R.mean())


def end_interrupted(directory: Path, signum: int) -> NoReturn:
    """Reports a sweep as far as it came, says how to go on with its last run, and ends the program.

    Args:
        directory: of the run that a signal stopped.
        signum: the signal.
    """
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        from src.results.report import report

        report([Path(hydra_config.sweep.dir)])
        print("interrupted: later jobs of the sweep were not run", file=sys.stderr)
    again = " ".join([*hydra_config.overrides.task, f"resume={directory}"])
    print(f"to go on with this one: python -m src.train {again}", file=sys.stderr)
    raise SystemExit(128 + signum)  # ends a sweep too, where an exception would not


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def typed_overrides() -> list[str]:
    """Overrides on the command line, without Hydra's own flags."""
    found = []
    for argument in sys.argv[1:]:
        is_override = "=" in argument or argument[:1] in ("+", "~")
        if is_override and not argument.startswith("--"):
            found.append(argument)
    return found


def main() -> None:
    """The command line: 0 done, 1 no place to write, 2 bad configuration, 130 and 143 interrupted; no traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then lets its exceptions through to us
    overrides = typed_overrides()
    try:
        job()
    except ConfigurationError as error:
        refuse(error.problems)
    except REFUSED_BY_HYDRA as error:
        refuse(diagnose(overrides, error))
    except OSError as error:  # a full disk, a folder that is gone: what was written before is as it was
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        print("interrupted before training began", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None


if __name__ == "__main__":
    main()
