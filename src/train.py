"""python -m src.train [overrides]: one population, or a sweep with -m."""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from src.config import ConfigurationError, refuse
from src.overrides import REFUSED_BY_HYDRA, diagnose


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def job(cfg: DictConfig) -> float:
    """Trains one population; returns its success rate."""
    from src.run import run  # torch and Lightning: seconds that --help and a refusal need not wait for

    own = HydraConfig.get()
    population = run(cfg, Path(own.runtime.output_dir))
    if population.interrupt is not None:
        if own.mode == RunMode.MULTIRUN:
            from src.curves import report

            report([Path(own.sweep.dir)])
            print("interrupted: later jobs of the sweep were not run", file=sys.stderr)
        again = " ".join([*own.overrides.task, f"resume={own.runtime.output_dir}"])
        print(f"to go on with this one: python -m src.train {again}", file=sys.stderr)
        raise SystemExit(128 + population.interrupt)  # ends a sweep too, where an exception would not
    return sum(status == "solved" for status in population.status) / len(population.status)


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def main() -> None:
    """The command line: 0 done, 2 bad configuration, 130 and 143 interrupted; no traceback in any of these."""
    signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then lets its exceptions through to us
    overrides = [argument for argument in sys.argv[1:] if "=" in argument or argument[:1] in ("+", "~")]
    try:
        job()
    except ConfigurationError as error:
        refuse(error.problems)
    except REFUSED_BY_HYDRA as error:
        refuse(diagnose([o for o in overrides if not o.startswith("--")], error))
    except KeyboardInterrupt:
        print("interrupted before training began", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None


if __name__ == "__main__":
    main()
