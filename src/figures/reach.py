"""How far networks come whose sequences grow: one population's way, success against length, and what it has learned."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, ScalarFormatter

from src.figures.caption import captioned
from src.figures.lengths import METHODS, rates_within
from src.figures.lengths import TABLE as SINGLE
from src.intervals import wilson
from src.results.style import COLOURS, MARKERS, draw_rates

FOLDER = Path(__file__).resolve().parents[2] / "results" / "reach"

SINGLE_BUDGET = 100_000
"""Updates of those that are trained at one length from the beginning."""

TICKS = (50, 100, 200, 400, 700, 1000)
AROUND = 30
"""Lengths on both sides of the last one of which the right panel shows each."""

NO_SEARCH = "no_search"
"""The run of MSGD-CR that always takes the next length, a twentieth longer."""


def passed_shares(passed: pd.DataFrame, budget: int, lengths: Iterable[float]) -> pd.DataFrame:
    """Share of replicas that passed each of some lengths, or a longer one, within a budget; Wilson's 95 % interval.

    Args:
        passed: a row per replica and length that it passed first after so many ``updates``; ``replicas`` of its run.
        budget: updates.
    """
    replicas = int(passed["replicas"].iloc[0])
    within = passed[passed["updates"] <= budget]
    furthest = within.groupby("seed")["length"].max()
    rows = []
    for length in lengths:
        count = int((furthest >= length).sum())
        rows.append([length, count / replicas, *wilson(count, replicas)])
    return pd.DataFrame(rows, columns=["length", "rate", "ci_low", "ci_high"])


def reach(command: str, folder: Path = FOLDER) -> Figure:
    """Left the longest length that each replica passed, right the share that came so far, beside single lengths."""
    every = pd.read_csv(folder / "passed.csv")
    passed = every[every["run"].isin(METHODS)]
    figure = Figure(figsize=(10.6, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    lengths = sorted(every["length"].dropna().unique())
    draw_ways(left, passed[passed["run"] == "msgd_cr"])
    draw_single(right, rates_within(pd.read_csv(SINGLE), SINGLE_BUDGET))
    for number, (method, name) in enumerate(METHODS.items()):
        own = passed[passed["run"] == method]
        thousands = int(own["budget"].iloc[0]) // 1000
        draw_shares(right, own, lengths, f"{name}, growing, {thousands} 000 updates", number)
    without = every[every["run"] == NO_SEARCH]
    draw_shares(right, without, lengths, "MSGD-CR, growing without search", number, ls="--", lw=1)
    left.set(title="MSGD-CR, growing, a line per replica", xlabel="updates", ylabel="longest length passed (steps)")
    left.set(yscale="log", xlim=(0, passed["updates"][passed["run"] == "msgd_cr"].max() * 1.03))
    right.set(title="how far they come", xlabel="length T (steps)", ylabel="share of ten that passed T or more")
    right.set(xscale="log", xlim=(45, 1100), ylim=(-0.04, 1.04))
    for axis in (left.yaxis, right.xaxis):
        axis.set_major_locator(FixedLocator(TICKS))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    left.xaxis.set_major_locator(MaxNLocator(3))
    left.grid(alpha=0.3)
    right.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = (
        "Temporal order, 50 tanh units, ten seeds (0-9), 95 % intervals. Growing: spectral start, momentum.\n"
        "Single: smart start, no momentum, one length from the beginning, "
        f"{SINGLE_BUDGET // 1000} 000 updates. Commits: results/README.md."
    )
    return captioned(figure, caption, command)


def draw_shares(
    axis: Axes, passed: pd.DataFrame, lengths: Iterable[float], label: str, number: int, ls: str = "-", lw: float = 2
) -> None:
    """Draws the share of replicas that came to each length within their budget; an interval around a solid line."""
    table = passed_shares(passed, int(passed["budget"].iloc[0]), lengths)
    axis.plot(table["length"], table["rate"], color=COLOURS[number], lw=lw, ls=ls, label=label)
    if ls == "-":
        axis.fill_between(table["length"], table["ci_low"], table["ci_high"], color=COLOURS[number], alpha=0.12, lw=0)


def draw_ways(axis: Axes, passed: pd.DataFrame) -> None:
    """Draws the longest length passed against updates, a line per replica."""
    for _, own in passed.groupby("seed"):
        axis.step(own["updates"], own["length"], where="post", color=COLOURS[2], lw=1, alpha=0.8)


def draw_single(axis: Axes, rates: pd.DataFrame) -> None:
    """Draws success rates of single lengths, as points."""
    chosen = rates[(rates["cell"] == "smart_tanh") & (rates["length"] >= TICKS[0])]
    for number, (method, name) in enumerate(METHODS.items()):
        line = chosen[chosen["optimizer"] == method].sort_values("length")
        look = {"color": COLOURS[number], "marker": MARKERS[number], "ls": ":", "label": f"{name}, single"}
        draw_rates(axis, line["length"] * 1.02 ** (number - 1), line, **look)


def own_length_only(command: str, folder: Path = FOLDER) -> Figure:
    """Wrong answers at other lengths, of networks that have learned 1000 steps; each length close to it."""
    errors = pd.read_csv(folder / "evaluation.csv")
    figure = Figure(figsize=(10.6, 3.8), layout="constrained")
    far, near = figure.subplots(1, 2, width_ratios=(1.2, 1), sharey=True)
    last = 1000
    for number, (seed, own) in enumerate(errors.groupby("seed")):
        look = {"color": f"C{number}", "lw": 1, "marker": ".", "ms": 4, "label": f"seed {seed}"}
        own = own.sort_values("length")
        close = own["length"].between(last - AROUND, last + AROUND)
        coarse = own[~close | (own["length"] == last)]
        far.plot(coarse["length"], 100 * coarse["error"], **look)
        near.plot(own["length"][close], 100 * own["error"][close], **look)
    far.set(xscale="log", xlabel="length T (steps)", ylabel="wrong sequences (%)", title="trained up to 1000 steps")
    near.set(xlabel="length T (steps)", title="each length near 1000")
    for axis in (far, near):
        axis.axhline(75, color="0.6", ls=":", lw=1)
        axis.grid(alpha=0.3)
    near.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = "Networks that have solved 1000 steps, at other lengths; 1000 sequences each. Dotted: guessing."
    return captioned(figure, caption, command)
