"""What README, REPRODUCTION and docs/ print is what the replicas in results/ give."""

import importlib.util
import re

import numpy as np
import pandas as pd
import pytest

from src.figures.lengths import rates_within
from tests.conftest import ROOT

SPEC = importlib.util.spec_from_file_location("reproduction", ROOT / "tools" / "reproduction.py")
reproduction = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reproduction)

FOLDERS = sorted(path.name for path in (ROOT / "results").iterdir() if path.is_dir())


@pytest.mark.parametrize("page", reproduction.PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_results(page):
    text = page.read_text()
    assert reproduction.rewritten(text) == text


def test_every_table_is_printed():
    printed = {name for page in reproduction.PAGES for name in re.findall(r"<!-- table: (\w+) -->", page.read_text())}
    assert printed == set(reproduction.TABLES)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_result_is_there_seed_by_seed_and_says_its_commit(folder):
    replicas = pd.read_csv(ROOT / "results" / folder / "replicas.csv")
    assert replicas["commit"].str.fullmatch("[0-9a-f]{7}").all()
    assert replicas["seed"].notna().all() and f"`{folder}`" in (ROOT / "results" / "README.md").read_text()


def test_rates_within_a_budget():
    """Two of three by 2000 updates, all by 3000; a population that had only 2500 says nothing about 3000."""
    replicas = pd.DataFrame(
        {
            "cell": "smart_tanh",
            "optimizer": ["msgd"] * 3 + ["msgd_c"] * 2,
            "length": 50,
            "solved_at": [1000, 2000, 3000, 500, np.nan],
            "trainer.max_steps": [3000] * 3 + [2500] * 2,
        }
    )
    early, late = (rates_within(replicas, budget) for budget in (2000, 3000))
    assert early[["optimizer", "solved", "replicas"]].values.tolist() == [["msgd", 2, 3], ["msgd_c", 1, 2]]
    assert late[["optimizer", "solved", "replicas"]].values.tolist() == [["msgd", 3, 3]]
    assert early["rate"].tolist() == pytest.approx([2 / 3, 1 / 2])


def test_numbers_as_text():
    """Intervals as in SCIENCE's and Newcombe's tables, p-values as by hand: 6 of 6 pairs, 2 · 2⁻⁶ = .031."""
    found = [reproduction.interval(k, n) for k, n in ((3, 3), (2, 3), (5, 5))]
    assert found == ["[44–100 %]", "[21–94 %]", "[57–100 %]"]
    assert [reproduction.probability(p) for p in (1.0, 0.47, 0.03125, 0.0004)] == ["1", ".47", ".031", "< .001"]
    assert reproduction.thousands(1_234_567) == "1 234 567"
    assert reproduction.median(pd.DataFrame({"solved_at": [2000, np.nan, 4000]})) == "4 000"
    assert reproduction.median(pd.DataFrame({"solved_at": [2000, np.nan, np.nan]})) == "–"


def test_a_comparison_is_of_the_same_seeds():
    """6 of ten against none: Fisher's p is 2 · C(14, 10) / C(20, 10) = .0108."""
    seeds = list(range(10))
    one = pd.DataFrame({"seed": seeds, "solved_at": [1000] * 6 + [np.nan] * 4, "optimizer": "a"})
    other = pd.DataFrame({"seed": seeds[::-1], "solved_at": np.nan, "optimizer": "b"})
    both = pd.concat([one, other]).assign(cell="smart_tanh", length=50)
    assert reproduction._compared(both, "smart_tanh", 50, ("a", "b")) == "6 : 0<br>.011<br>.031"
