"""python tools/reproduction.py: writes the tables of README, REPRODUCTION and docs anew from the replicas in results/.

A table stands below a line ``<!-- table: NAME -->`` and ends at the next blank line. TABLES says what makes it.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest, fisher_exact

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.figures.lengths import METHODS, STARTS, rates_within  # noqa: E402
from src.figures.price import RUNS as PRICE  # noqa: E402
from src.intervals import wilson  # noqa: E402
from src.results.rates import spikes  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "REPRODUCTION.md", *sorted((ROOT / "docs").glob("*.md"))]
LENGTHS = (10, 15, 20, 30, 40, 50, 75, 100, 150, 200)
FAR = (50, 100, 150, 200, 250, 500, 1000, 2000, 3000, 5000)
"""Lengths at which P13 reports the networks that were trained on 50 to 200."""
NOT_RUN = "–"


def read(folder: str, table: str = "replicas") -> pd.DataFrame:
    """A table of results/."""
    return pd.read_csv(ROOT / "results" / folder / f"{table}.csv")


def _of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows that have these values in these columns."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


# -- numbers as text ---------------------------------------------------------------------------------------------------


def thousands(number: float) -> str:
    """A whole number, its thousands apart."""
    return f"{number:,.0f}".replace(",", " ")


def interval(solved: int, replicas: int) -> str:
    """Wilson's 95 % interval in per cent."""
    low, high = wilson(solved, replicas)
    return f"[{100 * low:.0f}–{100 * high:.0f} %]"


def rate(replicas: pd.DataFrame) -> str:
    """Solved of all, with the interval."""
    solved = int(replicas["solved_at"].notna().sum())
    return f"{solved} of {len(replicas)} {interval(solved, len(replicas))}"


def median(replicas: pd.DataFrame) -> str:
    """Median of the updates to success; who had none counts as later than any."""
    middle = replicas["solved_at"].fillna(np.inf).median()
    return thousands(middle) if np.isfinite(middle) else NOT_RUN


def fraction(value: float, digits: int = 2) -> str:
    """A number below 1 without the zero in front."""
    return f"{value:.{digits}f}".removeprefix("0")


def probability(p: float) -> str:
    """A p-value with one or two digits that count."""
    if p < 0.0005:
        return "< .001"
    if p < 0.0995:
        return fraction(p, 3)
    return fraction(p) if p < 0.995 else "1"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


# -- Pascanu, Mikolov & Bengio -----------------------------------------------------------------------------------------


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
            of_method = _of(replicas, cell=cell, optimizer=optimizer)
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
        alike = _of(replicas, cell=cell, length=length, optimizer=optimizer).sort_values("seed")
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
        rows.append([task.replace("_", " "), *(_count_and_errors(_of(of_task, **{steps: back})) for back in lengths)])
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
        alike = _of(replicas, run=run).sort_values("seed")
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
            error = _of(alike, length=length)["error"]
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
    history = _of(read("pascanu_mixed", "history"), run=run).sort_values("step")
    replicas = _of(read("pascanu_mixed"), run=run).sort_values("seed")
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
        cells = [_passes(_of(replicas, task=task)) for replicas in (alone, mixed)]
        rows.append([task.replace("_", " "), *cells])
    return markdown(["task", "length 50", "50 to 200"], rows)


def memorization() -> list[str]:
    """Noiseless memorization: a network for each length."""
    replicas = read("pascanu_memorization")
    lengths = sorted(replicas["length"].unique())
    rows = []
    for task, of_task in replicas.groupby("task"):
        rows.append([task.replace("_", " "), *(_passes(_of(of_task, length=length)) for length in lengths)])
    return markdown(["task", *map(str, lengths)], rows)


def _passes(alike: pd.DataFrame) -> str:
    """The rate, when the last one passed, or the least errors of those that did not."""
    if alike.empty:
        return NOT_RUN
    failed = alike["solved_at"].isna()
    text = rate(alike)
    if not failed.all():
        text += f"<br>the last after {thousands(alike['solved_at'].max())}"
    if failed.any():
        error = 100 * alike.loc[failed, "best_error"]
        budget = thousands(alike["updates"].max())
        text += f"<br>the others at best {error.min():.2g}–{error.max():.2g} % wrong within {budget}"
    return text


# -- Galvan ------------------------------------------------------------------------------------------------------------


def galvan_rho() -> list[str]:
    """Clipped SGD on temporal order by its start, at Galvan's setting and at another one."""
    replicas = read("galvan_rho")
    lengths = sorted(replicas["length"].unique())
    starts = {"ρ = 1.2": replicas["cell.spectral_radius"] == 1.2, "as drawn": replicas["cell.spectral_radius"].isna()}
    rows = []
    for batch, lr, updates in ((100, 0.001, 300_000), (20, 0.01, 100_000)):
        setting = f"batches of {batch}, lr {fraction(lr, 3).rstrip('0')}, {thousands(updates)} updates"
        for name, chosen in starts.items():
            alike = _of(
                replicas[chosen], **{"task.batch_size": batch, "optimizer.lr": lr, "trainer.max_steps": updates}
            )
            rates = [_of(alike, length=length) for length in lengths]
            rows.append([name, setting, *(rate(own) if len(own) else NOT_RUN for own in rates)])
    return markdown(["start", "setting", *map(str, lengths)], rows)


def galvan_simplex() -> list[str]:
    """Clipped SGD, the simplex direction, and the latter with switching, at length 50."""
    replicas = read("galvan_simplex")
    names = {"msgd_c": "clipped SGD", "simplex": "simplex direction", "simplex_switching": "with switching"}
    rows = [
        [name, rate(_of(replicas, optimizer=key)), median(_of(replicas, optimizer=key))] for key, name in names.items()
    ]
    return markdown(["method", "solved", "median updates"], rows)


RIVALS = {
    ("smart_tanh", "msgd_cr"): "smart tanh, MSGD-CR",
    ("lstm", "msgd_c"): "LSTM, MSGD-C",
    ("lstm", "adam"): "LSTM, Adam, clipped",
}


def rivals() -> list[str]:
    """A plain network with Ω beside LSTMs, at length 50."""
    replicas = read("rivals")
    tasks = ["temporal_order", "addition"]
    rows = []
    for (cell, optimizer), name in RIVALS.items():
        alike = _of(replicas, cell=cell, optimizer=optimizer)
        rows.append([name, *(_passes(_of(alike, task=task)) for task in tasks)])
    return markdown(["network and method", *(task.replace("_", " ") for task in tasks)], rows)


def hessian_free() -> list[str]:
    """Hessian-free optimization beside MSGD-CR: solved, updates of those who did, seconds until the last of them."""
    replicas = read("hessian_free")
    replicas = replicas[~replicas["optimizer.structural"].isin(FINE)]
    rows = []
    for (task, length), own in replicas.groupby(["task", "length"], sort=False):
        cells = [_of(own, optimizer=optimizer) for optimizer in ("hessian_free", "msgd_cr")]
        parts = [text for alike in cells for text in _spent(alike)]
        rows.append([f"{task.replace('_', ' ')}, {length}", *parts])
    methods = [f"{name}: solved, updates" for name in ("Hessian-free", "MSGD-CR")]
    seconds = "seconds until the last"
    order = sorted(rows, key=lambda row: (row[0].split(",")[0] != "temporal order", int(row[0].split(", ")[1])))
    return markdown(["task, length", methods[0], seconds, methods[1], seconds], order)


FINE = (0.0, 0.003, 0.01, 0.0333)
"""Values of μ beside the default at length 200."""


def structural_damping() -> list[str]:
    """Hessian-free optimization at length 200 with several structural dampings."""
    replicas = _of(read("hessian_free"), optimizer="hessian_free", length=200)
    rows = []
    for damping, own in replicas.groupby("optimizer.structural"):
        best = ", ".join(f"{100 * error:.1f}" for error in sorted(own["best_error"]))
        rows.append([f"{damping:g}", _spent(own)[0], best])
    return markdown(["μ", "solved, updates", "best error of each, %"], rows)


def _spent(alike: pd.DataFrame) -> list[str]:
    """How many solved the task, after how many updates, and the seconds of the last of them; without any, of all."""
    if alike.empty:
        return ["not run", NOT_RUN]
    solved = alike[alike["solved_at"].notna()]
    within = f"{len(solved)} of {len(alike)} within {thousands(alike['updates'].max())}"
    if solved.empty:
        return [within, f"{alike['seconds'].max():.0f}"]
    first, last = (thousands(bound) for bound in (solved["solved_at"].min(), solved["solved_at"].max()))
    steps = first if first == last else f"{first} to {last}"
    return [f"{within}: {steps}", f"{solved['seconds'].max():.0f}"]


# -- Muccino -----------------------------------------------------------------------------------------------------------


FURTHER = {
    "price_adagrad": "Adagrad, lr .01",
    "price_adadelta": "Adadelta, lr 1",
    "price_clip_01": "Adam, clipped at .1",
    "price_clip_05": "Adam, clipped at .5",
    "price_clip_5": "Adam, clipped at 5",
    "price_halves": "Adam, clipped at 1, 64 parts",
    "price_short": "Adam, clipped at 1, 10 parts",
    "printed_msgd": "printed code: SGD",
    "printed_rmsprop": "printed code: RMSprop",
    "printed_adam": "printed code: Adam",
}
"""Runs of the article's future work, and of its code as printed."""


def price() -> list[str]:
    """Training loss of the article's methods."""
    return _losses(PRICE)


def price_further() -> list[str]:
    """Training loss of its future work, and of the printed code."""
    return _losses(FURTHER)


def _losses(runs: dict[str, str]) -> list[str]:
    """Training loss after so many epochs: the median; at the end also the range; on fresh sequences; spikes."""
    return markdown(
        ["method", "after 5 epochs", "10", "20", "50", "range at 50", "fresh sequences", "updates", "spikes, by seed"],
        [_price_row(run, name) for run, name in runs.items()],
    )


def _price_row(run: str, name: str) -> list[str]:
    results = _of(read("price"), run=run)
    history = _of(read("price", "history"), run=run)
    losses = history.groupby("epoch")["loss"].median()
    digits = 5 if losses[50] < 0.002 else 4 if losses[50] < 0.01 else 3
    at = [fraction(losses[epoch], digits) for epoch in (5, 10, 20, 50)]
    ends = f"{fraction(results['loss'].min(), digits)}–{fraction(results['loss'].max(), digits)}"
    fresh = fraction(results["test_loss"].median(), digits)
    counts = [spikes(own) for _, own in history.groupby("seed")["loss"]]
    return [name, *at, ends, fresh, thousands(results["updates"].median()), ", ".join(map(str, counts))]


# -- lengths that grow -------------------------------------------------------------------------------------------------

BUDGET = 60_000
"""Updates that each replica has made whose lengths grow; some have made more."""

WAYS = {
    **METHODS,
    "tenth_c": "MSGD-C, up to a tenth longer",
    "tenth": "MSGD-CR, up to a tenth longer",
    "further": "the same, back further",
    "no_search_m": "MSGD without search",
    "no_search_c": "MSGD-C without search",
    "no_search": "MSGD-CR without search",
    "no_momentum_c": "MSGD-C without momentum and search",
    "no_momentum": "MSGD-CR without momentum and search",
    "growth_102": "the same, a fiftieth longer each time",
}
"""Runs of ten replicas, in words."""

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
    passed = read("reach", "passed")
    lengths = (50, 100, 200, 400, 700, 1000)
    rows = []
    for run, name in WAYS.items():
        own = _of(passed, run=run)
        last = int(own["budget"].iloc[0])
        for budget in sorted({BUDGET, last}) if run in METHODS else [last]:
            counts = [sum(length >= least for length in _reached(own, budget)) for least in lengths]
            rows.append([f"{name}, {budget:,} updates", *map(str, counts), _furthest(own, budget)])
    return markdown(["passed by, of ten", *map(str, lengths), "longest length of each"], rows)


def reach_settings() -> list[str]:
    """How far four replicas came with each setting."""
    passed = read("reach", "passed")
    first = passed[passed["seed"] <= 3]
    rows = [[name, _furthest(_of(first, run=run))] for run, name in SETTINGS.items()]
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


def reach_far() -> list[str]:
    """How far ten replicas of fresh seeds came that may go beyond 1 000 steps."""
    passed = read("reach_far", "passed")
    rows = []
    for budget in (BUDGET, int(passed["budget"].iloc[0])):
        counts = [sum(length >= least for length in _reached(passed, budget)) for least in FAR]
        rows.append([f"{budget:,} updates", *map(str, counts), _furthest(passed, budget)])
    return markdown(["passed by, of ten", *map(str, FAR), "longest length of each"], rows)


def reach_alpha() -> list[str]:
    """How far ten replicas came with two weights of Ω, twice: seeds 0–9 and fresh ones."""
    lengths = (200, 400, 700, 1000)
    heavy = read("reach_alpha", "passed")
    rows = []
    for seeds, light, run in (
        ("0–9", _of(read("reach", "passed"), run="msgd_cr"), "alpha_12"),
        ("10–19", read("reach_far", "passed"), "far_alpha_12"),
    ):
        own = _of(heavy, run=run)
        budget = int(own["budget"].iloc[0])
        for alpha, passed in (("4", light), ("12", own)):
            counts = [sum(length >= least for length in _reached(passed, budget)) for least in lengths]
            rows.append(
                [f"α = {alpha}, seeds {seeds}, {budget:,} updates", *map(str, counts), _furthest(passed, budget)]
            )
    return markdown(["passed by, of ten", *map(str, lengths), "longest length of each"], rows)


def reach_tasks() -> list[str]:
    """How far five replicas came in each task."""
    passed = read("reach_tasks", "passed")
    rows = []
    for task, own in passed.groupby("run", sort=False):
        budget = int(own["budget"].iloc[0])
        rows.append([str(task).replace("_", " "), f"{budget:,}", _furthest(own, budget)])
    return markdown(["task", "updates", "longest length of seeds 0–4"], rows)


def reach_starts() -> list[str]:
    """How far five replicas came from each start."""
    passed = read("reach", "passed")
    rows = [["spectral, ρ = 1.2", _furthest(_of(passed[passed["seed"] <= 4], run="msgd_cr"))]]
    for cell, own in read("reach_starts", "passed").groupby("run", sort=False):
        rows.append([STARTS[str(cell)], _furthest(own)])
    return markdown(["start", "longest length of seeds 0–4"], rows)


def reach_control() -> list[str]:
    """Of five replicas that learn one length from the beginning, and of the same seeds whose lengths grow."""
    alone = read("reach_control", "replicas")
    passed = read("reach", "passed")
    growing = _reached(_of(passed[passed["seed"] <= 4], run="msgd_cr"))
    lengths = sorted(alone["length"].unique())
    of_one = [f"{own['solved'].sum()} of {len(own)}" for own in (alone[alone["length"] == each] for each in lengths)]
    of_many = [f"{sum(each >= length for each in growing)} of 5" for length in lengths]
    head = ["steps", *(f"{length}" for length in lengths)]
    return markdown(head, [["one length from the beginning", *of_one], ["growing from 50", *of_many]])


def _reached(passed: pd.DataFrame, budget: int = BUDGET) -> list[float]:
    """The longest length that each replica passed within a budget, 0 where there is none; the largest first."""
    within = passed[passed["updates"] <= budget].groupby("seed")["length"].max()
    return sorted(within.reindex(passed["seed"].unique()).fillna(0), reverse=True)


def _furthest(passed: pd.DataFrame, budget: int = BUDGET) -> str:
    return ", ".join(f"{length:.0f}" if length else NOT_RUN for length in _reached(passed, budget))


# -- patient records ---------------------------------------------------------------------------------------------------


def records() -> list[str]:
    """AUC and interval of the networks, of the regression and of their difference, in each cohort."""
    areas = read("records", "auc")
    rows = []
    for (cohort, shuffled), own in areas.groupby(["task.cohort", "task.shuffled"], sort=False):
        first = own.iloc[0]
        cells = [_area(row) for _, row in own.iterrows()]
        words = ", outcomes shuffled" if shuffled else ""
        rows.append([f"{cohort}{words}", str(first["patients"]), str(first["damage"]), *cells])
    return markdown(["patients", "who count", "with damage", "network", "last visit", "difference"], rows)


def _area(row: pd.Series) -> str:
    low, high = (fraction(row[column], 3).replace("-0", "−") for column in ("ci_low", "ci_high"))
    return f"{fraction(row['auc'], 3)} ({low} to {high})"


# -- text --------------------------------------------------------------------------------------------------------------


def text_omega() -> list[str]:
    """Bits per character for each α, constant and falling, and of how many seeds they are fewer than without Ω."""
    replicas = read("text_omega").assign(bits=lambda table: table["test_loss"] / np.log(2))
    without = _of(replicas, optimizer="msgd_c").set_index("seed")["bits"]
    rows = []
    for (alpha, decay), own in replicas.groupby(["optimizer.alpha", "optimizer.alpha_decay"], dropna=False):
        bits = own.set_index("seed")["bits"]
        words = f"α = {alpha:g}{'' if np.isnan(decay) else ', falling'}" if alpha else "no Ω (MSGD-C)"
        fewer = f"{(bits < without).sum()} of {len(bits)}" if alpha else NOT_RUN
        rows.append([words, fraction(bits.median(), 3), f"{fraction(bits.min(), 3)}–{fraction(bits.max(), 3)}", fewer])
    return markdown(["", "bits, median of five", "range", "fewer than without Ω"], rows)


def text_parts() -> list[str]:
    """Bits per character by the steps that the gradient reaches back."""
    replicas = read("text_parts").assign(bits=lambda table: table["test_loss"] / np.log(2))
    rows = []
    for steps, own in replicas.groupby("callbacks.truncated_bptt.steps"):
        bits = own["bits"]
        shown = f"{fraction(bits.min(), 3)}–{fraction(bits.max(), 3)}"
        rows.append([f"{steps}", thousands(own["updates"].median()), fraction(bits.median(), 3), shown])
    return markdown(["characters of a part", "updates", "bits, median of three", "range"], rows)


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
    "galvan_rho": galvan_rho,
    "galvan_simplex": galvan_simplex,
    "rivals": rivals,
    "hessian_free": hessian_free,
    "structural_damping": structural_damping,
    "price": price,
    "price_further": price_further,
    "reach": reach,
    "reach_settings": reach_settings,
    "reach_factors": reach_factors,
    "reach_alpha": reach_alpha,
    "reach_far": reach_far,
    "reach_tasks": reach_tasks,
    "reach_starts": reach_starts,
    "reach_control": reach_control,
    "records": records,
    "text_omega": text_omega,
    "text_parts": text_parts,
}
"""What makes the table of each name."""


def rewritten(page: str) -> str:
    """A page with all its tables made anew."""

    def table(found: re.Match[str]) -> str:
        return "\n".join([found[1], *TABLES[found[2]]()])

    return re.sub(r"(<!-- table: (\w+) -->)(?:\n\|.*)*", table, page)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rewritten(page.read_text()))
