"""How far networks come whose sequences grow: one population's way, success against length, and what it has learned."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, ScalarFormatter

from src.figures.caption import captioned
from src.figures.lengths import METHODS, rates_within
from src.figures.lengths import TABLE as SINGLE
from src.intervals import wilson
from src.results.style import COLOURS, MARKERS, draw_rates

RESULTS = Path(__file__).resolve().parents[2] / "results"
ALPHA = RESULTS / "reach_alpha"

SINGLE_BUDGET = 100_000
"""Updates of those that are trained at one length from the beginning, with another start."""

SEEDS = 10
"""Of a point of the first figure; a length with fewer has none."""

CONTROL_BUDGET = 300_000
"""Updates of those that are trained at one length from the beginning, and else as those that grow."""

TICKS = (50, 100, 200, 400, 700, 1000)
AROUND = 30
"""Lengths on both sides of the last one of which the right panel shows each."""

SHOWN = 200
"""The longest length of the figure of mixed lengths."""

GROWING = {
    ("reach", "msgd"): "MSGD",
    ("reach", "msgd_c"): "MSGD-C",
    ("reach_alpha", "alpha_12"): "MSGD-CR, α = 12",
}
"""Runs of networks whose lengths grow, by folder and name, in words: a method each."""

MANY = {"msgd_c": "MSGD-C", "alpha_12": "MSGD-CR, α = 12"}
"""Runs of 45 networks whose lengths grow, in words."""

LIGHT = ("reach", "msgd_cr")
"""The run of MSGD-CR with P13's α = 4."""

CLOCKS = {
    "msgd_c": "MSGD-C, seeds 0-9",
    "far": "MSGD-CR, α = 4, seeds 10-19",
    "far_alpha_12": "MSGD-CR, α = 12, seeds 10-19",
    "alpha_12": "MSGD-CR, α = 12, seeds 0-9",
}
"""Runs whose networks' clocks were looked at, in words."""


def latest(clocks: pd.DataFrame, run: str) -> pd.DataFrame:
    """The networks of one run as they were when they were looked at last."""
    own = clocks[clocks["run"] == run]
    return own.sort_values("updates", kind="stable").drop_duplicates("seed", keep="last")


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


def reach(command: str, results: Path = RESULTS) -> Figure:
    """Left the longest length that each replica passed, right the share that came so far, beside single lengths."""
    figure = Figure(figsize=(10.6, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_single(right, rates_within(pd.read_csv(SINGLE), SINGLE_BUDGET))
    draw_control(right, pd.read_csv(results / "reach_control" / "replicas.csv"))
    for number, (run, name) in enumerate(GROWING.items()):
        own = of_run(results, *run)
        draw_shares(right, own, f"{name}, growing,\n{_thousands(own)} updates", number)
    ways = own
    light = of_run(results, *LIGHT)
    draw_shares(right, light, f"MSGD-CR, α = 4, growing,\n{_thousands(light)} updates", number, ls="--", lw=1)
    draw_ways(left, ways, number)
    left.set(title=f"{name}, growing, a line per replica", xlabel="updates", ylabel="longest length passed (steps)")
    left.set(yscale="log", xlim=(0, ways["updates"].max() * 1.03))
    right.set(title="share that passed T or more", xlabel="length T (steps)", ylabel="share of ten")
    right.set(xscale="log", xlim=(45, 1100), ylim=(-0.04, 1.04))
    for axis in (left.yaxis, right.xaxis):
        in_steps(axis, TICKS)
    left.xaxis.set_major_locator(MaxNLocator(3))
    left.grid(alpha=0.3)
    right.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = (
        "Temporal order, 50 tanh units, ten seeds (0-9), 95 % intervals. Growing: spectral start, momentum.\n"
        "Single, points set apart a little: one length from the beginning, α = 4; coloured: smart start, no momentum, "
        f"{SINGLE_BUDGET // 1000} 000 updates;\nblack: start, momentum and learning rates of those that grow, "
        f"{CONTROL_BUDGET // 1000} 000 updates. Commits: results/README.md."
    )
    return captioned(figure, caption, command)


def reach_many(command: str, results: Path = RESULTS) -> Figure:
    """The same of 45 seeds: the way of each, and the share that came so far."""
    figure = Figure(figsize=(10.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (run, name) in enumerate(MANY.items(), start=1):
        own = of_run(results, "reach_many", run)
        draw_ways(left, own, number)
        draw_shares(right, own, name, number)
    budget = int(own["budget"].iloc[0])
    left.set(title="a line per network", xlabel="updates", ylabel="longest length passed (steps)")
    left.set(yscale="log", xlim=(0, budget))
    right.set(title="share that passed T or more", xlabel="length T (steps)", ylabel="share of 45")
    right.set(xscale="log", xlim=(45, 1100), ylim=(-0.04, 1.04))
    for axis in (left.yaxis, right.xaxis):
        in_steps(axis, TICKS)
    left.grid(alpha=0.3)
    right.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8, loc="lower left")
    caption = (
        f"Temporal order, 50 tanh units, seeds 100-144, {_thousands(own)} updates, 95 % intervals. "
        "Commits: results/README.md."
    )
    return captioned(figure, caption, command)


def of_run(results: Path, folder: str, run: str) -> pd.DataFrame:
    """The lengths that the replicas of one run passed."""
    every = pd.read_csv(results / folder / "passed.csv")
    return every[every["run"] == run]


def _thousands(passed: pd.DataFrame) -> str:
    """The updates that a run has made, their thousands apart."""
    return f"{int(passed['budget'].iloc[0]):,}".replace(",", " ")


def in_steps(axis: Axis, ticks: tuple[int, ...]) -> None:
    """Ticks at these lengths, on a logarithmic axis."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())


def draw_shares(axis: Axes, passed: pd.DataFrame, label: str, number: int, ls: str = "-", lw: float = 2) -> None:
    """Draws the share of replicas that came to each length within their budget; an interval around a solid line."""
    table = passed_shares(passed, int(passed["budget"].iloc[0]), range(TICKS[0], TICKS[-1] + 1))
    axis.plot(table["length"], table["rate"], color=COLOURS[number], lw=lw, ls=ls, label=label)
    if ls == "-":
        axis.fill_between(table["length"], table["ci_low"], table["ci_high"], color=COLOURS[number], alpha=0.12, lw=0)


def draw_ways(axis: Axes, passed: pd.DataFrame, number: int) -> None:
    """Draws the longest length passed against updates, a line per replica, to the end of its budget or of the task."""
    for _, own in passed.dropna(subset=["length"]).groupby("seed"):
        updates, lengths = [*own["updates"]], [*own["length"]]
        if lengths[-1] < TICKS[-1]:
            updates.append(own["budget"].iloc[0])
            lengths.append(lengths[-1])
        axis.step(updates, lengths, where="post", color=COLOURS[number], lw=1, alpha=0.7)


def draw_single(axis: Axes, rates: pd.DataFrame) -> None:
    """Draws success rates of single lengths, as points."""
    chosen = rates[(rates["cell"] == "smart_tanh") & (rates["length"] >= TICKS[0])]
    for number, (method, name) in enumerate(METHODS.items()):
        line = chosen[chosen["optimizer"] == method].sort_values("length")
        look = {"color": COLOURS[number], "marker": MARKERS[number], "ls": ":", "label": f"{name}, single"}
        draw_rates(axis, line["length"] * 1.02 ** (number - 1), line, **look)


def draw_control(axis: Axes, replicas: pd.DataFrame) -> None:
    """Draws success rates of single lengths, of ten seeds, with the start and rates of those that grow."""
    falling = replicas[~replicas["run"].astype(str).str.endswith("_constant")]
    rates = rates_within(falling, CONTROL_BUDGET).sort_values("length")
    rates = rates[rates["replicas"] == SEEDS]
    look = {"color": "black", "marker": "x", "ls": ":", "label": "MSGD-CR, single,\nstart as of those that grow"}
    draw_rates(axis, rates["length"] * 1.05, rates, **look)


def own_length_only(command: str, folder: Path = ALPHA) -> Figure:
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


def mixed_lengths(command: str, results: Path = RESULTS) -> Figure:
    """Wrong answers at other lengths, of networks that have learned 100 steps alone, or mixed with shorter ones."""
    errors = pd.read_csv(results / "reach_mixing" / "evaluation.csv")
    figure = Figure(figsize=(10.6, 3.6), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axis, (mixing, own) in zip(panels, errors.groupby("run", sort=False), strict=True):
        networks = own["seed"].nunique()
        least = round(100 * float(mixing))
        lengths = "100 steps alone" if least == 100 else f"{least} to 100 steps"
        for _, each in own[own["length"] <= SHOWN].groupby("seed"):
            axis.plot(each["length"], 100 * each["error"], color=COLOURS[2], lw=1, marker=".", ms=4, alpha=0.7)
        axis.axvspan(least - 0.5, 100.5, color=COLOURS[4], alpha=0.25, lw=0)
        axis.axhline(75, color="0.6", ls=":", lw=1)
        axis.set(xscale="log", xlabel="length T (steps)", title=f"{lengths}: {networks} networks")
        in_steps(axis.xaxis, (50, 70, 100, 150, 200))
        axis.grid(alpha=0.3)
    panels[0].set_ylabel("wrong sequences (%)")
    caption = (
        "MSGD-CR, α = 12, lengths grew to 100 steps; who has solved that, at other lengths; 1000 sequences each.\n"
        "Yellow: lengths that were trained on at the end. Dotted: guessing. Commits: results/README.md."
    )
    return captioned(figure, caption, command)


def clocks(command: str, folder: Path = ALPHA) -> Figure:
    """Spectral radius, how slowly the clock turns and how early it is right, against the longest length passed."""
    every = pd.read_csv(folder / "clocks.csv")
    figure = Figure(figsize=(10.6, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    columns = ("spectral_radius", "quarter_turn", "right_early")
    for number, (run, name) in enumerate(CLOCKS.items()):
        own = latest(every, run)
        look = {"color": COLOURS[min(number + 1, 2)], "marker": MARKERS[number], "ls": "", "label": name}
        look["mfc"] = "none" if run == "far" else look["color"]
        for axis, column in zip(axes, columns, strict=True):
            axis.plot(own["length"], own[column], **look)
    radius, turn, early = axes
    radius.set(title="spectral radius of W", ylabel="ρ(W)")
    turn.set(title="how slowly the pattern turns", ylabel="steps of a quarter turn", yscale="log")
    early.set(title="how early it is right", ylabel="steps before the end", ylim=(-0.4, None))
    early.set_yscale("symlog", linthresh=1)
    early.yaxis.set_major_formatter(ScalarFormatter())
    for axis in axes:
        axis.set(xscale="log", xlabel="longest length passed (steps)")
        in_steps(axis.xaxis, (200, 400, 1000, 2000, 4000))
        axis.grid(alpha=0.3)
    radius.legend(frameon=False, fontsize=8, loc="center right")
    caption = "Ten networks of each, with the parameters that passed that length. Updates and commits: docs/clocks.md."
    return captioned(figure, caption, command)
