"""Tables of networks and methods beside MSGD-CR."""

from collections.abc import Callable

import pandas as pd

from tools.tables.words import NOT_RUN, markdown, of, passes, read, thousands

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
        alike = of(replicas, cell=cell, optimizer=optimizer)
        rows.append([name, *(passes(of(alike, task=task)) for task in tasks)])
    return markdown(["network and method", *(task.replace("_", " ") for task in tasks)], rows)


SECONDS = {
    "rival_smart_tanh": "smart tanh, MSGD-CR",
    "msgd_c": "smart tanh, MSGD-C",
    "rival_l1": "the same, L1",
    "rival_l2": "the same, L2",
    "rival_irnn": "IRNN, MSGD-C",
    "rival_orthogonal": "orthogonal start, MSGD-C",
    "rival_echo_state": "echo state network",
    "rival_lstm": "LSTM, MSGD-C",
    "rival_lstm_adam": "LSTM, Adam, clipped",
}


def rivals_seconds() -> list[str]:
    """How long the rivals take on one core: solved, updates of those who did, seconds until the last of them."""
    replicas = read("rivals_seconds")
    rows = []
    for setting, name in SECONDS.items():
        own = of(replicas, setting=setting)
        rows.append([name, *_spent(of(own, task="temporal_order")), *_spent(of(own, task="addition"))])
    return markdown(["", "temporal order, 50 steps", "seconds", "addition, 20 steps", "seconds"], rows)


def hessian_free() -> list[str]:
    """Hessian-free optimization beside MSGD-CR: solved, updates of those who did, seconds until the last of them."""
    replicas = read("hessian_free")
    replicas = replicas[~replicas["optimizer.structural"].isin(FINE)]
    rows = []
    for (task, length), own in replicas.groupby(["task", "length"], sort=False):
        cells = [of(own, optimizer=optimizer) for optimizer in ("hessian_free", "msgd_cr")]
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
    replicas = of(read("hessian_free"), optimizer="hessian_free", length=200)
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


TABLES: dict[str, Callable[[], list[str]]] = {
    "rivals": rivals,
    "rivals_seconds": rivals_seconds,
    "hessian_free": hessian_free,
    "structural_damping": structural_damping,
}
"""What makes the table of each name."""
