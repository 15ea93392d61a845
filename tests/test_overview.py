"""What has run, and two of it beside each other: src.runs, src.compare."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest

from src import compare, runs
from src.intervals import wilson
from src.results.collect import Config, collect
from src.results.comparison import paired
from src.results.overview import entries
from src.results.versus import comparisons, difference, different, pair_tests, reach
from src.run import run
from src.rundir import JOBS, RunDirectory, table_file, write_table
from tests.conftest import ROOT, compose

SMALL = ["experiment=smoke", "threads=1", "replicas=2", "callbacks.diagnostics.every=null", "success.sequences=60"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, a sweep of two jobs and one that has not begun, and things that are none."""
    folder = tmp_path_factory.mktemp("place")
    run(compose(*SMALL), folder / "single")
    for number, method in enumerate(("msgd", "msgd_c")):
        run(compose(*SMALL, f"optimizer={method}", "task.length=12"), folder / "sweep" / f"{number}_{method}")
    rows = [("0_msgd", "optimizer=msgd"), ("1_msgd_c", "optimizer=msgd_c"), ("2_msgd_cr", "optimizer=msgd_cr")]
    write_table(table_file(folder / "sweep", JOBS), ("directory", "overrides"), rows)
    shutil.copytree(folder / "single", folder / "damaged")
    (folder / "damaged" / "results.csv").write_text("seed,what\n1,2\n")
    (folder / "table").mkdir()
    shutil.copy(ROOT / "results" / "pascanu_tasks" / "replicas.csv", folder / "table")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "replicas.csv").write_text("\0\0")
    (folder / "foreign" / "results.csv").write_text("\0\0")
    return folder


def command(module, *arguments, monkeypatch, capsys):
    """Status and output of a command."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    status = 0
    try:
        module.main()
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


def test_one_entry_for_a_run_a_sweep_and_a_table(place):
    found = {entry.path.name: entry for entry in entries([place])}
    assert set(found) == {"single", "sweep", "damaged", "table", "foreign"}
    times = [entry.when for entry in entries([place])]
    assert times == sorted(times, reverse=True)
    single, sweep = found["single"], found["sweep"]
    assert single.status == "ended" and single.interval is not None and len(single.replicas) == 2
    assert single.median_updates == 40 and single.seconds > 0
    assert sweep.status == "2 of 3 jobs ended" and sweep.values("optimizer") == ["msgd", "msgd_c"]
    assert sweep.interval is None, "of two methods"
    assert found["table"].status == "table" and len(found["table"].replicas) == 5
    assert "no column" in found["damaged"].problem
    assert "foreign" in found["foreign"].problem
    assert entries([place / "nowhere"]) == []


def test_words_choose(place):
    def chosen(*words):
        return {entry.path.name for entry in entries([place]) if entry.answers(words)}

    assert chosen("msgd_c", "length=12") == {"sweep"}
    assert chosen("length=10") == {"single"}
    assert chosen("task.length=10", "optimizer=msgd_cr") == {"single"}
    assert chosen("lr=0.01", "length=12") == {"sweep"}
    assert chosen("lr=0.02") == set()
    assert chosen("addition") == {"table"}
    assert chosen("clip=null") == {"sweep"}, "msgd"


def test_src_runs(place, monkeypatch, capsys):
    def runs_of(*arguments):
        return command(runs, *arguments, monkeypatch=monkeypatch, capsys=capsys)

    status, out, _ = runs_of(place)
    assert status == 0 and "0/2 solved (95 % interval 0-66 %), median 40 updates" in out
    assert "2 of 3 jobs ended, 0/4 solved, median" in out and "no column" in out
    status, out, _ = runs_of(place, "msgd_c", "--json")
    (entry,) = json.loads(out)
    assert entry["length"] == [12] and entry["replicas"] == 4 and entry["interval"] is None
    status, _, err = runs_of(place, "nothing_of_that_name")
    assert status == 2 and err == f"error: nothing under {place} that is nothing_of_that_name\n"
    assert runs_of(ROOT / "results")[0] == 0


def test_a_reader_that_goes_ends_src_runs_quietly(place):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "src.runs", "--json", str(place)]
    ended = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, b"")


def replicas_of(place, *names):
    return [collect([place / name]) for name in names]


def test_what_differs_and_what_is_paired(place, tmp_path):
    one, other = replicas_of(place / "sweep", "0_msgd", "1_msgd_c")
    assert different(one, other) == {"optimizer.clip": ([None], [1.0]), "optimizer.name": (["msgd"], ["msgd_c"])}
    ((found,), left_out) = comparisons(one, other)
    assert found.paired == "the same starts and data" and left_out == 0
    run(compose(*SMALL, "task.length=12", "optimizer=msgd", "cell=sigmoid"), tmp_path / "cell")
    run(compose(*SMALL, "task.length=12", "optimizer=msgd", "seed=9"), tmp_path / "seed")
    assert comparisons(one, collect([tmp_path / "cell"]))[0][0].paired == "the same data"
    assert comparisons(one, collect([tmp_path / "seed"]))[0][0].paired == ""
    assert comparisons(one, collect([place / "single"]))[0][0].paired == "", "of other lengths"
    whole, part = replicas_of(place, "sweep", "sweep/0_msgd")
    ((found,), left_out) = comparisons(whole, part)
    assert len(found.one) == 2 and left_out == 1, "never pooled"


def test_numbers_are_compared_as_numbers(tmp_path):
    for name, alpha, lr in (("one", "2", 0.01), ("other", "2.0", 0.02)):
        run(compose(*SMALL, "trainer.max_steps=5", f"optimizer.alpha={alpha}", f"optimizer.lr={lr}"), tmp_path / name)
    one, other = replicas_of(tmp_path, "one", "other")
    assert different(one, other) == {"optimizer.lr": ([0.01], [0.02])}
    ((found,), left_out) = comparisons(one, other)
    assert found.shared == {} and left_out == 0


def test_whose_lengths_grow_shares_the_start_and_not_the_data(tmp_path):
    keys = ["experiment=reach_smoke", "threads=1", "replicas=2", "trainer.max_steps=5"]
    for method in ("msgd_c", "msgd_cr"):
        run(compose(*keys, f"optimizer={method}"), tmp_path / method)
    one, other = replicas_of(tmp_path, "msgd_c", "msgd_cr")
    ((found,), _) = comparisons(one, other)
    assert found.paired == "the same starts"
    assert paired([*one, *other]).endswith("saw the same starts")


def test_a_replica_of_two_jobs_counts_once(tmp_path):
    """Seeds 0 to 2 and 2 to 4 are five."""
    rows = []
    for seed in (0, 2):
        run(compose(*SMALL, f"seed={seed}", "replicas=3", "trainer.max_steps=5"), tmp_path / f"{seed}")
        rows.append((f"{seed}", f"seed={seed}"))
    write_table(table_file(tmp_path, JOBS), ("directory", "overrides"), rows)
    (entry,) = entries([tmp_path])
    assert len(entry.replicas) == 5 and entry.interval == wilson(0, 5)


def test_tests_of_pairs_are_exact(place):
    ((found,), _) = comparisons(*replicas_of(place / "sweep", "0_msgd", "1_msgd_c"))
    base = found.one[0].outcome

    def side(*solved_at):
        made = []
        for seed, at in enumerate(solved_at):
            outcome = base | {"seed": seed, "solved": at is not None, "solved_at": math.nan if at is None else at}
            made.append(type(found.one[0])(found.one[0].config, outcome, found.one[0].together, found.one[0].source))
        return made

    found.one = side(10, 20, 30, 40, None, None, 70)
    found.other = side(20, None, None, None, None, 5, 70)
    at_all, sooner = pair_tests(found)
    assert (at_all.for_one, at_all.for_other) == (3, 1) and at_all.p == pytest.approx(10 / 16)  # of 4: 0, 1, 3 or 4
    assert (sooner.for_one, sooner.for_other) == (4, 1) and sooner.p == pytest.approx(12 / 32)


def test_how_far_both_came_whose_lengths_grow(place):
    """By as many updates as both made; against outcomes by hand."""
    ((found,), _) = comparisons(*replicas_of(place / "sweep", "0_msgd", "1_msgd_c"))
    assert reach(found) is None
    first = found.one[0]
    config = Config([*first.config, ("curriculum.first", 2)])

    def side(updates, *passed, status="budget"):
        """A replica for each dict of updates and the length passed then."""
        rows = [
            {"seed": seed, "step": step, "length": 50, "reached": own.get(step, math.nan)}
            for seed, own in enumerate(passed)
            for step in (10, 20, 30, 40)
        ]
        made = []
        for seed, own in enumerate(passed):
            last = max(own.values(), default=math.nan)
            outcome = first.outcome | {"seed": seed, "updates": updates, "reached": last, "status": status}
            made.append(type(first)(config, outcome, pd.DataFrame(rows), first.source))
        return made

    found.one = side(40, {10: 50, 20: 60, 40: 90}, {20: 50}, {}, {30: 70}, {40: 80})
    found.other = side(30, {10: 50}, {10: 50, 30: 55}, {}, {10: 60, 20: 65}, {30: 50})[::-1]
    far = reach(found)
    assert (far.updates, far.one, far.other) == (30, [60, 50, 0, 70, 0], [50, 55, 0, 65, 50])
    assert (far.test.for_one, far.test.for_other) == (2, 2) and far.test.p == 1 and "sign test" in far.test.name
    found.other = side(20, {10: 50}, {}, {}, {}, {}, status="diverged")
    far = reach(found)
    assert (far.updates, far.one) == (40, [90, 50, 0, 70, 80]), "who diverged could not go on"
    found.other[4].outcome |= {"status": "interrupted", "updates": 20}
    assert reach(found).updates == 20
    found.one = side(25, {20: 60}, {25: 100}, {}, {}, {}, status="solved")  # 25: in the test at the end
    found.other = side(30, {}, {}, {}, {}, {}, status="solved")
    far = reach(found)
    assert (far.updates, far.one) == (30, [60, 100, 0, 0, 0]), "all have ended"
    found.one = side(40, {10: 50, 20: 60, 40: 90}, {20: 50}, {}, {30: 70}, {40: 80})
    found.other = side(30, {10: 50}, {10: 50, 30: 55}, {}, {10: 60, 20: 65}, {30: 50})[::-1]
    found.paired = ""
    far = reach(found)
    assert (far.test.for_one, far.test.for_other) == (10, 11) and "Mann-Whitney" in far.test.name
    assert far.test.p == pytest.approx(1, abs=0.1)


def test_the_interval_of_a_difference_is_newcombes():
    """His example: 56 of 70 and 48 of 80; .2 with .0524 to .3339 (1998, table II, a, method 10)."""
    assert difference((48, 80), (56, 70)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert difference((0, 10), (0, 10))[1:] == pytest.approx((-0.2775, 0.2775), abs=5e-5)


def test_src_compare(place, monkeypatch, capsys):
    def compared(*arguments):
        return command(compare, *arguments, monkeypatch=monkeypatch, capsys=capsys)

    status, out, _ = compared(place / "sweep" / "0_msgd", place / "sweep" / "1_msgd_c")
    assert status == 0 and "optimizer.clip" in out and "McNemar's exact test" in out and "sign test" in out
    status, out, _ = compared(place / "single", place / "sweep" / "0_msgd")
    assert status == 0 and "not paired" in out and "Newcombe's" in out
    far = [ROOT / "results" / folder / "run" for folder in ("reach_alpha", "reach_far")]
    status, out, _ = compared(*far)
    assert status == 0 and "no rate" in out
    assert "longest length passed by 92,451 updates: A 2128.5 (986-4002); B 1299 (578-2664)" in out
    assert "farther, in pairs of a seed (sign test): A 8, B 2; p = 0.11" in out
    status, out, _ = compared(ROOT / "results" / "pascanu_100000", ROOT / "results" / "pascanu_figure")
    assert status == 0 and "cell=sigmoid, optimizer=msgd_cr, length=50" in out and "no counterpart" in out
    assert compared(place / "nowhere", place / "single")[0] == 2
    status, _, err = compared(place / "foreign", place / "single")
    assert status == 2 and err.startswith("error: ")


def test_a_run_at_work_is_listed(place, tmp_path):
    shutil.copytree(place / "single", tmp_path / "live")
    run_directory = RunDirectory(tmp_path / "live")
    run_directory.closed_file.unlink()
    with run_directory.locked():
        (entry,) = entries([tmp_path])
        assert entry.status == "running"
    (entry,) = entries([tmp_path])
    assert entry.status == "interrupted"
