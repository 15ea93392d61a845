"""python -m src.compare A B: two runs or two sweeps beside each other: what differs, and whether the outcomes do."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from src.config import ConfigurationError, refuse
from src.intervals import wilson
from src.results.collect import Replica, collect, replicas_of_table
from src.results.outcomes import UnreadableRun
from src.results.versus import Comparison, comparisons, difference, different, pair_tests, reach
from src.rundir import REPLICAS, runs_under, table_file

MOST = 4
"""Values of a key that are printed; of more, how many there are."""

NOT_PAIRED = "not paired: other seeds, or other sequences"


def read(directory: Path) -> list[Replica]:
    """The replicas under a directory.

    Raises:
        ConfigurationError: there are none, or conflicting ones.
        UnreadableRun: a table of replicas that is none.
    """
    skipped: list[str] = []
    table = table_file(directory, REPLICAS)
    if table.is_file() and not runs_under([directory]):
        return replicas_of_table(table)
    found = collect([directory], skipped)
    for problem in skipped:
        print(f"skipped: {problem}", file=sys.stderr)
    if not found:
        raise ConfigurationError([f"{directory}: no results"])
    return found


def values(known: Sequence[Any]) -> str:
    """The values of a key on one side."""
    if len(known) > MOST:
        return f"{len(known)} values"
    return ", ".join("-" if value is None else str(value) for value in known)


def short(key: str) -> str:
    """A key without the part that it lies in, but for names, which are their part's."""
    return key.removesuffix(".name") if key.endswith(".name") else key.rpartition(".")[2]


def show_keys(keys: dict[str, tuple[list[Any], list[Any]]], names: Sequence[str], console: Console) -> None:
    """Prints what differs in the configuration."""
    if not keys:
        console.print("the configurations are the same")
        return
    table = Table("key", *names, title="what differs", title_justify="left")
    for key, (mine, theirs) in keys.items():
        table.add_row(key, values(mine), values(theirs))
    console.print(table)


def rate(replicas: Sequence[Replica]) -> tuple[int, int] | None:
    """Solved, of all; None where some were interrupted, or where answers are neither right nor wrong."""
    if not all(replica.finished and replica.graded for replica in replicas):
        return None
    return sum(replica.outcome["solved"] is True for replica in replicas), len(replicas)


def in_words(own: tuple[int, int] | None) -> str:
    """A rate with its interval."""
    if own is None:
        return "no rate"
    low, high = wilson(*own)
    return f"{own[0]}/{own[1]} ({100 * low:.0f}-{100 * high:.0f} %)"


def spread(lengths: Sequence[int]) -> str:
    """The median of some lengths, with the least and the largest."""
    return f"{median(lengths):g} ({min(lengths)}-{max(lengths)})"


def show(comparison: Comparison, names: Sequence[str], console: Console) -> None:
    """Prints the outcomes of one setting, and what may be said of their difference."""
    words = ", ".join(f"{short(key)}={value}" for key, value in comparison.shared.items())
    rates = [rate(side) for side in (comparison.one, comparison.other)]
    line = "; ".join(f"{name} {in_words(own)}" for name, own in zip(names, rates, strict=True))
    console.print(f"{words}: {line}" if words else line, highlight=False, soft_wrap=True)
    far = reach(comparison)
    tests = []
    if rates[0] is not None and rates[1] is not None:
        apart, low, high = difference(rates[0], rates[1])
        interval = f"{100 * low:+.0f} to {100 * high:+.0f}"
        name = "Newcombe's, as if not paired" if comparison.paired else "Newcombe's"
        console.print(f"  difference {100 * apart:+.0f} points, 95 % interval {interval} ({name})", highlight=False)
        tests = pair_tests(comparison) if comparison.paired else []
    if far is not None:
        came = "; ".join(f"{name} {spread(side)}" for name, side in zip(names, (far.one, far.other), strict=True))
        console.print(f"  longest length passed by {far.updates:,} updates: {came}", highlight=False, soft_wrap=True)
        tests.append(far.test)
    paired = f"paired by seed ({comparison.paired})"
    console.print(f"  {paired if comparison.paired else NOT_PAIRED}", highlight=False)
    for test in tests:
        ahead = f"{names[0]} {test.for_one}, {names[1]} {test.for_other}"
        console.print(f"    {test.name}: {ahead}; p = {test.p:.2g}", highlight=False, soft_wrap=True)


def main() -> None:
    """The command line: 0 done, 2 no results, or no setting that both have."""
    parser = argparse.ArgumentParser(prog="python -m src.compare", description=__doc__)
    parser.add_argument("one", metavar="A", type=Path, help="directory of a run or a sweep")
    parser.add_argument("other", metavar="B", type=Path)
    arguments = parser.parse_args()
    try:
        one, other = read(arguments.one), read(arguments.other)
    except ConfigurationError as error:
        refuse(error.problems)
    except UnreadableRun as problem:
        refuse([str(problem)])
    console = Console()
    names = ("A", "B")
    console.print(f"A: {arguments.one}\nB: {arguments.other}", highlight=False, soft_wrap=True)
    show_keys(different(one, other), names, console)
    found, left_out = comparisons(one, other)
    if not found:
        refuse(["nothing to compare: apart from what differs between A and B they have no setting in common"])
    for comparison in found:
        show(comparison, names, console)
    if left_out:
        console.print(f"{left_out} settings have no counterpart on the other side, or several", highlight=False)


if __name__ == "__main__":
    main()
