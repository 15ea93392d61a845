"""What REPRODUCTION.md prints is what the tables in results/ give."""

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
LENGTHS = (15, 30, 40)
PRICE = {
    "SGD, lr .01": "msgd",
    "SGD, lr .01, 100 parts": "msgd_parts",
    "RMSprop, lr .01": "rmsprop",
    "RMSprop, clipped at 1": "rmsprop_clipped",
    "Adam, lr .01": "adam",
    "Adam, clipped at 1": "adam_clipped",
    "Adam, clipped at 1, 100 parts": "adam_clipped_parts",
}


def table(heading):
    """The cells of the rows below a heading line."""
    lines = (ROOT / "REPRODUCTION.md").read_text().splitlines()
    found = []
    for line in lines[lines.index(heading) + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_solved_within_100_000_updates():
    results = pd.read_csv(ROOT / "results" / "pascanu_lengths" / "results.csv")
    printed = table("| start | method | 15 | 30 | 40 |")
    assert len(printed) == 6
    for start, method, *counts in printed:
        of_cell = results[results["cell"] == start.replace(" ", "_")]
        of_both = of_cell[of_cell["optimizer"] == method.lower().replace("-", "_")]
        for length, count in zip(LENGTHS, counts, strict=True):
            ours = of_both[of_both["length"] == length]
            assert len(ours) == 10 and int(count) == (ours["solved_at"] <= 100_000).sum(), (start, method, length)


HEADING = "| method | after 5 epochs | 10 | 20 | 50 | range at 50 | fresh sequences | updates | spikes, by seed |"


@pytest.mark.parametrize("row", table(HEADING), ids=lambda row: row[0])
def test_losses_of_price(row):
    method, *at, ends, fresh, updates, spikes = row
    results = pd.read_csv(ROOT / "results" / "price_hold" / "results.csv").query("run == @PRICE[@method]")
    history = pd.read_csv(ROOT / "results" / "price_hold" / "history.csv").query("run == @PRICE[@method]")
    median = history.groupby("epoch")["loss"].median()
    assert len(results) == 5
    for epoch, printed in zip((5, 10, 20, 50), at, strict=True):
        assert printed == rounded(median[epoch], like=printed), epoch
    assert ends == f"{rounded(results['loss'].min())}–{rounded(results['loss'].max())}"
    assert fresh == rounded(results["test_loss"].median())
    assert int(re.sub(r"\s", "", updates)) == results["updates"].median()
    counts = [(own > 2 * own.rolling(10).median().shift()).sum() for _, own in history.groupby("seed")["loss"]]
    assert spikes == ", ".join(str(count) for count in counts)


def test_every_method_of_price_is_in_the_table():
    assert [row[0] for row in table(HEADING)] == list(PRICE)


def rounded(value, like=".0000"):
    """A number below 1 with as many digits as another, without the zero in front."""
    return f"{value:.{len(like) - 1}f}".lstrip("0")
