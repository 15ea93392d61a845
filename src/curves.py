"""python -m src.curves DIR...: (re)builds tables and plots from the results under directories, however they ended."""

import argparse
import sys
from pathlib import Path

from src.config import ConfigurationError, refuse
from src.config.errors import of_disk
from src.config.trusted import import_modules
from src.results.missing import missing
from src.results.report import report


def main() -> None:
    """The command line: 0 done, 1 runs that cannot be read, or no disk, 2 no results or conflicting ones."""
    parser = argparse.ArgumentParser(prog="python -m src.curves", description=__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", type=Path, help="searched for runs at any depth")
    parser.add_argument("--out", type=Path, help="where to write; default: DIR, or ./curves for several")
    parser.add_argument("--module", action="append", default=[], help="of your own, that the configuration names")
    arguments = parser.parse_args()
    skipped: list[str] = []
    try:
        import_modules(arguments.module)
        report(arguments.directories, arguments.out, skipped)
    except ConfigurationError as error:
        refuse([*error.problems, *missing(arguments.directories)])
    except OSError as error:
        print(f"error: {of_disk(error)}", file=sys.stderr)
        raise SystemExit(1) from error
    for line in missing(arguments.directories):
        print(line)
    if skipped:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
