"""python -m src.runs [DIR...] [WORD...]: everything that has run, the newest first."""

import argparse
import json
import os
import signal
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

from rich.console import Console

from src.config import refuse
from src.results.overview import Entry, entries

PLACES = ("runs", "sweeps")
"""Where runs and sweeps write by default."""

FEW = 3
"""Most values of a column that are printed; of more, the first and the last."""


def some(values: Sequence[Any]) -> str:
    """A few values, or the first and the last of many."""
    if len(values) > FEW:
        return f"{values[0]} ... {values[-1]} ({len(values)})"
    return ", ".join(map(str, values))


def rate(entry: Entry) -> str:
    """Solved of all, with the interval where there is one."""
    if not entry.graded:
        return ""
    text = f"{entry.solved}/{len(entry.replicas)} solved"
    if entry.interval is not None:
        low, high = entry.interval
        text += f" (95 % interval {100 * low:.0f}-{100 * high:.0f} %)"
    return text


def lines(entry: Entry) -> list[str]:
    """Two lines: what was trained, and where it is and what came of it."""
    place = os.path.relpath(entry.path)
    first = f"{entry.when:%Y-%m-%d %H:%M}  "
    margin = " " * len(first)
    if not entry.replicas:
        return [first + place, margin + (entry.problem or entry.status)]
    names = [some(entry.values(column)) for column in ("task", "cell", "optimizer")]
    what = f"{names[0]}, length {some(entry.values('length'))}, {names[1]}; {names[2]}"
    outcome = [entry.status, rate(entry), f"median {entry.median_updates:,.0f} updates"]
    if not isnan(entry.seconds):
        outcome.append(f"{entry.seconds:,.0f} s")
    further = [] if entry.problem is None else [margin + entry.problem]
    return [first + what, f"{margin}{place}: {', '.join(text for text in outcome if text)}", *further]


def show(found: Sequence[Entry]) -> None:
    """Prints the entries."""
    console = Console()
    for entry in found:
        for line in lines(entry):
            console.print(line, soft_wrap=True, markup=False, highlight=False)


def main() -> None:
    """The command line: 0 done, 2 nothing there."""
    parser = argparse.ArgumentParser(prog="python -m src.runs", description=__doc__)
    words = (
        "a directory that is searched (default: runs and sweeps), or a word that entries must have: lstm, length=100"
    )
    parser.add_argument("words", metavar="DIR|WORD", nargs="*", help=words)
    parser.add_argument("--json", action="store_true", help="print a list for programs")
    arguments = parser.parse_args()
    places = [Path(word) for word in arguments.words if Path(word).is_dir()]
    wanted = [word for word in arguments.words if not Path(word).is_dir()]
    found = [entry for entry in entries(places or map(Path, PLACES)) if entry.answers(wanted)]
    if arguments.json:
        print(json.dumps([entry.plain() for entry in found], indent=1))
        return
    if not found:
        where = ", ".join(map(str, places or PLACES))
        refuse([f"nothing under {where}" + (f" that is {' '.join(wanted)}" if wanted else "")])
    show(found)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head may go at any time
    main()
