"""Tables of text."""

from collections.abc import Callable

import numpy as np

from tools.tables.words import NOT_RUN, fraction, markdown, of, read, thousands


def text_omega() -> list[str]:
    """Bits per character for each α, constant and falling, and of how many seeds they are fewer than without Ω."""
    replicas = read("text_omega").assign(bits=lambda table: table["test_loss"] / np.log(2))
    without = of(replicas, optimizer="msgd_c").set_index("seed")["bits"]
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
    "text_omega": text_omega,
    "text_parts": text_parts,
}
"""What makes the table of each name."""
