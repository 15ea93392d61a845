"""What README, REPRODUCTION and docs/ print is what the replicas in results/ give."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, fisher_exact, mannwhitneyu, spearmanr, wilcoxon

from src.figures.lengths import rates_within
from src.intervals import wilson
from tests.conftest import ROOT
from tools import reproduction
from tools.tables import pascanu, words
from tools.tables.pairs import SLOW, climbs

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
    replicas = pd.read_csv(ROOT / "results" / folder / "replicas.csv", dtype={"commit": str})
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
    found = [words.interval(k, n) for k, n in ((3, 3), (2, 3), (5, 5))]
    assert found == ["[44–100 %]", "[21–94 %]", "[57–100 %]"]
    assert [words.probability(p) for p in (1.0, 0.47, 0.03125, 0.0004)] == ["1", ".47", ".031", "< .001"]
    assert words.thousands(1_234_567) == "1 234 567"
    assert words.median(pd.DataFrame({"solved_at": [2000, np.nan, 4000]})) == "4 000"
    assert words.median(pd.DataFrame({"solved_at": [2000, np.nan, np.nan]})) == "–"


def test_a_table_has_no_cell_that_was_not_measured():
    assert words.markdown(["length"], [["50"], ["–"]]) == ["| length |", "| --- |", "| 50 |", "| – |"]
    with pytest.raises(ValueError, match="0<br>nan"):
        words.markdown(["length"], [["0<br>nan"]])


def test_a_comparison_is_of_the_same_seeds():
    """6 of ten against none: Fisher's p is 2 · C(14, 10) / C(20, 10) = .0108."""
    seeds = list(range(10))
    one = pd.DataFrame({"seed": seeds, "solved_at": [1000] * 6 + [np.nan] * 4, "optimizer": "a"})
    other = pd.DataFrame({"seed": seeds[::-1], "solved_at": np.nan, "optimizer": "b"})
    both = pd.concat([one, other]).assign(cell="smart_tanh", length=50)
    assert pascanu._compared(both, "smart_tanh", 50, ("a", "b")) == "6 : 0<br>.011<br>.031"


def text_of(page):
    """A page with single spaces."""
    return " ".join((ROOT / page).read_text().split())


def of(folder, **values):
    table = words.read(folder)
    for column, value in values.items():
        table = table[table[column] == value]
    return table.sort_values("seed")


def test_what_is_said_of_the_simplex_direction():
    """Seed by seed; who did not solve the task is later than any."""
    at = {
        name: of("galvan_simplex", optimizer=name)["solved_at"].fillna(np.inf)
        for name in ("msgd_c", "simplex_switching")
    }
    plain, switching = (column.to_numpy() for column in at.values())
    fewer, more, same = (int(found.sum()) for found in (switching < plain, switching > plain, switching == plain))
    p = words.probability(wilcoxon(plain - switching).pvalue)
    share = round(100 * (1 - np.median(switching) / np.median(plain)))
    text = text_of("REPRODUCTION.md")
    assert f"there are {share} % fewer updates in the median" in text
    assert (
        f"fewer in {fewer} of ten, more in {more}, as many in {same} (Wilcoxon's signed ranks, two-sided, p = {p})"
        in text
    )
    alone = int(of("galvan_simplex", optimizer="simplex")["solved_at"].notna().sum())
    p = words.probability(fisher_exact([[alone, 10 - alone], [10, 0]]).pvalue)
    assert f"{alone} of ten against 10 (Fisher p = {p})" in text


def test_what_is_said_of_lengths_20_and_of_two_series():
    medians = {
        m: of("pascanu_figure", cell="smart_tanh", optimizer=m, length=20)["solved_at"].median()
        for m in ("msgd", "msgd_c")
    }
    text = text_of("REPRODUCTION.md")
    assert "(median {} against {}, smart)".format(*map(words.thousands, medians.values())) in text
    for folder, words_between in (("pascanu_100000", "at 50, 100, 150, 200, and MSGD-CR "), ("pascanu_figure", "and ")):
        counts = []
        for method in ("msgd_c", "msgd_cr"):
            alike = [of(folder, cell="smart_tanh", optimizer=method, length=length) for length in (50, 100, 150, 200)]
            counts.append(", ".join(str((rows["solved_at"] <= 100_000).sum()) for rows in alike))
        assert f"{counts[0]} {words_between}{counts[1]}" in text


def test_what_is_said_of_thresholds():
    history = words.read("clipping_thresholds", "history")
    first = history.loc[history["step"] == 2000, "grad_norm"].median()
    mean = history["grad_norm"].mean()
    text = text_of("REPRODUCTION.md")
    assert f"the norm is {words.fraction(first)} in the median" in text and f"its mean is {mean:.0f}" in text
    assert (round(0.5 / first, 1), round(5 / first)) == (1.5, 15) and (round(0.5 / mean, 2), round(5 / mean, 1)) == (
        0.02,
        0.2,
    )
    assert round(10 / mean, 1) == 0.4
    assert f"the mean of the first norms, {history.loc[history['step'] == 2000, 'grad_norm'].mean():.1f}," in text


def reached(folder, run, budget):
    """The longest length that each seed passed by so many updates, 0 where there is none."""
    passed = words.of(words.read(folder, "passed"), **run)
    within = passed[passed["updates"] <= budget].groupby("seed")["length"].max()
    return within.reindex(sorted(passed["seed"].unique())).fillna(0)


def test_what_is_said_of_a_heavier_omega():
    """Seed by seed, by 40 000 updates."""
    text = text_of("docs/reach-settings.md")
    light = pd.concat([reached("reach", {"run": "msgd_cr"}, 40_000), reached("reach_far", {}, 40_000)])
    heavy = pd.concat([reached("reach_alpha", {"run": run}, 40_000) for run in ("alpha_12", "far_alpha_12")])
    assert light.index.tolist() == heavy.index.tolist() == list(range(20))
    p = words.probability(wilcoxon((heavy - light).to_numpy()).pvalue)
    farther = int((heavy > light).sum())
    assert f"{farther} of the 20 seeds come farther" in text
    assert f"the median is {heavy.median():.0f} steps, against {light.median():.0f}" in text
    assert f"paired Wilcoxon test over the 20 seeds, p = {p}" in text
    counts, p = [], []
    for budget in (30_000, 50_000, 60_000):
        light = pd.concat([reached("reach", {"run": "msgd_cr"}, budget), reached("reach_far", {}, budget)])
        heavy = pd.concat([reached("reach_alpha", {"run": run}, budget) for run in ("alpha_12", "far_alpha_12")])
        counts.append((heavy > light).sum())
        more = (heavy - light).to_numpy()
        p.append(words.probability(wilcoxon(more[more != 0]).pvalue))
    told = f"it is {counts[0]}, {counts[1]} and {counts[2]} of 20, p = {p[0]}, {p[1]} and {p[2]}"
    assert f"by 30 000, 50 000 and 60 000 {told}" in text


def test_what_is_said_of_ten_of_ten():
    text = text_of("docs/reach.md")
    at = {run: of(folder, run=run)["solved_at"] for folder, run in (("reach", "msgd_cr"), ("reach_alpha", "alpha_12"))}
    light, heavy = (column.fillna(np.inf).to_numpy() for column in at.values())
    assert "Each of the ten seeds was sooner with α = 12." in text and (heavy < light).all()
    least, most = (words.thousands(bound) for bound in (heavy.min(), heavy.max()))
    assert f"all ten MSGD-CR networks have solved 1 000 steps, after {least} to {most} updates" in text


def test_what_is_said_of_simplex_where_lengths_grow():
    text = text_of("docs/reach.md")
    replicas = of("reach", run="simplex")
    solved = sorted(replicas["solved_at"].dropna())
    told = " and ".join(map(words.thousands, solved))
    assert f"is two of ten within 300 000 updates, after {told}" in text and (len(solved), len(replicas)) == (2, 10)
    others = replicas["reached"][replicas["solved_at"].isna()]
    assert f"the eight others have passed {others.min():.0f} to {others.max():.0f} steps" in text and len(others) == 8
    p = [words.probability(fisher_exact([[2, 8], [many, 10 - many]]).pvalue) for many in (10, 8)]
    assert f"ten of ten with α = 12 (Fisher's exact test, p = {p[0]}) and eight with α = 4 (p = {p[1]})" in text


def looked_at(run):
    """The networks of a run by seed, each time that they were looked at."""
    own = words.of(words.read("reach_alpha", "clocks"), run=run)
    return [own[own["updates"] == updates].set_index("seed") for updates in sorted(own["updates"].unique())]


def test_what_is_said_of_clocks():
    text = text_of("docs/clocks.md")
    twice = [looked_at(run) for run in ("far", "far_alpha_12")]
    ranks = [spearmanr(second["length"], second["quarter_turn"]) for _, second in twice]
    light, heavy = ((words.fraction(rank.statistic), words.probability(rank.pvalue)) for rank in ranks)
    said = f"length and quarter turn is {light[0]} (α = 4, p = {light[1]}) and {heavy[0]} (α = 12, p = {heavy[1]})"
    assert said in text
    growth = [second["length"] / first["length"] for first, second in twice]
    turns = [second["quarter_turn"] / first["quarter_turn"] for first, second in twice]
    along = [spearmanr(*pair).statistic for pair in zip(growth, turns, strict=True)]
    assert "(rank correlation {} and {})".format(*map(words.fraction, along)) in text
    told = [spearmanr(first["quarter_turn"], grown) for (first, _), grown in zip(twice, growth, strict=True)]
    rank = [words.fraction(each.statistic).replace("-0", "−") for each in told]
    p = [words.probability(each.pvalue) for each in told]
    assert f"({rank[0]} and {rank[1]}; p = {p[0]} and {p[1]})" in text


def test_what_is_said_of_the_right_moment():
    text = text_of("docs/clocks.md")
    every = words.read("reach_alpha", "clocks")
    without, with_omega = (words.of(every, run=run).set_index("seed") for run in ("msgd_c", "alpha_12"))
    assert "at most 4 steps before the end" in text and (without["right_early"] <= 4).sum() == 9
    assert "nine of ten at 1 000 steps for 11 to 47" in text
    assert sorted(with_omega["right_early"])[1:] == sorted(with_omega["right_early"].clip(11, 47))[1:]
    without, with_omega = (words.of(every, run=f"to_200_{run}").set_index("seed") for run in ("msgd_c", "alpha_12"))
    assert len(without) == 6 and set(without["length"]) | set(with_omega["length"]) == {200}
    assert (with_omega["right_early"][without.index] > without["right_early"]).all()
    p = words.probability(binomtest(len(without), len(without)).pvalue)
    assert f"each of the six seeds that came there either way is right earlier with Ω (sign test, p = {p})" in text


def test_what_is_said_of_forty_five_other_seeds():
    text = text_of("docs/reach.md")
    with_omega, without = (of("reach_many", run=run) for run in ("alpha_12", "msgd_c"))
    solved = with_omega["solved_at"].dropna()
    assert "39 of 45 have solved 1 000 steps" in text and (len(solved), len(with_omega)) == (39, 45)
    assert f"the first after {words.thousands(solved.min())}" in text
    assert f"The run took {with_omega['seconds'].max():.0f} seconds" in text
    others = with_omega[with_omega["solved_at"].isna()]["reached"]
    assert f"had passed {others.min():.0f} to {others.max():.0f}" in text
    passed = words.of(words.read("reach_many", "passed"), run="alpha_12")
    last = passed.sort_values("updates").groupby("seed").tail(1)
    last = last[last["length"] < 1000].set_index("length")["updates"].sort_values()
    assert "one has stood at 903 since 49 000, and one at 538 since 59 500" in text
    assert last.iloc[:2].to_dict() == {903: 49_000, 538: 59_500}
    assert "four of them passed a length after update 84 000 still" in text and (last.iloc[2:] > 84_000).sum() == 4
    assert without["solved_at"].isna().all() and len(without) == 45
    first, second = without["reached"].sort_values(ascending=False)[:2]
    assert f"one has passed {first:.0f}, the next {second:.0f}, and three not even 50" in text
    assert without["reached"].isna().sum() == 3
    far = [reached("reach_many", {"run": run}, 100_000) for run in ("alpha_12", "msgd_c")]
    assert "All 45 seeds came farther with Ω" in text and (far[0] > far[1]).all() and len(far[0]) == 45
    soon = int((solved <= 77_500).sum())
    assert f"after 77 500 updates, {soon} of these 45 had" in text
    looked = words.of(words.read("reach_many", "clocks"), run="alpha_12", length=1000)
    errors = with_omega.loc[solved.index, "error"]
    wrong = [words.fraction(100 * error) for error in (errors.mean(), looked["error"].mean())]
    assert "five passed with more than .8 %, and five are wrong in 1 % or more of the 400 others (1.5 at most)" in text
    assert ((errors > 0.008).sum(), (looked["error"] >= 0.01).sum(), looked["error"].max()) == (5, 5, 0.015)
    assert f"wrong in {wrong[0]} % of the 10 000" in text and f"and in {wrong[1]} % of 400 others" in text
    passed = words.of(words.read("reach_many", "passed"), run="msgd_c").dropna(subset=["length"])
    late = passed.groupby("seed")["updates"].max() > 90_000
    assert f"{late.sum()} of the {len(late)} MSGD-C networks that passed a length at all passed one after" in text


def test_what_the_readme_says_of_how_far_they_come():
    text = text_of("README.md")
    heavy = reached("reach_alpha", {"run": "alpha_12"}, 300_000)
    without = reached("reach", {"run": "msgd_c"}, 300_000)
    at = of("reach_alpha", run="alpha_12")["solved_at"]
    assert (heavy == 1000).all() and len(heavy) == 10
    assert f"**ten of ten to 1 000 steps** within {words.thousands(at.max())} updates" in text
    assert f"they end between {without.min():.0f} and {without.max():.0f}" in text
    plain = reached("reach", {"run": "msgd"}, 300_000).sort_values()
    assert "MSGD passes 50 in two of ten, and 58 at most" in text and plain.tolist()[-3:] == [
        0,
        56,
        58,
    ]
    with_omega, without = (of("reach_many", run=run) for run in ("alpha_12", "msgd_c"))
    shares = [[round(100 * bound) for bound in wilson(own["solved"].sum(), 45)] for own in (with_omega, without)]
    assert "Of **45 other seeds** 39 came there within 100 000 updates (95 % interval: 74–94 %)" in text
    assert with_omega["solved"].sum() == 39 and shares == [[74, 94], [0, 8]]
    assert "none (0–8 %; one passed 998)" in text and without["reached"].max() == 998
    far = reached("reach_alpha", {"run": "far_alpha_12"}, 300_000)
    assert "three have passed 3 000 steps" in text and (far >= 3000).sum() == 3


def test_what_is_said_of_starts():
    text = text_of("docs/reach.md")
    spectral = words.read("reach", "passed")
    spectral = spectral[(spectral["updates"] <= 60_000) & (spectral["seed"] <= 4)]
    spectral = spectral[spectral["run"].isin(["msgd", "msgd_c", "msgd_cr", "simplex"])].assign(cell="spectral")
    every = pd.concat([spectral, words.read("reach_starts", "passed")])
    each = every.groupby(["cell", "optimizer", "seed"])["length"].max().fillna(0)
    medians = each.groupby(["cell", "optimizer"]).median().unstack()
    assert "From each of the three tanh starts the median is longest with MSGD-CR" in text
    assert (medians.drop(columns="msgd_cr").max(axis="columns") < medians["msgd_cr"]).drop("lstm").all()
    assert "nobody passes 50 steps from basic tanh" in text
    assert (each["basic_tanh"][["msgd", "msgd_c"]] == 0).all()
    odd = each["basic_tanh", "simplex"]
    assert "seed 3, has come to 918 steps by 60 000 updates, farther than any other here" in text
    assert odd[3] == 918 == each.max() and "the four others ended at 50 to 305." in text
    assert (odd.drop(3).min(), odd.drop(3).max()) == (50, 305)
    told = [
        words.probability(mannwhitneyu(each[cell, "msgd_cr"], each[cell, "simplex"]).pvalue)
        for cell in ("smart_tanh", "basic_tanh")
    ]
    assert f"are not told apart (Mann–Whitney test, p = {told[0]} and {told[1]})" in text
    own = each["spectral", "msgd_cr"].to_numpy()
    for cell in ("smart_tanh", "basic_tanh"):
        other = each[cell, "msgd_cr"].to_numpy()
        assert "in 23 of the 25 pairs" in text and (own[:, None] > other).sum() == 23
        p = mannwhitneyu(own, other).pvalue
        assert "(Mann–Whitney test, two-sided p = .03; as these are two tests, .06)" in text and round(p, 2) == 0.03
    first = every[every["length"] == 50].groupby(["cell", "optimizer"])["updates"].agg(["min", "max"])
    told = [" to ".join(map(words.thousands, first.loc[cell, "msgd_cr"])) for cell in ("spectral", "basic_tanh")]
    assert f"after {told[0]} updates; from basic tanh after {told[1]}" in text


def test_what_is_said_of_rates_without_omega():
    without = pd.concat([reached("reach_rates", {"run": run}, 20_000) for run in (0.0003, 0.001, 0.003)])
    median = reached("reach_batch", {"run": "20"}, 20_000).median()
    assert "None of these 21 networks comes as far as the median with Ω, 199." in text_of("docs/reach.md")
    assert len(without) == 21 and without.max() < median == 199


def test_what_is_said_of_one_length():
    text = text_of("docs/reach.md")
    every = words.read("reach_control", "replicas").set_index("run")
    passed = words.of(words.read("reach", "passed"), run="msgd_cr")
    said = {
        100: ("all ten learn the task from the beginning too, after {} to {} updates", "there after {} to {}"),
        150: ("At 150 it is all ten too, after {} to {}; growing", "growing, all ten, after {} to {}. At 200"),
        200: ("At 200 it is seven of ten, after {} to {} updates", "growing, all ten, after {} to {}"),
        300: ("At 300 it is two of ten", "ten of ten"),
    }
    solved = {}
    for length, (single, growing) in said.items():
        at = every.loc[f"{length}", "solved_at"].dropna()
        first = passed[passed["length"] >= length].groupby("seed")["updates"].min()
        solved[length] = (len(at), len(first))
        assert single.format(*map(words.thousands, (at.min(), at.max()))) in text
        assert growing.format(*map(words.thousands, (first.min(), first.max()))) in text
    assert solved == {100: (10, 10), 150: (10, 10), 200: (7, 10), 300: (2, 10)}
    at_200, at_300 = (every.loc[f"{length}"] for length in (200, 300))
    assert "the three others guess after 300 000" in text and (at_200["error"][at_200["solved_at"].isna()] > 0.74).all()
    p = words.probability(fisher_exact([[2, 8], [10, 0]]).pvalue)
    assert f"(Fisher's exact test, p = {p})" in text
    assert "{} and {} updates;".format(*map(words.thousands, sorted(at_300["solved_at"].dropna()))) in text
    near = at_300["best_error"][at_300["solved_at"].isna()].min()
    assert "a third one was wrong in less than 3 % in its best test" in text and 0.02 < near < 0.03
    at_400 = every.loc["400"]
    (last,) = at_400["solved_at"].dropna()
    assert f"At 400 it is one of ten, after {words.thousands(last)}; two others came down to 5 %" in text
    best = at_400["best_error"][at_400["solved_at"].isna()].sort_values()
    assert best.iloc[:2].round(2).tolist() == [0.05, 0.05] and best.iloc[2] > 0.5 and len(at_400) == 10
    later = every[every["length"] >= 600]
    assert "At 600 none of ten has learned it (growing, all ten came there or farther; p < .001)" in text
    assert "and at 1 000 none of ten (growing, eight of ten; p < .001)" in text
    assert fisher_exact([[0, 10], [8, 2]]).pvalue < 0.001 and (passed["length"] == 1000).sum() == 8
    assert fisher_exact([[0, 10], [10, 0]]).pvalue < 0.001
    assert "all twenty guess after 300 000 updates" in text
    assert (later["updates"] == 300_000).all() and (later["error"] > 0.73).all()
    assert later["length"].value_counts().to_dict() == {600: 10, 1000: 10}
    counts = [every.loc[f"{length}", "solved_at"].count() for length in (200, 300, 400, 600)]
    readme = text_of("README.md")
    assert "seven of ten learn 200 steps in 300 000 updates, two of ten 300, one 400, and none 600 or 1 000." in readme
    assert (
        "All ten that grow (dashed) pass 600 or a longer length." in readme
        and passed[passed["length"] >= 600]["seed"].nunique() == 10
    )
    assert counts == [7, 2, 1, 0]
    early = (every.loc[["200", "300"], "solved_at"] <= 60_000).sum()
    assert "at 200 and 300 steps one of twenty networks had learned the task by 60 000, and nine by 300 000" in text
    assert (early, len(at_200) + len(at_300), solved[200][0] + solved[300][0]) == (1, 20, 9)
    first, last = (words.thousands(bound) for bound in every.loc["100_constant", "solved_at"].agg(["min", "max"]))
    assert f"all five learn 100 steps, after {first} to {last} updates" in text
    assert every.loc["100_constant", "solved"].all()
    assert "at 200 all guess" in text and (every.loc["200_constant", "error"] > 0.73).all()


def test_what_is_said_of_one_length_without_omega():
    text = text_of("docs/reach.md")
    without = words.read("reach_control_c").groupby("length")["solved"].agg(["sum", "size"])
    with_omega = words.of(words.read("reach_control"), run="100")
    assert "all ten learn 50 steps, and none 100 within 60 000 updates; eight of ten do with Ω (p < .001)" in text
    assert without["sum"].to_dict() == {50: 10, 100: 0, 150: 0, 200: 0} and (without["size"] == 10).all()
    assert (with_omega["solved_at"] <= 60_000).sum() == 8 and fisher_exact([[0, 10], [8, 2]]).pvalue < 0.001
    assert "and all ten that grow without it" in text and (reached("reach", {"run": "msgd_c"}, 60_000) >= 100).all()


def test_what_is_said_of_batches():
    text = text_of("docs/reach-settings.md")
    small, large = (reached("reach_batch", {"run": run}, 20_000) for run in ("10", "40"))
    assert "five came farther with 40 than with 10, and two less far" in text
    assert ((large > small).sum(), (large < small).sum()) == (5, 2)
    small = reached("reach_batch", {"run": "10_far"}, 60_000)
    large = reached("reach_alpha", {"run": "alpha_12"}, 60_000)
    assert "none came farther and nine less far" in text
    assert ((small > large).sum(), (small < large).sum()) == (0, 9)
    p = words.probability(wilcoxon((large - small).to_numpy()).pvalue)
    assert f"(paired Wilcoxon test, p = {p})" in text
    seconds = words.read("reach_batch").groupby("run")["seconds"].max()
    told = ", ".join(f"{seconds[run]:.0f}" for run in ("10", "20")) + f" and {seconds['40']:.0f} seconds"
    assert told in text and round(60 * seconds["10"] / seconds["20"]) == 44
    alike = reached("reach_alpha", {"run": "alpha_12"}, 44_000)
    p = words.probability(wilcoxon((small - alike).to_numpy()).pvalue)
    assert f"five seeds came farther with 10, and five with 20 (p = {p})" in text
    assert ((small > alike).sum(), (small < alike).sum()) == (5, 5)
    assert "One had solved 1 000 steps by then, and six with 20" in text
    assert ((small == 1000).sum(), (large == 1000).sum()) == (1, 6)


def test_what_is_said_of_the_clocks_of_forty_five_other_seeds():
    text = text_of("docs/clocks.md")
    every = words.read("reach_many", "clocks")
    without, with_omega = (words.of(every, run=run).set_index("seed") for run in ("msgd_c", "alpha_12"))
    bounds = [f"{own['spectral_radius'].min():.2f}–{own['spectral_radius'].max():.2f}" for own in (with_omega, without)]
    assert f"ρ is {bounds[0]} with Ω and {bounds[1]} without" in text
    later = with_omega["right_early"][without.index] - without["right_early"]
    told = f"{(later > 0).sum()} of these {len(later)} seeds are right earlier with Ω, {(later < 0).sum()} without"
    assert told in text
    arrived = with_omega["length"] == 1000
    updates = words.of(words.read("reach_many"), run="alpha_12").set_index("seed")["solved_at"].dropna()
    told = []
    for column in ("right_early", "quarter_turn"):
        rank = spearmanr(updates, with_omega[column][updates.index])
        told.append((words.fraction(rank.statistic).replace("-0", "−"), words.probability(rank.pvalue)))
    (early, early_p), (turn, turn_p) = told
    assert (
        f"updates and right moment: {early}, p = {early_p}); with the quarter turn it is {turn} (p = {turn_p})" in text
    )
    assert "39 of the 45 stand at 1 000" in text and len(updates) == arrived.sum() == 39
    turns = with_omega["quarter_turn"]
    middle = turns[arrived].median()
    assert "The six others, trained longer, all turn more slowly" in text
    assert f"than the median of the 39, {middle:.0f} steps a quarter" in text
    assert (turns[~arrived] > middle).all()
    assert (~arrived).sum() == 6
    least, most = 1 / without["gradient"].min(), without["gradient"].max()
    assert f"a {least:.0f}th of that at the end, and seven times" in text and round(most) == 7
    assert ((without["gradient"] < 1 / 60) | (without["gradient"] > 5)).sum() == 2


def test_what_is_said_of_lengths_close_to_a_thousand():
    evaluation = words.read("reach_alpha", "evaluation")
    errors = evaluation.pivot(index="seed", columns="length", values="error")
    right = errors.loc[:, 970:1030] < 0.01
    longest = [
        max(len(run) for run in "".join("1" if each else "0" for each in row).split("0")) for row in right.values
    ]
    assert right.shape == (10, 61)
    assert sorted(longest) == [1, 2, 13, 16, 18, 19, 34, 41, 59, 59]
    text = text_of("docs/clocks.md")
    assert "0.5 % wrong at 1 000, and 28 % at 1 001" in text
    assert (errors.loc[5, [1000, 1001]].round(3) == [0.005, 0.283]).all()
    plateau = errors.loc[6, 986:1016]
    assert "Seed 6 is wrong in about 1 %" in text and round(plateau.mean(), 3) == 0.011 and plateau.max() < 0.02
    assert "the ten that grew to 1 000 are right neither at 50 nor at 200, and wrong in 63 to 85 % at" in text
    assert (errors[[50, 200]] > 0.2).all(axis=None)
    assert (errors[5000].min().round(2), errors[5000].max()) == (0.63, 0.85)
    assert "are wrong in 6 to 100 % of the sequences of 50 to 900 steps" in text_of("README.md")
    assert (errors.loc[:, 50:900].min(axis=None).round(2), errors.loc[:, 50:900].max(axis=None)) == (0.06, 1)
    others = sorted(errors[1100])
    assert "wrong in 4 to 6 % (two, at 1 100)" in text and others[0] < 0.01 and others[3] > 0.3
    assert [round(each, 2) for each in others[1:3]] == [0.04, 0.06]
    assert "eight of the ten are right (less than 1 % wrong) at 13 to 59 lengths in a row of the 61" in text
    assert right.sum(axis="columns")[[5, 6]].tolist() == [9, 9]
    far = errors.drop(columns=right.columns)
    assert (far < 0.01).sum().sum() == 1 and (far[1100] < 0.01).sum() == 1
    near = errors.loc[:, 980:1020].max(axis="columns")
    assert ((near < 0.01).sum(), (near < 0.03).sum()) == (2, 5)


def test_what_is_said_of_pairs():
    """What is said of settings beside their table, which has its own test."""
    text = text_of("docs/reach-settings.md")
    told = []
    for run in ("msgd_cr", "tenth"):
        lengths = reached("reach", {"run": run}, 128_793)
        assert "With both bounds six had solved 1 000 steps by 128 793 updates" in text and (lengths == 1000).sum() == 6
        others = lengths[lengths < 1000]
        told.append(f"{others.min():.0f}–{others.max():.0f}")
    assert f"the four others had come to {told[0]} with 1.05 and {told[1]} with 1.1" in text
    back = [(reached("reach", {"run": run}, 65_340) == 1000).sum() for run in ("further", "tenth")]
    assert "brought nobody to 1 000 within 65 340 updates; two were there by then without it" in text and back == [0, 2]
    soon = [reached("reach", {"run": run}, 20_000) for run in ("msgd_cr", "no_search")]
    assert "By 20 000 updates all ten are behind with it." in text_of("docs/reach.md") and (soon[0] < soon[1]).all()


def test_what_is_said_of_going_back():
    text = text_of("docs/reach-settings.md")
    back, stay = (words.of(words.read("reach_alpha", "passed"), run=run) for run in ("alpha_12", "stay"))
    ways = [
        own.groupby("seed")[["length", "updates"]].apply(lambda way: way.to_numpy().tolist()) for own in (back, stay)
    ]
    same = ways[0] == ways[1]
    assert "Three of the ten networks never had to go back" in text and same.sum() == 3
    back, stay = (of("reach_alpha", run=run).set_index("seed")["solved_at"][~same] for run in ("alpha_12", "stay"))
    assert "all have solved 1 000 steps by 77 500 updates that go back, and five that stay" in text
    assert (back.max(), back.count(), stay.count()) == (77_500, 7, 5)
    assert "three were sooner if they go back, and two if they stay" in text
    assert ((back < stay).sum(), (stay < back).sum()) == (3, 2)


def test_what_is_said_of_seven_seeds():
    """The mean of each seed over all combinations, and the paired test of these."""
    text = text_of("docs/reach-settings.md")
    passed = words.read("reach_factors", "passed")
    assert f"lengths are {passed['length'].max():.0f} at most" in text
    each = passed.groupby(["alpha", "mixing", "exponent", "seed"])["length"].max().fillna(0)
    each = each.rename("reached").reset_index()
    alpha, mixing = (each.groupby(["seed", factor])["reached"].mean().unstack() for factor in ("alpha", "mixing"))
    compared = ((alpha[12], alpha[0]), (alpha[4], alpha[0]), (mixing[1.0], mixing[0.9]))
    p = [words.probability(wilcoxon(*pair).pvalue) for pair in compared]
    assert f"with α = 12 six of seven seeds come farther than without (p = {p[0]})" in text
    assert f"α = 4 is not told apart from none (p = {p[1]})" in text
    assert f"comes farther, six of seven seeds (p = {p[2]})" in text
    assert (alpha[12] > alpha[0]).sum() == (mixing[1.0] > mixing[0.9]).sum() == 6


def test_what_is_said_of_those_that_get_stuck():
    text = text_of("docs/clocks.md")
    light, heavy = (climbs(folder) for folder in ("reach_far", "reach_alpha"))
    stuck = [every.index[every["updates"] > SLOW].tolist() for every in (light, heavy)]
    assert "seeds 11, 14, 18 and 19 with α = 4, and 14 with α = 12" in text and stuck == [[11, 14, 18, 19], [14]]
    spent = pd.concat([light, heavy])["updates"]
    assert "in 12 500 to 24 500 updates. Five have spent 56 500 or more there" in text
    assert (spent.min(), spent[spent <= SLOW].max(), spent[spent > SLOW].min()) == (12_500, 24_500, 56_500)
    ranks = [spearmanr(every["updates"], every["gradient_passed"]) for every in (light, heavy)]
    told = [f"{words.fraction(rank.statistic)}, p = {words.probability(rank.pvalue)}" for rank in ranks]
    assert f"(rank correlation {told[0]})" in text and f"With α = 12 it is not so ({told[1]})" in text
    assert (
        heavy["gradient_passed"].idxmax()
        == 19
        == of("reach_alpha", run="far_alpha_12").set_index("seed")["reached"].idxmax()
    )
    both = pd.concat([light, heavy]).dropna()
    assert len(both) == 19 and (both["gradient_missed"] > both["gradient_passed"]).all()
    quick = light.drop(stuck[0])
    p = words.probability(mannwhitneyu(quick["omega_passed"], light.loc[stuck[0], "omega_passed"]).pvalue)
    assert f"no difference shown (α = 4, tests that were passed: Mann–Whitney p = {p})" in text
    ends = pd.concat([of("reach_far"), of("reach_alpha", run="far_alpha_12")])["reached"].to_numpy()
    through = pd.Series(ends, index=[*light.sort_index().index, *(100 + heavy.sort_index().index)])
    assert "Three of them have not come through, and two have." in text
    assert (through[[11, 14, 18, 19, 114]] >= 1000).tolist() == [True, False, False, True, False]
    looks = [looked_at(run)[0] for run in ("far", "far_alpha_12")]
    four, six = looks[0].loc[stuck[0]], looks[0].drop(stuck[0])
    turns = [f"{part['quarter_turn'].min()} to {part['quarter_turn'].max()}" for part in (four, six)]
    assert f"a quarter turn in {turns[0]} steps, and the six others in {turns[1]}" in text
    turns = looks[1]["quarter_turn"].sort_values()
    assert "the fastest clock, of seed 11 with 24 steps, went on, and the third slowest of the ten, of seed 14" in text
    assert (turns.index[0], turns.iloc[0], turns.index[-2:].tolist(), turns[14]) == (11, 24, [14, 13], 301)
    radii = [f"{part['spectral_radius'].min():.2f} to {part['spectral_radius'].max():.2f}" for part in (four, six)]
    assert f"{radii[0]} of the four, and {radii[1]} of the six" in text


def test_what_is_said_of_mixed_lengths():
    text = text_of("docs/clocks.md")
    solved = words.read("reach_mixing").groupby("run")["solved"].sum()
    assert "all ten have solved 100 steps" in text and "With .9 L six have solved 100 steps" in text
    assert solved.to_dict() == {1.0: 10, 0.9: 6, 0.5: 10}
    errors = words.of(words.read("reach_mixing", "evaluation"), run=0.5).pivot(
        index="seed", columns="length", values="error"
    )
    known = errors.loc[:, 50:100]
    right = (known < 0.01).all(axis="columns")
    assert "eight of them know each of the eleven lengths from 50 to 100 that were tried" in text
    assert "one is wrong in 2.2 % at 50, and one in 1.0 % at 100" in text and (known[50].max(), known[100].max()) == (
        0.022,
        0.01,
    )
    assert right.sum() == 8 and known.shape == (10, 11)
    assert sorted(known[~right].max(axis="columns")) == [0.01, 0.022]
    assert ((known >= 0.01).sum(axis="columns") <= 1).all()
    alone = words.of(words.read("reach_mixing", "evaluation"), run=1).pivot(
        index="seed", columns="length", values="error"
    )
    assert "right at 110 are four (without mixing one), at 120 two (none), at 150 one, from 200 on none" in text
    counts = [[(table[length] < 0.01).sum() for length in (110, 120, 150)] for table in (errors, alone)]
    assert counts == [[4, 2, 1], [1, 0, 0]] and (errors.loc[:, 200:] >= 0.01).all(axis=None)
    others = words.read("reach_mixing").query("run == .9 and not solved")["reached"].fillna(0)
    assert "the four others have not got past 52" in text and (len(others), others.max()) == (4, 52)
    p = words.probability(fisher_exact([[6, 4], [10, 0]]).pvalue)
    assert "Fisher's exact test, p = .09)" in text and p == ".087"
