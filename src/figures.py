"""python -m src.figures NAME|all: the figures that explain, recomputed, as PNG and SVG.

One unit without input, x_t = w σ(x_{t-1}) + b with logistic σ, its bifurcations and its error surface (P13); temporal
gradients and Jacobians of networks at their start (G16); success by spectral radius, from a sweep (G16).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from src.callbacks.diagnostics import measure
from src.config import refuse
from src.network import Network
from src.results.style import COLOURS, MARKERS, drawable
from src.rundir import SUCCESS_RATE, table_file
from tasks.datamodule import TrainingData, collate

ROOT = Path(__file__).resolve().parent.parent
RADII = (0.8, 0.9, 1.0, 1.1, 1.2)
"""Of W at the start (G16)."""

STEPS, START, TARGET = 50, 0.5, 0.7
"""Of the surface: (σ(x_50) - .7)², x_0 = .5 (P13)."""


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# -- bifurcations of one unit ------------------------------------------------------------------------------------------


def turning_points(w: float) -> tuple[float, float]:
    """The two b between which one unit has two attractors: there a fixed point x = w σ(x) + b has slope w σ'(x) = 1,
    that is σ(x) = (1 ± √(1 - 4/w)) / 2.

    Raises:
        ValueError: w <= 4, where there is one attractor for every b.
    """
    if w <= 4:
        raise ValueError(f"w = {w}: there are two attractors only above 4")
    h = (1 + np.array([1.0, -1.0]) * np.sqrt(1 - 4 / w)) / 2
    low, high = np.log(h / (1 - h)) - w * h
    return float(low), float(high)


def asymptote(w: float, b: np.ndarray, x: float, steps: int = 5000) -> np.ndarray:
    """Where x_t = w σ(x_{t-1}) + b ends from one start, for each b."""
    x_b = np.full_like(b, x)
    for _ in range(steps):
        x_b = w * logistic(x_b) + b
    return x_b


def bifurcation(command: str) -> Figure:
    """Fixed points of one unit against b, w = 5, and where it ends from a low and from a high start."""
    w = 5.0
    low, high = turning_points(w)
    figure = Figure(figsize=(6.2, 4.4), layout="constrained")
    axis = figure.subplots()
    x = np.linspace(-5, 5, 4001)
    b, stable = x - w * logistic(x), w * logistic(x) * (1 - logistic(x)) < 1
    axis.axvspan(low, high, color="0.93", label="two attractors")
    axis.plot(np.where(stable, b, np.nan), x, color=COLOURS[0], lw=2, label="attractor")
    axis.plot(np.where(stable, np.nan, b), x, color="0.3", ls="--", lw=1.2, label="border of the two basins")
    some = np.linspace(-3.4, -1.6, 46)
    for start, marker in ((-5.0, "v"), (5.0, "^")):
        ends = asymptote(w, some, start)
        axis.plot(some, ends, marker, color=COLOURS[1], ms=4, ls="", label=f"after 5000 steps from x = {start:g}")
    for border, name, side in ((low, "b_1", "right"), (high, "b_2", "left")):
        axis.axvline(border, color="0.6", lw=0.8)
        axis.text(border, 4.6, f" ${name} = {border:.3f}$ ", ha=side, fontsize=9)
    axis.set(xlim=(-3.4, -1.6), ylim=(-4.5, 5), xlabel="bias b", ylabel="$x_\\infty$")
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    axis.grid(alpha=0.3)
    caption = (
        "One unit, $x_t = 5\\,\\sigma(x_{t-1}) + b$. Where b crosses $b_1$ or $b_2$ an attractor appears or is gone,\n"
        "and the state may end elsewhere; so it may wherever, by a small change, it comes to lie on the\n"
        "other side of the dashed border (P13)."
    )
    return _captioned(figure, caption, command)


# -- error surface of one unit -----------------------------------------------------------------------------------------


def surface(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(σ(x_50) - .7)² and its derivatives by w and b, for each pair."""
    w, b = np.broadcast_arrays(np.asarray(w, dtype=float), np.asarray(b, dtype=float))
    x, by_w, by_b = np.full(w.shape, START), np.zeros(w.shape), np.zeros(w.shape)
    for _ in range(STEPS):
        h = logistic(x)
        through = w * h * (1 - h)
        x, by_w, by_b = w * h + b, h + through * by_w, 1 + through * by_b
    h = logistic(x)
    by_x = 2 * (h - TARGET) * h * (1 - h)
    return (h - TARGET) ** 2, by_x * by_w, by_x * by_b


def descend(start: tuple[float, float], lr: float, clip: float, updates: int) -> np.ndarray:
    """Gradient descent on the surface, the gradient's norm bounded by ``clip``: (w, b) after each update."""
    at, path = np.array(start), [np.array(start)]
    for _ in range(updates):
        _, by_w, by_b = surface(at[0], at[1])
        gradient = np.array([by_w, by_b])
        norm = np.linalg.norm(gradient)
        at = at - lr * gradient * min(1.0, clip / norm if norm > 0 else 1.0)
        path.append(at)
    return np.array(path)


def error_surface(command: str) -> Figure:
    """The surface with its wall, and two descents: plain, which the wall throws far away, and clipped."""
    figure = Figure(figsize=(10.6, 4.9), layout="constrained")
    w, b = np.meshgrid(np.linspace(3.9, 6.1, 221), np.linspace(-3.3, -1.6, 221), indexing="ij")
    loss, *_ = surface(w, b)
    solid = figure.add_subplot(1, 2, 1, projection="3d")
    solid.plot_surface(w, b, loss, cmap="viridis", rcount=110, ccount=110, lw=0, antialiased=False, rasterized=True)  # type: ignore[attr-defined]
    solid.view_init(32, -58)  # type: ignore[attr-defined]
    solid.set(xlabel="w", ylabel="b", zlabel="loss")
    flat = figure.add_subplot(1, 2, 2)
    drawn = flat.contourf(w, b, loss, levels=24, cmap="viridis")
    figure.colorbar(drawn, ax=flat, label="loss")
    start, lr, updates = (5.0, -2.4), 0.1, 300
    words = []
    for clip, name, colour in ((np.inf, "plain", COLOURS[1]), (1.0, "clipped, $\\theta = 1$", "white")):
        path = descend(start, lr, clip, updates)
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        flat.plot(*path.T, "-o", color=colour, ms=2.5, lw=1, label=name)
        final = float(surface(*path[-1])[0])
        words.append(
            f"{name}: longest step {steps.max():.2f}, after {updates} updates at "
            f"({path[-1][0]:.2f}, {path[-1][1]:.2f}), loss {final:.2g}"
        )
    flat.plot(*start, "*", color="white", mec="black", ms=12, label="start")
    flat.set(xlim=(3.9, 6.1), ylim=(-3.3, -1.6), xlabel="w", ylabel="b")
    flat.legend(fontsize=8, facecolor="0.5", labelcolor="black", loc="lower right")
    steepest = np.nanmax(np.hypot(*surface(w, b)[1:]))
    caption = (
        "One unit, $x_t = w\\,\\sigma(x_{t-1}) + b$, $x_0 = .5$, loss $(\\sigma(x_{50}) - .7)^2$ (P13): a wall, "
        f"on which the gradient's norm reaches {steepest:.0f} on this grid.\n"
        f"Gradient descent, learning rate {lr}: " + ";\n".join(words) + "."
    )
    return _captioned(figure, caption, command)


# -- networks at their start -------------------------------------------------------------------------------------------


def at_the_start(radius: float, length: int, seeds: int) -> dict[str, np.ndarray]:
    """What src.callbacks.diagnostics measures before the first update: temporal order, 50 tanh units, σ = .1."""
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        keys = ["cell=spectral", f"cell.spectral_radius={radius}", f"task.length={length}"]
        cfg = hydra.compose("train", overrides=keys)
    task, cell = hydra.utils.instantiate(cfg.task), hydra.utils.instantiate(cfg.cell)
    data = TrainingData(task)
    batch = collate([data(seed, 0) for seed in range(seeds)])
    return measure(Network.start(cell, task, range(seeds)), task, batch, sequences=4)


def gradients_at_the_start(command: str, length: int = 100, seeds: int = 10) -> Figure:
    """‖∇_t‖ and ‖∂a_T/∂a_t‖ against t for W of several spectral radii."""
    figure = Figure(figsize=(10.6, 4.9), layout="constrained")
    axes = figure.subplots(1, 2)
    t = np.arange(1, length + 1)
    for radius, colour in zip(RADII, COLOURS, strict=False):
        found = at_the_start(radius, length, seeds)
        for axis, name in zip(axes, ("temporal_gradient", "jacobian"), strict=True):
            low, middle, high = (drawable(np.quantile(found[name], q, axis=0)) for q in (0, 0.5, 1))
            axis.plot(t, middle, color=colour, lw=1.8, label=f"$\\rho = {radius:g}$")
            axis.fill_between(t, low, high, color=colour, alpha=0.15, lw=0)
        axes[1].plot(t, drawable(np.median(found["bound"], axis=0)), color=colour, lw=0.9, ls=":")
    axes[0].set(xlabel="step t", ylabel="$\\|\\nabla_t\\|$, all parameters", yscale="log")
    axes[1].set(xlabel="step t", ylabel="$\\|\\partial a_T / \\partial a_t\\|_2$", yscale="log", ylim=(1e-12, 1e12))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    caption = (
        f"At the start: temporal order, length {length}, 50 tanh units, W scaled to spectral radius $\\rho$; median "
        f"and range of {seeds} seeds (0-{seeds - 1}), one mini-batch of 20 each.\n"
        "Dotted: the bound $(\\sigma'_{max}\\,\\mu_{max})^{T-t}$, $\\mu_{max}$ the largest singular value of W "
        "(G16, eq. 24): far above what happens."
    )
    return _captioned(figure, caption, command)


# -- success by spectral radius ----------------------------------------------------------------------------------------

PUBLISHED = {
    "G16, $\\rho$ > 1": ((10, 20, 50, 100, 150, 200), (1, 1, 1, 0.66, 0.66, 0)),
    "G16, $\\rho$ < 1": ((10, 20, 50, 100, 150, 200), (1, 1, 0, 0, 0, 0)),
}
"""Clipped SGD on temporal order (a constant in G16's plotting script; 3 runs)."""


def success_by_radius(command: str, table: Path) -> Figure:
    """Success rate against length, a line a spectral radius, beside the published numbers.

    Args:
        table: success_rate.csv of a sweep over cell.spectral_radius and task.length.
    """
    rates = pd.read_csv(table)
    if "cell.spectral_radius" not in rates:
        refuse([f"--table={table}: no column cell.spectral_radius; a sweep over it is wanted, experiment=galvan_rho"])
    if rates.duplicated(["cell.spectral_radius", "length"]).any():
        refuse([f"--table={table}: more differs between its rows than cell.spectral_radius and task.length"])
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axis = figure.subplots()
    radii = sorted(rates["cell.spectral_radius"].unique(), reverse=True)
    for k, radius in enumerate(radii):
        own = rates[rates["cell.spectral_radius"] == radius].sort_values("length")
        error = [(own["rate"] - own["ci_low"]).clip(lower=0), (own["ci_high"] - own["rate"]).clip(lower=0)]
        axis.errorbar(
            own["length"] * (1 + 0.02 * k),
            own["rate"],
            error,
            color=COLOURS[k],
            marker=MARKERS[k],
            capsize=3,
            lw=1.5,
            label=f"ours, $\\rho$ = {radius:g}",
        )
    for k, (name, (lengths, rate)) in enumerate(PUBLISHED.items()):
        axis.plot(lengths, rate, ls=":", lw=1.2, marker="x", color=COLOURS[k], label=name)
    axis.set(xlabel="length T (steps)", ylabel="success rate", ylim=(-0.05, 1.05), xscale="log")
    axis.set_xticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    replicas = "-".join(map(str, sorted({int(rates["replicas"].min()), int(rates["replicas"].max())})))
    caption = (
        f"Clipped SGD on temporal order, 50 tanh units, by the spectral radius of W at the start; {replicas} seeds,\n"
        "95 % intervals. Budget, learning rate and batch are the sweep's own, not G16's."
    )
    return _captioned(figure, caption, command)


FIGURES: dict[str, Callable[..., Figure]] = {
    "bifurcation": bifurcation,
    "error_surface": error_surface,
    "gradients_at_the_start": gradients_at_the_start,
    "success_by_radius": success_by_radius,
}


def _captioned(figure: Figure, caption: str, command: str) -> Figure:
    figure.supxlabel(f"{caption}\n{command}", fontsize=7.5, ha="left", x=0.02)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.figures", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("name", choices=[*FIGURES, "all"])
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder to write to (default: docs)")
    table = table_file(Path("results/galvan_rho"), SUCCESS_RATE)
    parser.add_argument("--table", type=Path, default=table, help=f"success_by_radius: of a sweep (default: {table})")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in FIGURES if args.name == "all" else [args.name]:
        command = f"python -m src.figures {name}"
        if name == "success_by_radius":
            if not args.table.is_file():
                refuse([f"--table={args.table}: no such file; run experiment=galvan_rho, or name a sweep's table"])
            figure = success_by_radius(f"{command}\n    --table {args.table}", args.table)
        else:
            figure = FIGURES[name](command)
        for kind in ("png", "svg"):
            figure.savefig(args.out / f"{name}.{kind}", dpi=150)
        print(args.out / f"{name}.png")


if __name__ == "__main__":
    main()
