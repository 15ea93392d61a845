"""Tables of Pascanu, Mikolov & Bengio's statements."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from scipy.stats import binomtest, fisher_exact

from src.figures.lengths import METHODS, STARTS, rates_within
from tools.tables.words import NOT_RUN, interval, markdown, median, of, passes, probability, rate, read, thousands

LENGTHS = (10, 15, 20, 30, 40, 50, 75, 100, 150, 200)
FAR = (50, 100, 150, 200, 250, 500, 1000, 2000, 3000, 5000)
"""Lengths at which P13 reports the networks that were trained on 50 to 200."""


def solved_of_ten(budget: int) -> list[str]:
    """Solved of ten within so many updates, and the median of the updates to success in thousands."""
    replicas = read("pascanu_figure")
    replicas = replicas[replicas["trainer.max_steps"] >= budget]
    rates = rates_within(replicas, budget)
    assert (rates["replicas"] == 10).all()
    lengths = [length for length in LENGTHS if length in set(replicas["length"])]
    rows = []
    for cell, start in STARTS.items():
        for optimizer, method in METHODS.items():
            of_method = of(replicas, cell=cell, optimizer=optimizer)
            if of_method.empty:
                continue
            cells = []
            for length in lengths:
                alike = of_method[of_method["length"] == length]
                cells.append(_count(alike, budget) if len(alike) else NOT_RUN)
            rows.append([start, method, *cells])
    return markdown(["start", "method", *map(str, lengths)], rows)


def smart_start() -> list[str]:
    """Solved of ten within 100 000 updates from the smart start, at the lengths at which all three methods ran."""
    rates = rates_within(read("pascanu_figure"), 100_000).query("cell == 'smart_tanh'")
    counts = rates.pivot(index="optimizer", columns="length", values="solved").dropna(axis="columns").astype(int)
    names = ["MSGD, plain gradient descent", "MSGD-C, clipped", "MSGD-CR, clipped and with Ω"]
    rows = [[name, *map(str, counts.loc[method])] for name, method in zip(names, METHODS, strict=True)]
    return markdown(["solved of ten at length", *map(str, counts.columns)], rows)


def _count(alike: pd.DataFrame, budget: int) -> str:
    """How many had solved the task after so many updates; in brackets the median in thousands, if half of them had."""
    solved_at = alike["solved_at"].where(alike["solved_at"] <= budget, np.inf)
    solved = int(np.isfinite(solved_at).sum())
    middle = solved_at.median()
    return f"{solved} ({middle / 1000:.0f})" if np.isfinite(middle) else str(solved)


def intervals_of_ten() -> list[str]:
    """What a count of ten stands for."""
    counts = range(11)
    return markdown(["of ten", *map(str, counts)], [["interval, %", *(interval(k, 10)[1:-3] for k in counts)]])


def comparisons() -> list[str]:
    """Two methods on the same ten seeds after 100 000 updates: who solved more, Fisher's and the sign test's p."""
    replicas = read("pascanu_figure")
    pairs = [("msgd_c", "msgd"), ("msgd_cr", "msgd_c")]
    rows = []
    for cell, start in STARTS.items():
        for pair in pairs:
            found = {length: _compared(replicas, cell, length, pair) for length in LENGTHS}
            if sum(text != NOT_RUN for text in found.values()) > 1:
                rows.append([start, " : ".join(METHODS[one] for one in pair), *found.values()])
    return markdown(["start", "methods", *map(str, LENGTHS)], rows)


def _compared(replicas: pd.DataFrame, cell: str, length: int, pair: tuple[str, str]) -> str:
    """Solved by the one and by the other; two-sided p of counts and of pairs."""
    solved = []
    for optimizer in pair:
        alike = of(replicas, cell=cell, length=length, optimizer=optimizer).sort_values("seed")
        if alike.empty:
            return NOT_RUN
        solved.append((alike["solved_at"] <= 100_000).to_numpy())
    one, other = solved
    counts = [[one.sum(), (~one).sum()], [other.sum(), (~other).sum()]]
    only_one = int((one & ~other).sum())
    only_other = int((other & ~one).sum())
    unpaired = fisher_exact(counts).pvalue
    signs = binomtest(only_one, only_one + only_other).pvalue if only_one + only_other else 1.0
    return f"{one.sum()} : {other.sum()}<br>{probability(unpaired)}<br>{probability(signs)}"


def omega_unclipped() -> list[str]:
    """How Ω without clipping ended, at each start and length."""
    rows = []
    for (cell, length), alike in read("omega_unclipped").groupby(["cell", "length"], sort=False):
        unsolved = alike[alike["solved_at"].isna()]
        radii = unsolved["spectral_radius"]
        ends = f"{thousands(radii.min()) if radii.min() >= 10 else f'{radii.min():.1f}'} to {thousands(radii.max())}"
        diverged = int((alike["status"] == "diverged").sum())
        rows.append([STARTS[cell], str(length), rate(alike), str(diverged), ends if len(unsolved) else NOT_RUN])
    return markdown(["start", "length", "solved", "not finite", "ρ(W) of the unsolved at their end"], rows)


def clipping_thresholds() -> list[str]:
    """Success by threshold."""
    rows = []
    for threshold, alike in read("clipping_thresholds").groupby("optimizer.clip"):
        rows.append([f"{threshold:g}", rate(alike), median(alike)])
    return markdown(["θ", "solved", "median updates"], rows)


def chunk_limit() -> list[str]:
    """Solved of five by the steps that the gradient reaches back, and the range of the least errors."""
    steps = "callbacks.truncated_bptt.steps"
    replicas = read("chunk_limit")
    lengths = sorted(replicas[steps].unique())
    rows = []
    for task, of_task in replicas.groupby("task", sort=False):
        rows.append([task.replace("_", " "), *(_count_and_errors(of(of_task, **{steps: back})) for back in lengths)])
    return markdown(["gradient reaches back, steps", *(f"{back:.0f}" for back in lengths)], rows)


def _count_and_errors(alike: pd.DataFrame) -> str:
    """Solved, and the least and the largest of the best errors in per cent."""
    if alike.empty:
        return NOT_RUN
    low = 100 * alike["best_error"].min()
    high = 100 * alike["best_error"].max()
    return f"{alike['solved_at'].notna().sum()} of {len(alike)}<br>{low:.2g}–{high:.2g} %"


MIXED = {
    "one_percent": ("basic tanh", "under 1 % wrong", ".01"),
    "no_error": ("basic tanh", "none wrong", ".01"),
    "falling": ("basic tanh", "none wrong, goes on", ".01, halved every 200 000"),
    "smart": ("smart tanh", "none wrong", ".01"),
}
"""Start, rule and learning rate of each run of networks for the lengths from 50 to 200."""


def mixed_passes() -> list[str]:
    """When each seed first passed the test of ten drawn lengths."""
    replicas = read("pascanu_mixed")
    rows = []
    for run, names in MIXED.items():
        alike = of(replicas, run=run).sort_values("seed")
        at = ["not" if np.isnan(updates) else thousands(updates) for updates in alike["solved_at"]]
        rows.append([*names, *at, thousands(alike["updates"].max())])
    return markdown(
        ["start", "rule", "learning rate", *(f"seed {seed}" for seed in range(5)), "updates, at most"], rows
    )


def mixed_errors() -> list[str]:
    """How many networks make no error at each length, and the median of their errors."""
    evaluation = read("pascanu_mixed", "evaluation")
    rows = []
    for (run, updates), alike in evaluation.groupby(["run", "updates"], sort=False):
        cells = []
        for length in FAR:
            error = of(alike, length=length)["error"]
            cells.append(f"{(error == 0).sum()}<br>{100 * error.median():.2g}")
        start, rule, _ = MIXED[run]
        rows.append([f"{start}, {rule}", updates, thousands(alike["sequences"].iloc[0]), *cells])
    return markdown(["networks", "after updates", "sequences", *map(str, FAR)], rows)


def released_log() -> list[str]:
    """The log that came with the released code, beside our five seeds from its start, and from the other one."""
    columns = [_milestones(run) for run in ("smart", "no_error")]
    theirs = {
        "off chance (under 60 % wrong) after": "8 000",
        "first under 1 % wrong after": "280 000",
        "none wrong after": "336 000",
        "largest gradient norm, mean over 2 000 updates": "33 367",
        "ρ(W) at the end": "1.24",
    }
    rows = [[name, log, *(column[name] for column in columns)] for name, log in theirs.items()]
    return markdown(["milestone", "log, one run", "ours, smart tanh", "ours, basic tanh"], rows)


def _milestones(run: str) -> dict[str, str]:
    """When the seeds of a run came where, in the order of seeds."""
    history = of(read("pascanu_mixed", "history"), run=run).sort_values("step")
    replicas = of(read("pascanu_mixed"), run=run).sort_values("seed")
    seeds = [history[history["seed"] == seed] for seed in replicas["seed"]]
    return {
        "off chance (under 60 % wrong) after": _list(_first(own, 0.6) for own in seeds),
        "first under 1 % wrong after": _list(_first(own, 0.01) for own in seeds),
        "none wrong after": _list(_first(own, 1e-9) for own in seeds),
        "largest gradient norm, mean over 2 000 updates": _list(_power(own["grad_norm"].max()) for own in seeds),
        "ρ(W) at the end": _list(f"{radius:.2f}" for radius in replicas["spectral_radius"]),
    }


def _first(history: pd.DataFrame, error: float) -> str:
    """Updates at the first test with fewer wrong than this."""
    below = history.loc[history["error"] < error, "step"]
    return thousands(below.min()) if len(below) else "not"


def _power(number: float) -> str:
    """A number of a few digits, or a power of ten."""
    return thousands(number) if number < 1e6 else f"10^{np.log10(number):.0f}"


def _list(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def other_tasks() -> list[str]:
    """The tasks besides temporal order: a network for length 50, and one for 50 to 200."""
    alone = read("all_tasks")
    mixed = read("pascanu_tasks")
    rows = []
    for task in ("addition", "multiplication", "temporal_order_3bit", "permutation"):
        cells = [passes(of(replicas, task=task)) for replicas in (alone, mixed)]
        rows.append([task.replace("_", " "), *cells])
    return markdown(["task", "length 50", "50 to 200"], rows)


def memorization() -> list[str]:
    """Noiseless memorization: a network for each length."""
    replicas = read("pascanu_memorization")
    lengths = sorted(replicas["length"].unique())
    rows = []
    for task, of_task in replicas.groupby("task"):
        rows.append([task.replace("_", " "), *(passes(of(of_task, length=length)) for length in lengths)])
    return markdown(["task", *map(str, lengths)], rows)


TABLES: dict[str, Callable[[], list[str]]] = {
    "intervals_of_ten": intervals_of_ten,
    "smart_start": smart_start,
    "within_100_000": lambda: solved_of_ten(100_000),
    "within_300_000": lambda: solved_of_ten(300_000),
    "comparisons": comparisons,
    "omega_unclipped": omega_unclipped,
    "clipping_thresholds": clipping_thresholds,
    "chunk_limit": chunk_limit,
    "mixed_passes": mixed_passes,
    "mixed_errors": mixed_errors,
    "released_log": released_log,
    "other_tasks": other_tasks,
    "memorization": memorization,
}
"""What makes the table of each name."""
