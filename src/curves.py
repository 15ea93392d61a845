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
from src.collect import Replica, collect, labels, losses, paired, success_rates
from src.config import ConfigurationError, refuse

BOARD = "curves"
"""Folder of the TensorBoard figures."""


def report(directories: Sequence[Path], out: Path | None = None) -> pd.DataFrame:
    """Writes success_rate.csv, success_rate and error as .png and .svg, and TensorBoard figures; prints the table. Of
    tasks whose answers are neither right nor wrong: loss.csv, loss.png and .svg.

    Args:
        directories: searched for runs at any depth.
        out: where to write; if not given, the directory, or ``curves`` for several.

    Raises:
        ConfigurationError: no results there, or conflicting ones.
    """
    replicas = collect(directories)
    if not replicas:
        raise ConfigurationError([f"no results under {', '.join(map(str, directories))}"])
    out = Path(out or (directories[0] if len(directories) == 1 else "curves"))
    out.mkdir(parents=True, exist_ok=True)
    graded, others = ([r for r in replicas if r.graded is yes] for yes in (True, False))
    shutil.rmtree(out / BOARD, ignore_errors=True)  # of an earlier report
    table, figures = pd.DataFrame(), {}
    if others:
        table = losses(others)
        table.to_csv(out / "loss.csv", index=False, float_format="%.6g")
        figures["loss"] = plots.loss(others)
        show_losses(others, table, out)
    if graded:
        table = success_rates(graded)
        table.to_csv(out / "success_rate.csv", index=False, float_format="%.6g")
        figures |= {"success_rate": plots.success_rate(graded), "error": plots.error(graded)}
        show(graded, table, out)
    with SummaryWriter(str(out / BOARD)) as board:
        for name, figure in figures.items():
            figure.savefig(out / f"{name}.png", dpi=150)
            figure.savefig(out / f"{name}.svg")
            board.add_figure(f"sweep/{name}", figure)
    return table


def show_losses(replicas: Sequence[Replica], table: pd.DataFrame, out: Path) -> None:
    """Prints the table of tasks without right and wrong answers."""
    names = labels(replicas)
    tasks = ", ".join(dict.fromkeys(table["task"]))
    printed = Table("method", title=f"{tasks}: medians over replicas", title_justify="left")
    for column in ("n", "epochs", "updates", "s", "loss", "test", "spikes"):
        printed.add_column(column, justify="right")
    for config, (_, row) in zip(table.attrs["configs"], table.iterrows(), strict=True):
        numbers = [f"{row[c]:,.0f}" for c in ("replicas", "epochs", "updates", "seconds")]
        numbers += [f"{row['loss']:.3g}", f"{row['test_loss']:.3g}", f"{row['spikes']:.0f}"]
        printed.add_row(names[config], *numbers)
    console = Console()
    console.print(printed)
    console.print(f"in {out}: loss.csv, loss.png (and .svg)", soft_wrap=True)


def show(replicas: Sequence[Replica], table: pd.DataFrame, out: Path) -> None:
    """Prints the table; what is the same in every row goes into its title."""
    names = labels(replicas)
    length = table["length"].astype(str) + table["max_length"].map(lambda v: "" if pd.isna(v) else f"-{v}")
    rows = pd.DataFrame({"task": table["task"], "cell": table["cell"], "length": length})
    rows["method"] = [names[config] for config in table.attrs["configs"]]
    same = [column for column in rows.columns if rows[column].nunique() == 1]
    title = ", ".join(["success rates", *(f"{column} {rows[column].iloc[0]}" for column in same)])
    rows["solved"] = table["solved"].astype(str) + "/" + table["replicas"].astype(str)
    rows["95 % interval"] = [
        "" if pd.isna(low) else f"{100 * low:.0f}-{100 * high:.0f} %"
        for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    rows["median solved at"] = table["median_solved_at"].map(lambda v: "" if pd.isna(v) else f"{v:,.0f}")
    if table["interrupted"].any():
        rows["interrupted"] = table["interrupted"].astype(str)
    shown = rows.drop(columns=same)
    printed = Table(title=title, title_justify="left", caption=paired(replicas), caption_justify="left")
    for column in shown.columns:
        printed.add_column(column, justify="right", overflow="fold")
    for row in shown.itertuples(index=False):
        printed.add_row(*row)
    console = Console()
    console.print(printed)
    console.print(f"in {out}: success_rate.csv, success_rate.png, error.png (and .svg)", soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.curves", description=__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", type=Path, help="searched for runs at any depth")
    parser.add_argument("--out", type=Path, help="where to write; default: DIR, or ./curves for several")
    arguments = parser.parse_args()
    try:
        report(arguments.directories, arguments.out)
    except ConfigurationError as error:
        refuse(error.problems)


if __name__ == "__main__":
    main()
