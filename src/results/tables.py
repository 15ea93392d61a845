"""Tables for people, printed."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from src.results.bits import BIT, WITHOUT, beside
from src.results.collect import Replica, by_config
from src.results.comparison import labels, paired
from src.rundir import ERROR, LOSS, REACH, REPLICAS, SUCCESS_RATE

MOST_ROWS = 100
"""Rows of success rates that are printed."""

FEW = 6
"""Most replicas that get a column of their own."""


def show_success_rates(replicas: Sequence[Replica], table: pd.DataFrame, out: Path) -> None:
    """Prints success rates; what is the same in every row goes into the title.

    Args:
        replicas: those that the table pools.
        table: of :func:`src.results.rates.success_rates`.
        out: where it was written.
    """
    names = labels(replicas)
    rows = pd.DataFrame({"task": table["task"], "cell": table["cell"], "length": _lengths(table)})
    rows["method"] = [names[config] for config in table.attrs["configs"]]
    same = [column for column in rows.columns if rows[column].nunique() == 1]
    title = ", ".join(["success rates", *(f"{column} {rows[column].iloc[0]}" for column in same)])
    rows["solved"] = _solved(table)
    rows["95 % interval"] = _intervals(table)
    rows["median solved at"] = table["median_solved_at"].map(lambda at: "" if pd.isna(at) else f"{at:,.0f}")
    printed = Table(title=title, title_justify="left", caption=paired(replicas), caption_justify="left")
    shown = rows.drop(columns=same)
    for column in shown.columns:
        printed.add_column(column, justify="right", overflow="fold")
    for row in shown.head(MOST_ROWS).itertuples(index=False):
        printed.add_row(*row)
    console = Console()
    console.print(printed)
    if len(shown) > MOST_ROWS:
        console.print(f"and {len(shown) - MOST_ROWS} more rows in {SUCCESS_RATE}.csv", highlight=False)
    written = f"{REPLICAS}.csv, {SUCCESS_RATE}.csv, {SUCCESS_RATE}.png, {ERROR}.png (and .svg)"
    console.print(f"in {out}: {written}", soft_wrap=True)


def show_reach(replicas: Sequence[Replica], out: Path) -> None:
    """Prints the longest length that each replica has passed, one row per configuration.

    Args:
        replicas: those whose lengths grow.
        out: where the table of shares was written.
    """
    names = labels(replicas)
    printed = Table("method", "longest length passed, by seed", title="lengths that grow", title_justify="left")
    for config, alike in by_config(replicas).items():
        reached = [replica.outcome["reached"] for replica in alike]
        printed.add_row(names[config], " ".join("-" if pd.isna(length) else f"{length:.0f}" for length in reached))
    console = Console()
    console.print(printed)
    console.print(f"in {out}: {REACH}.csv, {REACH}.png (and .svg)", soft_wrap=True)


def _solved(table: pd.DataFrame) -> list[str]:
    """Solved of all; where some replicas were interrupted, how many have solved the task so far."""
    texts = []
    for solved, finished, interrupted in table[["solved", "replicas", "interrupted"]].itertuples(index=False):
        so_far = " so far" if interrupted else ""
        texts.append(f"{solved}/{finished + interrupted}{so_far}")
    return texts


def _lengths(table: pd.DataFrame) -> pd.Series:
    """Lengths as text: one number, or the two ends of a range."""
    ends = table["max_length"].map(lambda longest: "" if pd.isna(longest) else f"-{longest}")
    return table["length"].astype(str) + ends


def _intervals(table: pd.DataFrame) -> list[str]:
    """Intervals in per cent; empty where nothing has finished."""
    texts = []
    for low, high in zip(table["ci_low"], table["ci_high"], strict=True):
        texts.append("" if pd.isna(low) else f"{100 * low:.0f}-{100 * high:.0f} %")
    return texts


def show_losses(replicas: Sequence[Replica], table: pd.DataFrame, out: Path) -> None:
    """Prints the losses of tasks whose answers are neither right nor wrong.

    Args:
        replicas: those that the table pools.
        table: of :func:`src.results.rates.losses`.
        out: where it was written.
    """
    names = labels(replicas)
    tasks = ", ".join(dict.fromkeys(table["task"]))
    several = table["cell"].nunique() > 1
    printed = Table("method", title=f"{tasks}: medians over replicas", title_justify="left")
    if several:
        printed.add_column("cell")
    for column in ("n", "epochs", "updates", "s", "loss", "test", "spikes"):
        printed.add_column(column, justify="right")
    for config, (_, row) in zip(table.attrs["configs"], table.iterrows(), strict=True):
        counts = [f"{row[column]:,.0f}" for column in ("replicas", "epochs", "updates", "seconds")]
        unit = 1.0 if pd.isna(row.get("test_bits")) else BIT
        losses = [f"{row['loss'] / unit:.3g}", f"{row['test_loss'] / unit:.3g}"]
        cell = [row["cell"]] if several else []
        printed.add_row(names[config], *cell, *counts, *losses, f"{row['spikes']:.0f}")
    console = Console()
    console.print(printed)
    if "test_bits" in table:
        console.print("losses of text are in bits per character", highlight=False)
        alike = [name for name in WITHOUT if name in table and table[name].nunique() == 1]  # one text, not several
        if alike:
            known = {name: float(table[name].dropna().iloc[0]) for name in alike}
            console.print(beside(known), highlight=False, soft_wrap=True)
    console.print(f"in {out}: {LOSS}.csv, {LOSS}.png (and .svg)", soft_wrap=True)


def show_evaluation(table: pd.DataFrame) -> None:
    """Prints errors in per cent, one row per length: the median and the worst replica, and each if they are few.

    Args:
        table: as evaluation.csv.
    """
    wide = 100 * table.pivot(index="length", columns="seed", values="error")
    columns = {"median": wide.median(axis=1), "worst": wide.max(axis=1)}
    if len(wide.columns) <= FEW:
        for seed in wide.columns:
            columns[f"seed {seed}"] = wide[seed]
    title = f"{table['task'][0]}: wrong of {table['sequences'][0]:,} sequences, %"
    printed = Table("length", *columns, title=title, title_justify="left")
    for column in printed.columns:
        column.justify = "right"
    for length in wide.index:
        printed.add_row(f"{length:,}", *(f"{values[length]:.2f}" for values in columns.values()))
    Console().print(printed)
