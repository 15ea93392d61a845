"""python -m src.curves DIR...: (re)builds tables and plots from the results under directories, however they ended."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from torch.utils.tensorboard import SummaryWriter

from src import plots
from src.collect import SUCCESS_RATE, collect, success_rates
from src.config import ConfigurationError, refuse

BOARD = "curves"
"""Folder of the TensorBoard figures."""


def report(directories: Sequence[Path], out: Path | None = None) -> pd.DataFrame:
    """Writes success_rate.csv, success_rate and error as .png and .svg, and TensorBoard figures; prints the table.

    Args:
        directories: searched for runs at any depth.
        out: where to write; the first directory if not given.

    Raises:
        ConfigurationError: no results there, or conflicting ones.
    """
    replicas = collect(directories)
    if not replicas:
        raise ConfigurationError([f"no results under {', '.join(map(str, directories))}"])
    out = Path(out or directories[0])
    out.mkdir(parents=True, exist_ok=True)
    table = success_rates(replicas)
    table.to_csv(out / "success_rate.csv", index=False, float_format="%.6g")
    shutil.rmtree(out / BOARD, ignore_errors=True)  # of an earlier report
    with SummaryWriter(str(out / BOARD)) as board:
        for name, figure in (("success_rate", plots.success_rate(replicas)), ("error", plots.error(replicas))):
            figure.savefig(out / f"{name}.png", dpi=150)
            figure.savefig(out / f"{name}.svg")
            board.add_figure(f"sweep/{name}", figure)
    show(table, out)
    return table


def show(table: pd.DataFrame, out: Path) -> None:
    """Prints the table; keys that differ follow the contract's columns."""
    console = Console()
    printed = Table(title="success rates", title_justify="left", caption=plots.PAIRED, caption_justify="left")
    extra = [column for column in table.columns if column not in SUCCESS_RATE]
    for column in ["task", "cell", "optimizer", "length", "solved", "95 %", "median solved at", *extra]:
        printed.add_column(column, justify="right")
    for row in table.to_dict("records"):
        length = f"{row['length']}" + ("" if pd.isna(row["max_length"]) else f"-{row['max_length']}")
        solved = f"{row['solved']}/{row['replicas']}" + (f" (+{row['interrupted']} int.)" if row["interrupted"] else "")
        interval = "" if pd.isna(row["rate"]) else f"{100 * row['ci_low']:.0f}-{100 * row['ci_high']:.0f} %"
        median = "" if pd.isna(row["median_solved_at"]) else f"{row['median_solved_at']:,.0f}"
        names = [row["task"], row["cell"], row["optimizer"], length]
        printed.add_row(*names, solved, interval, median, *(str(row[column]) for column in extra))
    console.print(printed)
    console.print(f"in {out}: success_rate.csv, success_rate.png, error.png (and .svg)", soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.curves", description=__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", type=Path, help="searched for runs at any depth")
    parser.add_argument("--out", type=Path, help="where to write; default: the first DIR")
    arguments = parser.parse_args()
    try:
        report(arguments.directories, arguments.out)
    except ConfigurationError as error:
        refuse(error.problems)


if __name__ == "__main__":
    main()
