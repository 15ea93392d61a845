"""Success of Ω's rivals against length, and against seconds, from results/."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.figures.caption import captioned
from src.intervals import wilson
from src.results.style import COLOURS, MARKERS, draw_rates

RESULTS = Path(__file__).resolve().parents[2] / "results"

NAMES = {
    "rival_smart_tanh": "smart tanh, Ω (MSGD-CR)",
    "msgd_c": "smart tanh, clipping alone (MSGD-C)",
    "rival_l1": "smart tanh, clipping and L1",
    "rival_l2": "smart tanh, clipping and L2",
    "rival_irnn": "IRNN",
    "rival_orthogonal": "orthogonal start",
    "rival_echo_state": "echo state network",
}
"""Each line of the left panel; all but the first have clipping and no Ω."""

OTHERS = {
    "rival_lstm": "LSTM, clipping alone",
    "rival_lstm_adam": "LSTM, Adam with clipping",
    "rival_hessian_free": "smart tanh, Hessian-free",
}
"""Lines of the right panel besides."""

BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, BLACK = COLOURS

LOOKS = {
    "rival_smart_tanh": (GREEN, "-"),
    "msgd_c": (VERMILION, "-"),
    "rival_l1": (VERMILION, "--"),
    "rival_l2": (VERMILION, ":"),
    "rival_irnn": (ORANGE, "-"),
    "rival_orthogonal": (SKY, "-"),
    "rival_echo_state": (BLACK, "-"),
    "rival_lstm": (PINK, "-"),
    "rival_lstm_adam": (PINK, "--"),
    "rival_hessian_free": (BLUE, "-."),
}
"""Colour and dashes of each line; MSGD-C and MSGD-CR have those that they have in every figure."""

LENGTH = 50
"""Steps of the sequences of the right panel."""

SHIFT = 1.012
"""Factor between two lines at one length, or their intervals would hide each other."""


def rival_rows() -> pd.DataFrame:
    """A row per replica with its setting; those of clipping alone are from the runs of P13's figure."""
    rivals = pd.read_csv(RESULTS / "rivals_length" / "replicas.csv")
    budget = rivals["trainer.max_steps"].max()
    figure = pd.read_csv(RESULTS / "pascanu_figure" / "replicas.csv")
    alone = figure[(figure["cell"] == "smart_tanh") & (figure["optimizer"] == "msgd_c")]
    alone = alone[alone["length"].isin(rivals["length"].unique())].assign(setting="msgd_c")
    rows = pd.concat([rivals, alone], ignore_index=True)
    return rows.assign(solved=rows["solved_at"] <= budget)


def rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Success rate with Wilson's 95 % interval, by setting and length."""
    found = []
    for (setting, length), alike in rows.groupby(["setting", "length"]):
        solved = int(alike["solved"].sum())
        found.append([setting, length, solved / len(alike), *wilson(solved, len(alike))])
    return pd.DataFrame(found, columns=["setting", "length", "rate", "ci_low", "ci_high"])


def rivals(command: str) -> Figure:
    """Two panels: success against length, and the share that has solved the task against seconds."""
    rows = rival_rows()
    figure = Figure(figsize=(11.0, 6.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    _by_length(left, rates(rows))
    _by_seconds(right, seconds_rows())
    budget = f"{rows['trainer.max_steps'].min():,.0f}".replace(",", " ")
    caption = (
        f"Temporal order, 50 units. Left: batches of 20, learning rate .01, {budget} updates; ten seeds per point "
        "(0-9), Wilson's 95 % intervals.\nRight: the same budget, five seeds, while the other core had other work; "
        "tests every 2 000 updates, Hessian-free's every 5.\nLines are set apart a little. Commits: results/README.md."
    )
    return captioned(figure, caption, command)


def _by_length(axis: Axes, found: pd.DataFrame) -> None:
    """Draws a line per setting; lengths on a logarithmic axis."""
    for k, (setting, name) in enumerate(NAMES.items()):
        line = found[found["setting"] == setting].sort_values("length")
        x = line["length"] * SHIFT ** (k - len(NAMES) // 2)
        colour, dashes = LOOKS[setting]
        draw_rates(axis, x, line, color=colour, ls=dashes, marker=MARKERS[k], label=name)
    lengths = sorted(found["length"].unique())
    axis.set(xscale="log", xlabel="length T (steps)", ylabel="success rate", ylim=(-0.04, 1.04))
    axis.set(title="success against length, ten seeds")
    axis.set_xticks(lengths, [str(length) for length in lengths])
    axis.minorticks_off()
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


def seconds_rows() -> pd.DataFrame:
    """A row per replica of the right panel; those of Hessian-free optimization are from runs of their own."""
    timed = pd.read_csv(RESULTS / "rivals_seconds" / "replicas.csv")
    solver = pd.read_csv(RESULTS / "hessian_free" / "replicas.csv")
    solver = solver[solver["optimizer"] == "hessian_free"].assign(setting="rival_hessian_free")
    rows = pd.concat([timed, solver], ignore_index=True)
    return rows[(rows["task"] == "temporal_order") & (rows["length"] == LENGTH)]


def _by_seconds(axis: Axes, rows: pd.DataFrame) -> None:
    """Draws steps: who has solved the task within so many seconds."""
    last = rows["seconds"].max()
    for k, (setting, name) in enumerate((NAMES | OTHERS).items()):
        own = rows[rows["setting"] == setting]
        seconds = np.sort(own.loc[own["solved_at"].notna(), "seconds"].to_numpy())
        shares = np.arange(len(seconds) + 1) / len(own)
        x = np.concatenate([[1.0], seconds, [last if len(seconds) == len(own) else own["seconds"].max()]])
        y = np.concatenate([shares, shares[-1:]]) + 0.004 * (k - len(NAMES) // 2)
        colour, dashes = LOOKS[setting]
        axis.step(x, y, where="post", color=colour, ls=dashes, label=name)
    axis.set(xscale="log", xlabel="seconds", ylabel="share that has solved the task", ylim=(-0.04, 1.04))
    axis.set(title=f"success against time, {LENGTH} steps, five at once on one core")
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
