"""Tables and plots from hand-written results: pooling, intervals, duplicates, conflicts, interruptions, budgets."""

import csv
import errno
import math
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from src.config import ConfigurationError
from src.intervals import wilson
from src.results import plots
from src.results.closing import in_words
from src.results.collect import Config, Replica, collect, replicas_of_table
from src.results.comparison import labels, paired
from src.results.rates import success_rates
from src.results.report import report
from src.results.style import COLOURS
from src.results.tables import show_success_rates
from src.run import run
from src.rundir import HISTORY, RESULTS, RunDirectory, history_columns
from tests.commands import ended
from tests.conftest import compose


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (5, 5, 0.5655, 1.0),  # five of five, a lower bound of 57 %; ten 72 %; twenty 84 %; fifty 93 %
        (10, 10, 0.7225, 1.0),
        (20, 20, 0.8389, 1.0),
        (50, 50, 0.9287, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_as_published(successes, trials, low, high):
    assert wilson(successes, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_interval_is_scipys(confidence):
    for trials in (1, 2, 5, 10, 400):
        for successes in {0, 1, trials // 2, trials - 1, trials}:
            theirs = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
            assert wilson(successes, trials, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    for successes, trials in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="successes of"):
            wilson(successes, trials)


def write_run(directory, rows, *overrides):
    """A run as the program leaves it; rows: (seed, status, solved_at or None, updates)."""
    cfg = compose(*overrides)
    run = RunDirectory(directory)
    run.write_configuration(cfg)
    names = [cfg.task.name, cfg.task.length, cfg.task.max_length, cfg.cell.name, cfg.optimizer.name]
    table = [
        [*names, seed, status, status == "solved", at, updates, 0.0 if at else 0.5, 0.0 if at else 0.4, 0.1, 1.0, 9.0]
        for seed, status, at, updates in rows
    ]
    run.write_results(table)
    history = [[seed, 2000, 0, 1.0, 0.1, None, 1.0, 0.5] for seed, *_ in rows]
    run.write_history(history)


def test_rates_medians_and_intervals(tmp_path):
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000), (1, "solved", 8000, 8000), (2, "budget", None, 100_000)])
    write_run(tmp_path / "1", [(0, "diverged", None, 17), (1, "budget", None, 100_000)], "optimizer=msgd")
    table = success_rates(collect([tmp_path]))
    assert table["optimizer"].tolist() == ["msgd", "msgd_cr"]
    assert table[["replicas", "solved", "interrupted"]].values.tolist() == [[2, 0, 0], [3, 2, 0]]
    assert table["rate"].tolist() == pytest.approx([0, 2 / 3])
    assert table["median_solved_at"].tolist() == pytest.approx([math.nan, 8000], nan_ok=True)  # over all, not survivors
    assert table.loc[1, ["ci_low", "ci_high"]].tolist() == pytest.approx(list(wilson(2, 3)))
    assert table["optimizer.alpha"].tolist() == [0.0, 4.0] and table["optimizer.clip"].isna().tolist() == [True, False]


def test_differing_keys_get_a_column_and_are_not_pooled(tmp_path):
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000)], "optimizer.alpha=2")
    write_run(tmp_path / "1", [(0, "budget", None, 100_000)], "optimizer.alpha=4")
    write_run(tmp_path / "2", [(0, "budget", None, 60_000)], "optimizer.alpha=4", "trainer.max_steps=60000")
    replicas = collect([tmp_path])
    table = success_rates(replicas)
    assert len(table) == 3 and {"optimizer.alpha", "trainer.max_steps"} <= set(table.columns)
    assert sorted(labels(replicas).values()) == [
        "msgd_cr alpha=2 max_steps=100000",
        "msgd_cr alpha=4 max_steps=100000",
        "msgd_cr alpha=4 max_steps=60000",
    ]


def test_budgets_that_differ_between_methods_are_said(tmp_path):
    write_run(tmp_path / "0", [(0, "budget", None, 60_000)], "optimizer=msgd", "trainer.max_steps=60000")
    write_run(tmp_path / "1", [(0, "budget", None, 100_000)])
    names = labels(collect([tmp_path])).values()
    assert sorted(names) == ["msgd max_steps=60000", "msgd_cr max_steps=100000"]


def test_keys_without_consequence_are_pooled(tmp_path):
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000)], "seed=0", "replicas=1", "block=7")
    write_run(tmp_path / "1", [(1, "budget", None, 100_000)], "seed=1", "replicas=1", "threads=1", "logger=tensorboard")
    table = success_rates(collect([tmp_path]))
    assert len(table) == 1 and table.loc[0, "replicas"] == 2
    assert not any("." in column for column in table.columns)


def test_a_run_of_before_a_key_existed_is_pooled_with_one_where_it_is_null(tmp_path):
    for number in range(2):
        write_run(tmp_path / f"{number}", [(number, "solved", 4000, 4000)])
    file = RunDirectory(tmp_path / "0").config_file
    lines = file.read_text().splitlines()
    assert "  half_life: null" in lines
    file.write_text("\n".join(line for line in lines if line != "  half_life: null"))
    replicas = collect([tmp_path])
    assert success_rates(replicas)["replicas"].tolist() == [2]
    old, new = (replica.config for replica in replicas)
    assert len(old) != len(new) and old == new and (old != new) is False and hash(old) == hash(new)
    write_run(tmp_path / "2", [(2, "solved", 4000, 4000)], "optimizer.half_life=1000")
    replicas = collect([tmp_path])
    assert sorted(success_rates(replicas)["replicas"]) == [1, 2]
    assert sorted(set(labels(replicas).values())) == ["msgd_cr half_life=1000", "msgd_cr half_life=None"]


def test_equal_numbers_are_one_value(tmp_path):
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000)], "optimizer.alpha=4")
    write_run(tmp_path / "1", [(1, "solved", 4000, 4000)], "optimizer.alpha=4.0")
    write_run(tmp_path / "2", [(1, "solved", 4000, 4000)], "optimizer.alpha=2")
    replicas = collect([tmp_path])
    assert success_rates(replicas)["replicas"].tolist() == [2, 1]
    assert sorted(set(labels(replicas).values())) == ["msgd_cr alpha=2", "msgd_cr alpha=4"]


def test_paired_is_said_only_where_it_is_true(tmp_path):
    rows = [(0, "solved", 4000, 4000), (1, "budget", None, 100_000)]
    write_run(tmp_path / "a" / "0", rows, "optimizer=msgd")
    write_run(tmp_path / "a" / "1", rows, "optimizer=msgd_c")
    assert paired(collect([tmp_path / "a"])).startswith("paired")
    write_run(tmp_path / "b" / "0", rows, "task.batch_size=5")
    write_run(tmp_path / "b" / "1", rows, "task.batch_size=10")
    assert paired(collect([tmp_path / "b"])) == ""
    write_run(tmp_path / "a" / "2", rows[:1], "optimizer=msgd_cr")  # another set of seeds
    assert paired(collect([tmp_path / "a"])) == ""


def test_a_method_adds_its_own_metrics_to_the_history():
    assert history_columns() == HISTORY
    assert history_columns(["omega", "entropy"]) == (*HISTORY, "entropy")


def test_the_same_replica_counts_once(tmp_path):
    write_run(tmp_path / "a" / "0", [(0, "solved", 4000, 4000), (1, "budget", None, 100_000)])
    write_run(tmp_path / "b" / "0", [(0, "solved", 4000, 4000), (2, "solved", 2000, 2000)])
    table = success_rates(collect([tmp_path / "a", tmp_path / "b", tmp_path]))
    assert table[["replicas", "solved"]].values.tolist() == [[3, 2]]


def test_conflicts_are_an_error(tmp_path):
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000)])
    write_run(tmp_path / "1", [(0, "solved", 6000, 6000)])
    with pytest.raises(ConfigurationError, match="seed 0 has different outcomes"):
        collect([tmp_path])


def test_interrupted_replicas_are_beside_the_rate(tmp_path):
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000), (1, "interrupted", None, 500), (2, "interrupted", None, 500)])
    write_run(tmp_path / "1", [(1, "budget", None, 100_000)])  # finished since
    table = success_rates(collect([tmp_path]))
    assert table[["replicas", "solved", "interrupted"]].values.tolist() == [[2, 1, 1]]
    assert table[["rate", "ci_low", "ci_high", "median_solved_at"]].isna().all(axis=None)
    write_run(tmp_path / "only" / "2", [(0, "interrupted", None, 5)], "optimizer=msgd")
    alone = success_rates(collect([tmp_path / "only"]))
    assert alone.loc[0, "replicas"] == 0 and np.isnan(alone.loc[0, "rate"])


def test_report_writes_tables_and_plots(tmp_path):
    for n, (method, length) in enumerate([("msgd", 50), ("msgd_c", 50), ("msgd_cr", 50), ("msgd_cr", 100)]):
        rows = [(0, "solved", 2000, 2000), (1, "interrupted", None, 10)]
        write_run(tmp_path / f"{n}", rows, f"optimizer={method}", f"task.length={length}")
    write_run(tmp_path / "lstm", [(0, "interrupted", None, 10)], "cell=lstm")  # nothing finished, still shown
    report([tmp_path])
    for name in ("success_rate.png", "success_rate.svg", "error.png", "error.svg"):
        assert (tmp_path / name).stat().st_size > 5000
    with (tmp_path / "success_rate.csv").open() as file:
        header = next(csv.reader(file))
    assert header[:11] == (
        [
            "task",
            "cell",
            "optimizer",
            "length",
            "max_length",
            "replicas",
            "solved",
            "rate",
            "ci_low",
            "ci_high",
            "median_solved_at",
        ]
    )
    assert len(pd.read_csv(tmp_path / "success_rate.csv")) == 5
    report([tmp_path])  # again: the same, one set of TensorBoard figures
    assert len(list((tmp_path / "curves").iterdir())) == 1


def test_every_replica_is_in_one_table(tmp_path):
    write_run(tmp_path / "0", [(0, "diverged", None, 17), (1, "solved", 4000, 4000)], "optimizer.alpha=2")
    write_run(tmp_path / "1", [(0, "interrupted", None, 500)], "optimizer.alpha=4")
    report([tmp_path])
    table = pd.read_csv(tmp_path / "replicas.csv")
    assert list(table.columns) == [*RESULTS, "optimizer.alpha"]
    assert table[["optimizer.alpha", "seed", "status", "updates"]].values.tolist() == [
        [2, 0, "diverged", 17],
        [2, 1, "solved", 4000],
        [4, 0, "interrupted", 500],
    ]
    assert table["solved_at"].dropna().tolist() == [4000]


JUNK = {
    "empty": b"",
    "zeros": b"\0" * 500,
    "not text": bytes(range(128, 256)),
    "other columns": b"a,b\n1,2\n",
    "words for numbers": b"",
    "prose": b"Dear reader,\nthis is a letter, not a table.\n",
}


@pytest.mark.parametrize("name", ["results.csv", "history.csv", "config.yaml"])
@pytest.mark.parametrize("junk", JUNK)
def test_files_that_others_wrote_are_named_and_skipped(tmp_path, name, junk):
    rows = [(0, "solved", 4000, 4000)]
    write_run(tmp_path / "0", rows)
    write_run(tmp_path / "1", rows, "seed=1")
    file = tmp_path / "1" / name
    if junk == "words for numbers":
        file.write_text(file.read_text().replace("4000", "many").replace("2000", "many"))
        if name == "config.yaml":
            file.write_text("task: many\n")
    else:
        file.write_bytes(JUNK[junk])
    skipped = []
    assert [replica.outcome["seed"] for replica in collect([tmp_path], skipped)] == [0]
    (problem,) = skipped
    assert problem.startswith(f"{file}: ") and "\n" not in problem


def test_command_line(tmp_path):
    def curves(*arguments):
        return ended(*arguments, module="src.curves")

    empty = curves(tmp_path)
    assert empty.status == 2 and empty.err.startswith("error: no results under")
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000)])
    write_run(tmp_path / "1", [(0, "solved", 6000, 6000)])
    conflict = curves(tmp_path)
    assert conflict.status == 2 and "different outcomes" in conflict.err and "Traceback" not in conflict.err
    absent = curves(tmp_path / "0", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert absent.status == 2 and absent.err == f"error: {tmp_path / 'nowhere'}: no such directory\n"
    (tmp_path / "bare").mkdir()
    fine = curves(tmp_path / "0", tmp_path / "bare", "--out", tmp_path / "out")
    assert fine.err == f"no results under {tmp_path / 'bare'}\n"
    assert fine.status == 0 and (tmp_path / "out" / "success_rate.png").is_file()
    (tmp_path / "0" / "results.csv").write_text("")
    (tmp_path / "1" / "results.csv").touch()
    junk = curves(tmp_path, "--out", tmp_path / "out")
    assert junk.status == 1 and junk.err.startswith(f"skipped: {tmp_path / '0' / 'results.csv'}: ")


def test_a_report_removes_nothing_of_others(tmp_path):
    """A run that is called as the folder of a report's figures is."""
    for name in ("curves", "other"):
        run(compose("experiment=smoke", f"seed={len(name)}00"), tmp_path / name)
    before = {file for file in (tmp_path / "curves").rglob("*") if file.is_file()}
    report([tmp_path])
    assert before <= set((tmp_path / "curves").rglob("*"))
    report([tmp_path])  # only its own figures are made anew
    assert len(list((tmp_path / "curves").glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize(
    "file, before, after, words",
    [
        ("results.csv", ",budget,", ",,", "a status is none of solved, budget"),
        ("results.csv", ",budget,", ",done,", "a status is none of solved, budget"),
        ("results.csv", ",False,,", ",maybe,,", "solved must be True or False"),
        ("results.csv", ",False,,", ",True,,", "do not fit each other"),
        ("results.csv", ",False,,40,", ",False,,-40,", "do not fit each other"),
        ("config.yaml", "  length: 10\n", "  length: ten\n", "task.length is ten"),
        ("config.yaml", "  max_length: null", "  max_length: ten", "task.max_length is ten"),
        ("config.yaml", "  name: smart_tanh", "  name: 5", "cell.name is 5"),
        ("config.yaml", "success:", "loop: &a [*a]\nsuccess:", "cannot be read"),
    ],
)
def test_what_was_edited_by_hand_is_named(file, before, after, words, tmp_path, capsys):
    run(compose("experiment=smoke"), tmp_path / "edited")
    run(compose("experiment=smoke", "seed=100"), tmp_path / "sound")
    text = (tmp_path / "edited" / file).read_text()
    assert before in text
    (tmp_path / "edited" / file).write_text(text.replace(before, after))
    skipped = []
    table = report([tmp_path], skipped=skipped)
    (problem,) = skipped
    assert str(tmp_path / "edited" / file) in problem and words in problem
    assert table["replicas"].tolist() == [5]


def test_a_table_that_cannot_be_written_is_as_it_was(tmp_path, monkeypatch):
    run(compose("experiment=smoke"), tmp_path / "run")
    report([tmp_path])
    before = {file: file.read_bytes() for file in tmp_path.glob("*.*")}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"replicas\.csv"):
        report([tmp_path])
    assert {file: file.read_bytes() for file in tmp_path.glob("*.*")} == before


def outcome(**changed):
    own = {"status": "solved", "solved": True, "solved_at": 4000, "best_error": 0.004, "reached": nan, "length": 50}
    return own | changed


def test_a_run_says_what_came_of_it_in_words(tmp_path):
    missed = outcome(status="budget", solved=False, solved_at=None, best_error=0.31)
    lost = outcome(status="diverged", solved=False, solved_at=None, best_error=nan)
    longer = f"python -m src.train resume={tmp_path} trainer.max_steps=2000"
    all_solved = in_words([outcome(), outcome(solved_at=6000), outcome(solved_at=9000)], tmp_path, 1000)
    assert all_solved[0].endswith("half of them within 6,000 updates.") and "at least 44 %" in all_solved[1]
    assert in_words([outcome(), missed], tmp_path, 1000) == [
        f"1 of 2 replicas learned the task. With more updates others may: {longer}"
    ]
    none = in_words([missed, lost], tmp_path, 1000)
    assert (
        none[0] == "No replica learned the task within 1,000 updates; the best one was wrong in 31 % of the sequences."
    )
    assert longer in none[1] and none[2].startswith("1 diverged: ")
    assert in_words([outcome(), outcome(status="interrupted", solved=False)], tmp_path, 1000) == []
    assert in_words([lost], tmp_path, 1000)[0] == "No replica learned the task within 1,000 updates."
    grown = in_words([missed | {"reached": 31}, missed | {"reached": 17}, lost], tmp_path, 1000)
    assert grown[0] == "No replica learned the task within 1,000 updates; one has passed 31 of 50 steps."


def test_what_is_right_or_wrong_and_what_is_not_are_on_one_page(tmp_path):
    """And in one table, which can be read again."""
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000), (1, "budget", None, 100_000)])
    price = ["task=price", "cell=lstm", "optimizer=adam", "schedule=parts"]
    write_run(tmp_path / "1", [], *price)
    cfg = RunDirectory(tmp_path / "1").configuration()
    names = ["price", cfg.task.length, None, "lstm", "adam"]
    losses = [(0, "budget", 0.3), (1, "diverged", 0.1), (2, "diverged", 0.2)]
    rows = [[*names, seed, status, None, None, 500, None, None, 0.1, 1.0, 9.0, loss] for seed, status, loss in losses]
    RunDirectory(tmp_path / "1").write_results(rows)
    RunDirectory(tmp_path / "1").write_history([[seed, 500, 1, 1.0, 0.1, None, 1.0, None] for seed in range(3)])
    out = tmp_path / "out"
    report([tmp_path / "0", tmp_path / "1"], out)
    text = " ".join((out / "report.html").read_text().split())
    assert "<td>1/2</td>" in text and "<td>inf</td>" in text, "a loss that diverged is larger than any"
    assert f"python -m src.curves {tmp_path / '0'} {tmp_path / '1'} --out {out}" in text
    assert len(replicas_of_table(out / "replicas.csv")) == 5


def test_one_setting_of_a_kept_table_is_not_pooled_with_another(tmp_path):
    """Whatever its columns are called."""
    write_run(tmp_path / "0", [(0, "solved", 4000, 4000)])
    report([tmp_path])
    table = pd.read_csv(tmp_path / "replicas.csv")
    table = pd.concat([table.assign(setting="l1"), table.assign(setting="l2")]).assign(commit="1234567")
    table.to_csv(tmp_path / "kept.csv", index=False)
    assert success_rates(replicas_of_table(tmp_path / "kept.csv"))["replicas"].tolist() == [1, 1]


def test_a_class_of_ones_own_is_a_setting(tmp_path):
    """One that stands for the same name; torch's own are told by their names."""
    write_run(tmp_path / "0", [(0, "budget", None, 100)], "optimizer=adam")
    write_run(
        tmp_path / "1", [(1, "budget", None, 100)], "optimizer=adam", "optimizer.step._target_=torch.optim.Adamax"
    )
    assert success_rates(collect([tmp_path]))["optimizer.step._target_"].tolist() == [
        "torch.optim.Adam",
        "torch.optim.Adamax",
    ]
    write_run(tmp_path / "1", [(1, "budget", None, 100)], "optimizer=rmsprop")
    assert "optimizer.step._target_" not in success_rates(collect([tmp_path]))


def test_a_line_ends_with_its_budget(tmp_path):
    write_run(tmp_path / "0", [(0, "budget", None, 60)], "trainer.max_steps=60")
    write_run(
        tmp_path / "1", [(0, "budget", None, 100), (1, "solved", 40, 40)], "optimizer=msgd", "trainer.max_steps=100"
    )
    (axis,) = plots.success_rate(collect([tmp_path])).axes
    assert sorted(max(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) > 1) == [60, 100]


def test_many_replicas_before_their_first_check_are_drawn(tmp_path):
    write_run(tmp_path, [(seed, "interrupted", None, 10) for seed in range(40)])
    RunDirectory(tmp_path).write_history([])
    report([tmp_path])
    assert (tmp_path / "error.png").is_file()


def test_one_length_is_drawn_against_updates_and_many_lines_get_a_median(tmp_path):
    for method in ("msgd_c", "msgd_cr"):
        run(compose("experiment=smoke", f"optimizer={method}", "replicas=30", "threads=1"), tmp_path / method)
    replicas = collect([tmp_path])
    for replica in replicas[:6]:
        replica.outcome |= {"solved": True, "solved_at": 20, "status": "solved"}
    (axis,) = plots.success_rate(replicas).axes
    shares = {line.get_label(): line.get_ydata()[-1] for line in axis.lines if not line.get_label().startswith("_")}
    assert axis.get_xlabel() == "updates" and shares == {"msgd_c": 0.2, "msgd_cr": 0}
    colours = {line.get_label(): line.get_color() for line in axis.lines}
    assert (colours["msgd_c"], colours["msgd_cr"]) == (COLOURS[1], COLOURS[2]), "as with msgd beside them"
    figure = plots.error(replicas)
    medians = [line for line in figure.axes[0].lines if line.get_linewidth() == 2]
    together = [replica.curve("step", "error") for replica in replicas if replica.outcome["optimizer"] == "msgd_cr"]
    expected = 100 * np.median([curve[:, 1] for curve in together], axis=0)
    np.testing.assert_allclose(medians[1].get_ydata(), expected)
    assert medians[1].get_xdata().tolist() == [20, 40]


def test_of_many_rows_the_first_are_printed(capsys):
    names = {"task.name": "t", "task.max_length": None, "cell.name": "c", "optimizer.name": "o"}
    replicas = []
    for length in range(1, 131):
        outcome = {"task": "t", "cell": "c", "optimizer": "o", "length": length, "seed": 0, "status": "budget"}
        outcome |= {"solved": False, "solved_at": nan, "updates": 5}
        config = Config(sorted((names | {"task.length": length}).items()))
        replicas.append(Replica(config, outcome, pd.DataFrame(), Path("x")))
    show_success_rates(replicas, success_rates(replicas), Path("out"))
    out = capsys.readouterr().out
    assert " 100 " in out and " 101 " not in out and "and 30 more rows in success_rate.csv" in out
