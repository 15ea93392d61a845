"""python -m src.curves DIR...: (re)builds tables and plots from the results under directories, however they ended."""

import argparse
from pathlib import Path

from src.config import ConfigurationError, refuse
from src.config.trusted import import_modules
from src.results.missing import missing
from src.results.report import report


def main() -> None:
    """The command line: 0 done, 1 some runs could not be read, 2 no results or conflicting ones."""
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
    for line in missing(arguments.directories):
        print(line)
    if skipped:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
