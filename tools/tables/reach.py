"""Tables of networks whose lengths grow."""

from collections.abc import Callable, Sequence

import pandas as pd

from src.figures.lengths import STARTS
from src.figures.pairs import furthest
from src.figures.reach import MANY, latest
from src.intervals import wilson
from tools.tables.words import NOT_RUN, markdown, of, read, spread

BUDGET = 60_000
"""Updates that each replica has made whose lengths grow; some have made more."""

WAYS = {
    "msgd": "MSGD",
    "msgd_c": "MSGD-C",
    "simplex": "simplex direction",
    "heavy": "MSGD-CR, α = 12",
    "msgd_cr": "MSGD-CR, α = 4",
    "tenth_c": "MSGD-C, up to a tenth longer",
    "tenth": "MSGD-CR, α = 4, up to a tenth longer",
    "further": "MSGD-CR, α = 4, up to a tenth longer, back further",
    "no_search_m": "MSGD without search",
    "no_search_c": "MSGD-C without search",
    "no_search": "MSGD-CR, α = 4, without search",
    "no_momentum_c": "MSGD-C without momentum and search",
    "no_momentum": "MSGD-CR, α = 4, without momentum and search",
    "growth_102": "MSGD-CR, α = 4, without momentum and search, a fiftieth longer",
}
"""Runs of ten replicas, in words; all but heavy are in results/reach."""

EACH = {"msgd": "MSGD", "msgd_c": "MSGD-C", "msgd_cr": "MSGD-CR", "simplex": "simplex"}
"""The methods, and the runs of them from the spectral start, in words."""

TWICE = ("msgd", "msgd_c", "simplex", "heavy", "msgd_cr")
"""Those of which the table tells how far they had come by BUDGET too."""

SETTINGS = {
    "exponent_15": "exponent 1.5",
    "exponent_1": "exponent 1",
    "exponent_05": "exponent .5",
    "alpha_12": "exponent 1.5, α = 12",
    "check_100": "exponent 1.5, tests every 100 updates, patience 75",
    "mixing_9": "exponent 1.5, mixing .9",
    "mixing_5": "exponent 1.5, mixing .5",
    "search_15": "exponent 1, back to the nearest shorter length",
    "search_5": "exponent 1, the same after 5 tests",
    "cooling_9": "exponent 1, rate × .9 for each missed test",
    "cooling_7": "exponent 1, rate × .7 for each missed test",
    "mean_passed": "exponent 1, tested at the mean of the parameters since the last test, which who passes keeps",
    "mean_always": "exponent 1, the same, and all go on from there",
}
"""Runs of four replicas, in words."""


def reach() -> list[str]:
    """How far ten replicas came in each way, the three methods at two budgets, and how many passed some lengths."""
    heavy = of(read("reach_alpha", "passed"), run="alpha_12").assign(run="heavy")
    passed = pd.concat([read("reach", "passed"), heavy])
    lengths = (50, 100, 200, 400, 700, 1000)
    rows = []
    for run, name in WAYS.items():
        own = of(passed, run=run)
        last = int(own["budget"].iloc[0])
        for budget in sorted({BUDGET, last}) if run in TWICE else [last]:
            counts = [sum(length >= least for length in _reached(own, budget)) for least in lengths]
            rows.append([f"{name}, {budget:,} updates", *map(str, counts), _furthest(own, budget)])
    return markdown(["passed by, of ten", *map(str, lengths), "longest length of each"], rows)


def reach_settings() -> list[str]:
    """How far four replicas came with each setting."""
    passed = read("reach", "passed")
    first = passed[passed["seed"] <= 3]
    rows = [[name, _furthest(of(first, run=run))] for run, name in SETTINGS.items()]
    return markdown(["MSGD-CR without momentum and search", "longest length of seeds 0–3"], rows)


FACTORS = {"alpha": "α", "mixing": "mixing", "exponent": "exponent"}
"""What was varied at once, in words."""


def reach_factors() -> list[str]:
    """How far 126 networks came by each factor, with all values of the others."""
    passed = read("reach_factors", "passed")
    each = passed.groupby([*FACTORS, "seed"])["length"].max().fillna(0).rename("reached").reset_index()
    rows = []
    for factor, name in FACTORS.items():
        others = [other for other in (*FACTORS, "seed") if other != factor]
        pairs = each.pivot_table(index=others, columns=factor, values="reached")
        by_seed = pairs.groupby("seed").mean()
        first = by_seed.columns[0]
        for value, own in each.groupby(factor)["reached"]:
            low, middle, high = own.quantile([0.25, 0.5, 0.75])
            compared = ["", ""]
            if value != first:
                more = pairs[value] - pairs[first]
                compared = [f"{(more > 0).sum()} : {(more < 0).sum()}"]
                compared.append(f"{(by_seed[value] > by_seed[first]).sum()} of {len(by_seed)}")
            rows.append([f"{name} = {value:g}", len(own), f"{middle:.0f}", f"{low:.0f}–{high:.0f}", *compared])
    against = "than in the factor's first line"
    head = [
        "",
        "networks",
        "median length",
        "quartiles",
        f"pairs farther : less far {against}",
        f"seeds farther {against}",
    ]
    return markdown(head, [[str(cell) for cell in row] for row in rows])


FAR = (200, 400, 700, 1000, 1500, 2000, 3000)
"""Lengths of which the table of fresh seeds counts who passed them."""


FRESH = {
    "4": ("reach_far", None),
    "12": ("reach_alpha", "far_alpha_12"),
}
"""Folder and run of seeds 10–19, by the weight of Ω."""


def reach_far() -> list[str]:
    """How far ten replicas of fresh seeds came that may go beyond 1 000 steps, with two weights of Ω."""
    every = {alpha: _run(*place) for alpha, place in FRESH.items()}
    ends = {int(passed["budget"].iloc[0]) for passed in every.values()}
    rows = []
    for budget in sorted({BUDGET, *ends}):
        for alpha, passed in every.items():
            if budget > passed["budget"].iloc[0]:
                continue
            counts = [sum(length >= least for length in _reached(passed, budget)) for least in FAR]
            rows.append([f"α = {alpha}, {budget:,} updates", *map(str, counts), _furthest(passed, budget)])
    return markdown(["passed by, of ten", *map(str, FAR), "longest length of each"], rows)


def _run(folder: str, run: str | None) -> pd.DataFrame:
    """The lengths that the replicas of a run passed; None: all of the folder are one run."""
    passed = read(folder, "passed")
    return passed if run is None else of(passed, run=run)


def reach_many() -> list[str]:
    """How many of 45 replicas passed some lengths, at two budgets, and the interval of the last share."""
    lengths = (50, 100, 200, 400, 700, 1000)
    rows = []
    for run, name in MANY.items():
        own = of(read("reach_many", "passed"), run=run)
        for budget in (BUDGET, int(own["budget"].iloc[0])):
            reached = _reached(own, budget)
            counts = [sum(length >= least for length in reached) for least in lengths]
            low, high = wilson(counts[-1], len(reached))
            middle = f"{pd.Series(reached).median():.0f}"
            rows.append(
                [f"{name}, {budget:,} updates", *map(str, counts), f"{100 * low:.0f}–{100 * high:.0f} %", middle]
            )
    head = ["passed by, of 45", *map(str, lengths), "interval of 1000", "median length"]
    return markdown(head, rows)


def reach_batch() -> list[str]:
    """How far seven replicas came with batches of each size, by updates."""
    passed = read("reach_batch", "passed")
    passed = passed[passed["run"] != "10_far"]
    budgets = (10_000, 20_000)
    rows = [[str(run), *(_furthest(own, each) for each in budgets)] for run, own in passed.groupby("run", sort=True)]
    return markdown(["sequences a batch", *(f"longest length by {each:,} updates" for each in budgets)], rows)


def reach_rates() -> list[str]:
    """How far seven replicas came without Ω at each learning rate, and with it at one."""
    without = read("reach_rates", "passed")
    rows = [[f"MSGD-C, {float(run):g}", _furthest(own, 20_000)] for run, own in without.groupby("run", sort=True)]
    rows.append(["MSGD-CR, α = 12, 0.001", _furthest(of(read("reach_batch", "passed"), run="20"), 20_000)])
    return markdown(["learning rate at 50 steps", "longest length of seeds 20–26 by 20,000 updates"], rows)


LOOKED_AT = {
    "msgd_c": "MSGD-C, seeds 0–9",
    "far": "α = 4, seeds 10–19",
    "far_alpha_12": "α = 12, seeds 10–19",
    "alpha_12": "α = 12, seeds 0–9",
    "to_200_msgd_c": "MSGD-C, those that grew to 200",
    "to_200_alpha_12": "α = 12, those that grew to 200",
}
"""Runs whose networks' clocks were looked at."""


def clocks() -> list[str]:
    """Spectral radius and speed of networks whose clocks were looked at: the median, and the range."""
    every = read("reach_alpha", "clocks")
    columns = {"length": 0, "spectral_radius": 2, "quarter_turn": 0, "right_early": 0, "gradient": 2}
    rows = []
    for run, name in LOOKED_AT.items():
        own = latest(every, run)
        cells = [spread(own[column], digits) for column, digits in columns.items()]
        rows.append([name, str(len(own)), f"{own['updates'].max():,}", *cells])
    head = ["", "networks", "updates, at most", "length passed", "ρ(W)", "quarter turn", "right so early", "gradient"]
    return markdown(head, rows)


def reach_tasks() -> list[str]:
    """How far five replicas came in each task."""
    passed = read("reach_tasks", "passed")
    rows = []
    for task, own in passed.groupby("run", sort=False):
        budget = int(own["budget"].iloc[0])
        rows.append([str(task).replace("_", " "), f"{budget:,}", _furthest(own, budget)])
    return markdown(["task", "updates", "longest length of seeds 0–4"], rows)


def reach_starts() -> list[str]:
    """How far five replicas came from each start with each method."""
    spectral = read("reach", "passed")
    spectral = spectral[(spectral["seed"] <= 4) & spectral["run"].isin(EACH)].assign(cell="spectral")
    every = pd.concat([spectral, read("reach_starts", "passed")])
    names = STARTS | {"spectral": "spectral, ρ = 1.2", "lstm": "LSTM"}
    rows = []
    for cell, own in every.groupby("cell", sort=False):
        cells = [_furthest(of(own, optimizer=method)) for method in EACH]
        rows.append([names[str(cell)], *cells])
    return markdown(["longest length of seeds 0–4", *EACH.values()], rows)


def reach_control() -> list[str]:
    """Who learned one length from the beginning, and who came so far whose lengths grow, with Ω and without."""
    alone = read("reach_control", "replicas")
    constant = alone["run"].astype(str).str.endswith("_constant")
    lengths = sorted(alone["length"].unique())
    single = {
        "MSGD-CR, one length": alone[~constant],
        "the same, learning rate as at 50 steps": alone[constant],
        "MSGD-C, one length": read("reach_control_c", "replicas"),
    }
    rows = []
    for budget in (BUDGET, 300_000):
        for name, replicas in single.items():
            cells = _solved(replicas, lengths, budget)
            if set(cells) != {NOT_RUN}:
                rows.append([f"{name}, {budget:,} updates", *cells])
        for run, method in (("msgd_cr", "MSGD-CR"), ("msgd_c", "MSGD-C")):
            came = _reached(of(read("reach", "passed"), run=run), budget)
            counts = [f"{sum(each >= length for each in came)} of {len(came)}" for length in lengths]
            rows.append([f"{method}, growing from 50, that length or a longer one, {budget:,} updates", *counts])
    return markdown(["steps", *map(str, lengths)], rows)


def _solved(replicas: pd.DataFrame, lengths: Sequence[int], budget: int) -> list[str]:
    """How many of the replicas of each length had solved the task by then, of those with so large a budget."""
    enough = replicas[replicas["trainer.max_steps"] >= budget]
    alike = [enough[enough["length"] == length]["solved_at"] for length in lengths]
    return [f"{(own <= budget).sum()} of {len(own)}" if len(own) else NOT_RUN for own in alike]


def _reached(passed: pd.DataFrame, budget: int = BUDGET) -> list[float]:
    """The longest length that each replica passed within a budget, 0 where there is none; the largest first."""
    return sorted(furthest(passed, budget), reverse=True)


def _furthest(passed: pd.DataFrame, budget: int = BUDGET) -> str:
    return ", ".join(f"{length:.0f}" if length else NOT_RUN for length in _reached(passed, budget))


TABLES: dict[str, Callable[[], list[str]]] = {
    "reach": reach,
    "reach_settings": reach_settings,
    "reach_factors": reach_factors,
    "clocks": clocks,
    "reach_far": reach_far,
    "reach_many": reach_many,
    "reach_batch": reach_batch,
    "reach_rates": reach_rates,
    "reach_tasks": reach_tasks,
    "reach_starts": reach_starts,
    "reach_control": reach_control,
}
"""What makes the table of each name."""
