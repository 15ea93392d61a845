"""One unit without input, x_t = w σ(x_{t-1}) + b with logistic σ: its bifurcations, and the wall in its error (P13)."""

import numpy as np
from matplotlib.figure import Figure

from src.figures.caption import captioned
from src.results.style import COLOURS

STEPS = 50
START = 0.5
TARGET = 0.7
"""Of the surface: (σ(x_50) - .7)², x_0 = .5 (P13)."""


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def turning_points(w: float) -> tuple[float, float]:
    """The two b between which one unit has two attractors.

    There a fixed point x = w σ(x) + b has slope w σ'(x) = 1, that is σ(x) = (1 ± √(1 - 4/w)) / 2.

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
    b = x - w * logistic(x)
    stable = w * logistic(x) * (1 - logistic(x)) < 1
    axis.axvspan(low, high, color="0.93", label="two attractors")
    axis.plot(np.where(stable, b, np.nan), x, color=COLOURS[0], lw=2, label="attractor")
    axis.plot(np.where(stable, np.nan, b), x, color="0.3", ls="--", lw=1.2, label="border of the two basins")
    some_b = np.linspace(-3.4, -1.6, 46)
    for start, marker in ((-5.0, "v"), (5.0, "^")):
        label = f"after 5000 steps from x = {start:g}"
        axis.plot(some_b, asymptote(w, some_b, start), marker, color=COLOURS[1], ms=4, ls="", label=label)
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
    return captioned(figure, caption, command)


def surface(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(σ(x_50) - .7)² and its derivatives by w and b, for each pair."""
    w, b = np.broadcast_arrays(np.asarray(w, dtype=float), np.asarray(b, dtype=float))
    x = np.full(w.shape, START)
    by_w = np.zeros(w.shape)
    by_b = np.zeros(w.shape)
    for _ in range(STEPS):
        h = logistic(x)
        through = w * h * (1 - h)
        x = w * h + b
        by_w = h + through * by_w
        by_b = 1 + through * by_b
    h = logistic(x)
    by_x = 2 * (h - TARGET) * h * (1 - h)
    return (h - TARGET) ** 2, by_x * by_w, by_x * by_b


def descend(start: tuple[float, float], lr: float, clip: float, updates: int) -> np.ndarray:
    """Gradient descent on the surface, the gradient's norm bounded by ``clip``: (w, b) after each update."""
    at = np.array(start)
    path = [at]
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
    loss, by_w, by_b = surface(w, b)
    steepest = np.nanmax(np.hypot(by_w, by_b))
    solid = figure.add_subplot(1, 2, 1, projection="3d")
    # Strides that divide 220: all patches then have four sides. Matplotlib pads ragged ones with uninitialised
    # memory, whose projection overflows now and then.
    solid.plot_surface(w, b, loss, cmap="viridis", rstride=2, cstride=2, lw=0, antialiased=False, rasterized=True)  # type: ignore[attr-defined]
    solid.view_init(32, -58)  # type: ignore[attr-defined]
    solid.set(xlabel="w", ylabel="b", zlabel="loss")
    flat = figure.add_subplot(1, 2, 2)
    drawn = flat.contourf(w, b, loss, levels=24, cmap="viridis")
    figure.colorbar(drawn, ax=flat, label="loss")
    start, lr, updates = (5.0, -2.4), 0.1, 300
    words = []
    for clip, name, colour in ((np.inf, "plain", COLOURS[1]), (1.0, "clipped, $\\theta = 1$", "white")):
        path = descend(start, lr, clip, updates)
        flat.plot(*path.T, "-o", color=colour, ms=2.5, lw=1, label=name)
        longest = np.linalg.norm(np.diff(path, axis=0), axis=1).max()
        final = float(surface(*path[-1])[0])
        words.append(
            f"{name}: longest step {longest:.2f}, after {updates} updates at "
            f"({path[-1][0]:.2f}, {path[-1][1]:.2f}), loss {final:.2g}"
        )
    flat.plot(*start, "*", color="white", mec="black", ms=12, label="start")
    flat.set(xlim=(3.9, 6.1), ylim=(-3.3, -1.6), xlabel="w", ylabel="b")
    flat.legend(fontsize=8, facecolor="0.5", labelcolor="black", loc="lower right")
    caption = (
        "One unit, $x_t = w\\,\\sigma(x_{t-1}) + b$, $x_0 = .5$, loss $(\\sigma(x_{50}) - .7)^2$ (P13): a wall, "
        f"on which the gradient's norm reaches {steepest:.0f} on this grid.\n"
        f"Gradient descent, learning rate {lr}: " + ";\n".join(words) + "."
    )
    return captioned(figure, caption, command)
