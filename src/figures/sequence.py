"""One input sequence of temporal order: what the network sees, where it matters, and what it is asked (HS97, P13)."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from src.figures.caption import captioned
from src.results.style import COLOURS
from tasks.draws import Stream, generator
from tasks.temporal_order import SYMBOLS, temporal_order

RELEVANT = {"A": COLOURS[0], "B": COLOURS[1]}
"""The two symbols of which the order is asked, and their colours."""

CLASSES = ("AA", "BA", "AB", "BB")
"""What each class says: which symbol came first, which second."""


def windows(length: int) -> list[tuple[int, int]]:
    """First and last step of the two windows that hold the relevant symbols, steps counted from 1 (P13)."""
    width = length // 10
    return [(width + 1, 2 * width), (length // 2 + 1, length // 2 + width)]


def draw_sequence(length: int, seed: int) -> tuple[str, int]:
    """Draws the symbols of one sequence of temporal order, and its class."""
    symbols_TB, class_B = temporal_order(length, 1, generator(seed, Stream.DATA, 0))
    return "".join(SYMBOLS[symbol] for symbol in symbols_TB[:, 0]), int(class_B[0])


def input_sequence(command: str, length: int = 50, seed: int = 0) -> Figure:
    """A sequence along time, its two windows, and the question after the last step."""
    symbols, answer = draw_sequence(length, seed)
    figure = Figure(figsize=(9.4, 3.45), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, length + 1), ylim=(-10.5, 3.8), aspect="equal")
    axis.set_axis_off()
    for name, (first, last) in zip(("first", "second"), windows(length), strict=True):
        axis.add_patch(Rectangle((first - 0.5, -0.9), last - first + 1, 1.8, fc="#F0E442", alpha=0.5, lw=0))
        words = f"{name} window, steps {first} to {last}:\nA or B at one of them"
        axis.text((first + last) / 2, 1.3, words, ha="center", va="bottom", fontsize=9)
    relevant = [step for step, symbol in enumerate(symbols, start=1) if symbol in RELEVANT]
    for step, symbol in enumerate(symbols, start=1):
        _cell(axis, step, 0, symbol)
        if step in relevant:
            axis.text(step, -1.6, str(step), ha="center", va="center", fontsize=9, color=RELEVANT[symbol])
        elif step in (1, length) or (step % 10 == 0 and min(abs(step - other) for other in relevant) > 1):
            axis.text(step, -1.6, str(step), ha="center", va="center", fontsize=8, color="0.35")
    axis.text(2.2, -1.6, "step", va="center", fontsize=8, color="0.35")
    for step, level in zip(relevant, (-5.2, -3.6), strict=True):
        _memory(axis, step, length, level, symbols[step - 1])
    _question(axis, length, answer)
    caption = (
        f"One sequence of temporal order, length {length}, drawn by tasks.temporal_order with seed {seed}. "
        "The network reads one symbol per step\nand answers after the last. "
        f"Here {' then '.join(CLASSES[answer])}: class {answer}. The grey symbols c, d, e, f are random and say "
        "nothing. Guessing is wrong three times in four."
    )
    return captioned(figure, caption, command, size=8.5)


def _cell(axis: Axes, x: float, y: float, symbol: str, alpha: float = 1.0) -> None:
    """Draws one symbol: large and coloured where it matters, pale grey where it does not."""
    colour = RELEVANT.get(symbol, "0.93")
    side = 1.2 if symbol in RELEVANT else 0.86
    corner = (x - side / 2, y - side / 2)
    box = FancyBboxPatch(corner, side, side, boxstyle="round,pad=0,rounding_size=0.18", fc=colour, ec="none")
    box.set(alpha=alpha, zorder=3 if symbol in RELEVANT else 2)
    axis.add_patch(box)
    if symbol in RELEVANT:
        axis.text(x, y, symbol, ha="center", va="center_baseline", fontsize=11, weight="bold", color="white", zorder=4)
    else:
        axis.text(x, y, symbol, ha="center", va="center_baseline", fontsize=8.5, color="0.45", zorder=4)


def _memory(axis: Axes, step: int, length: int, level: float, symbol: str) -> None:
    """Draws how long a symbol must be kept in mind: a line from its step to the end."""
    colour = RELEVANT[symbol]
    axis.plot([step, step], [-2.2, level], color=colour, lw=1.2)
    axis.annotate("", (length, level), (step, level), arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0})
    words = f"to be remembered for {length - step} steps"
    axis.text(step + 0.6, level + 0.15, words, va="bottom", fontsize=9, color=colour)


def _question(axis: Axes, length: int, answer: int) -> None:
    """Draws the question below the last step, and the four answers, the right one framed."""
    axis.plot([length, length], [-2.2, -6.2], color="0.35", lw=1.2, ls=":")
    words = f"After step {length}: which came first, which second?"
    axis.text(length - 24.5, -8.0, words, ha="right", va="center", fontsize=10.5)
    for number, pair in enumerate(CLASSES):
        x = length - 20.5 + 6 * number
        right = number == answer
        _pair(axis, x, -8.0, pair, 1.0 if right else 0.3)
        colour = "black" if right else "0.6"
        axis.text(x, -9.6, f"class {number}", ha="center", va="center", fontsize=9, color=colour)
        if right:
            frame = FancyBboxPatch((x - 2.3, -10.4), 4.6, 3.6, boxstyle="round,pad=0,rounding_size=0.4")
            frame.set(fc="none", ec="black", lw=1.5)
            axis.add_patch(frame)


def _pair(axis: Axes, x: float, y: float, pair: Sequence[str], alpha: float) -> None:
    for symbol, shift in zip(pair, (-0.85, 0.85), strict=True):
        _cell(axis, x + shift, y, symbol, alpha)
