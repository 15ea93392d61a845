"""Patient records: the CSV file, windows, folds, scaling, masks, padding, the loss, pooled scores, intervals."""

import csv
import sys
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from src import records, recurrence
from src.auc import auc, interval, resamples
from src.config import ConfigurationError, check
from src.directions import Direction, Omega
from src.network import Network
from src.recurrence import FUSED, REFERENCE, cpu
from src.run import run
from src.trained import load_population
from tasks.batch import collate
from tasks.cohort import BY_CHANCE, COURSES, FEATURES, patient, synthetic_cohort
from tasks.draws import Stream, generator
from tasks.records import Records, stratified
from tasks.task import Split
from tasks.visits import DAMAGED, LOST, Patient, read_cohort, window
from tests.conftest import compose, make_architecture, make_task

RECURRENCES = [FUSED, REFERENCE] if cpu.available() else [REFERENCE]
SMALL = ["task=records", "task.cohort=150", "cell=basic_tanh", "cell.hidden_size=7", "optimizer=msgd_c", "replicas=2"]
SMALL += ["trainer.max_steps=30", "success.check_every=10", "threads=1", "task.batch_size=6"]
COLUMNS = ("patient", "time", "outcome")

pytestmark = pytest.mark.usefixtures("as_before")


def write(folder, rows, header="patient,time,c3level,skinrash,SDI", name="visits.csv"):
    """A CSV file of these lines."""
    file = folder / name
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def some_rows(patients=12, visits=5, seed=0, shift=None):
    """Lines of patients; every third has damage at the last visit. Those in ``shift`` have other features."""
    rows = []
    for n in range(patients):
        draws = np.random.default_rng([seed, n])
        for v in range(visits - n % 2):
            c3 = f"{draws.normal(100, 20):.2f}"
            if shift and n in shift:
                c3 = "1e9"
            missing = draws.random() < 0.3
            damage = int(n % 3 == 0 and v == visits - n % 2 - 1)
            rows.append(f"p{n},{v + draws.random() / 2:.3f},{'' if missing else c3},{v % 2},{damage}")
    return rows


def whole(file, **keys):
    """The task of a file whose patients are read up to the visit before the last, or before damage."""
    own = {"observation": None, "prediction": None, "folds": 3, **keys}
    return Records(name="records", length=own.pop("length", 6), path=str(file), **own)


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a,0,1,0,0", "a,1,x,0,1"], "row 3, column c3level: 'x' is no number, or too large"),
        (["a,0,1,0,0", "a,1,1e40,0,1"], "row 3, column c3level: '1e40' is no number, or too large"),
        (["a,0,1,0,0", "a,inf,1,0,1"], "row 3, column time: 'inf' is no number, or too large"),
        (["a,0,1,0,0", "a,,1,0,1"], "row 3, column time: is empty"),
        (["a,0,1,0,0", "a,1,1,0,"], "row 3, column SDI: is empty"),
        (["a,0,1,0,0", "a,1,1,0,nan"], "row 3, column SDI: 'nan' is no number, or too large"),
        (["a,0,1,0,0", ",1,1,0,1"], "row 3, column patient: is empty"),
        (["a,0,1,0,0", "a,1,1"], "row 3, column skinrash: is missing, the row ends before"),
        (["a,0,1,0,0", "a,1,1,0,1,7"], "row 3: 6 fields, and there are 5 columns"),
        (["a,1,1,0,0", "", "b,1,1,0,0", "a,1.0,1,0,1"], "row 5, column time: a has a visit at 1 already, in row 2"),
        (["a,0,1,0,0", "a,1,1,0,1", "b,1,1,0,0"], "row 4, column patient: b has one visit; nothing follows it"),
        (["a,0,1,0,0", "a,1,1,0,0"], "rows 2 to 3, column SDI: is never above 0; there is nothing to foretell"),
        (["a,0,1,0,2", "a,1,1,0,2"], "rows 2 to 3, column SDI: is always above 0; there is nothing to foretell"),
        ([], "row 2: there are no visits"),
        (['a,0,"1'], "unexpected end of data"),
    ],
)
def test_faults_of_a_file_are_one_line_with_row_and_column(rows, words, tmp_path):
    file = write(tmp_path, rows)
    assert check(compose("task=records", f"task.path={file}")) == [f"task: path={file}: {words}"]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("patient,time,c3level,SDI,SDI", "row 1, column SDI: comes 2 times"),
        ("patient,time,c3level,,SDI", "row 1, column 4: has no name"),
        ("patient,when,SDI", "row 1, column time: is missing; there are patient, when, SDI"),
        ("patient,time,SDI", "row 1: no features beside patient, time, SDI"),
        ("", "row 1, column patient: is missing; there are none"),
    ],
)
def test_faults_of_a_header(header, words, tmp_path):
    file = write(tmp_path, ["a,0,1,0,0"], header)
    assert check(compose("task=records", f"task.path={file}")) == [f"task: path={file}: {words}"]


def test_files_that_cannot_be_read(tmp_path):
    missing = tmp_path / "none.csv"
    assert check(compose("task=records", f"task.path={missing}")) == [
        f"task: path={missing}: No such file or directory"
    ]
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00patient")
    assert check(compose("task=records", f"task.path={binary}")) == [f"task: path={binary}: is no text in UTF-8"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["task.fold=5"], "task: fold=5: there are 5 folds, 0 to 4"),
        (["task.observation=null"], "task: prediction=3.0: needs an observation, after which it begins"),
        (["task.max_length=20"], "task: max_length and stretch: records are padded to one length"),
        (["task.cohort=20"], "task: folds=5: observation and prediction leave 3 patients of whom damage follows, "),
        (["task.observation=100"], "task: folds=5: observation and prediction leave 0 patients of whom damage follows"),
        (["task.cohort=1e6"], "task.cohort=1000000: must be a whole number from 1 to 100000"),
        (["task.length=1e12"], "task.length=1000000000000: a mini-batch of 2e+13 steps does not fit"),
        (["task.folds=1"], "task.folds=1: must be a whole number, 2 or more"),
        (["task.shuffled=2"], "task.shuffled=2: must be true or false"),
        (["task.path=7"], "task.path=7: must be a file, or null"),
        (["+task.colour=1"], "task: "),
    ],
)
def test_keys_that_cannot_be(keys, words):
    (problem,) = check(compose("task=records", *keys))
    assert problem.startswith(words)


def test_visits_are_sorted_and_what_is_missing_is_known(tmp_path):
    rows = ["b,2,NA,1,0", "a,1,90,0,0", "b,1,80,,0", "a,0.5,nan,1,0", "b,3,1,1,2"]
    cohort = read_cohort(write(tmp_path, rows), "patient", "time", "SDI")
    assert cohort.features == ("c3level", "skinrash") and [own.name for own in cohort.patients] == ["b", "a"]
    b, a = cohort.patients
    assert b.time_V.tolist() == [1, 2, 3] and b.damage_V.tolist() == [0, 0, 2] and a.time_V.tolist() == [0.5, 1]
    np.testing.assert_array_equal(b.value_VF, [[80, np.nan], [np.nan, 1], [1, 1]])
    np.testing.assert_array_equal(a.value_VF, [[np.nan, 1], [90, 0]])


def test_other_names_of_columns(tmp_path):
    rows = some_rows()
    one = whole(write(tmp_path, rows))
    file = write(tmp_path, rows, "who,when,c3level,skinrash,harm", "other.csv")
    other = whole(file, patient="who", time="when", outcome="harm")
    assert np.array_equal(one.train.inputs_TNI, other.train.inputs_TNI)


# -- windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "damage", "observation", "prediction", "expected"),
    [
        ([0, 1, 2, 4, 5], [0, 0, 0, 1, 1], 3, 3, (3, True)),
        ([0, 1, 3, 6, 7], [0, 0, 0, 1, 1], 3, 3, (3, True)),  # both ends belong to their windows
        ([0, 1, 2, 4, 7], [0, 0, 0, 0, 1], 3, 3, (3, False)),  # damage, but later
        ([0, 1, 2, 4, 7], [0, 0, 0, 0, 1], 3, None, (3, True)),
        ([0, 1, 2, 4, 6], [0, 0, 0, 0, 0], 3, 3, (3, False)),
        ([0, 1, 2, 4, 5], [0, 0, 0, 0, 0], 3, 3, LOST),
        ([0, 1, 2, 4, 5], [0, 0, 0, 0, 0], 3, None, (3, False)),
        ([0, 1, 2], [0, 0, 0], 3, None, LOST),
        ([0, 1, 2, 4], [0, 0, 1, 1], 3, 3, DAMAGED),
        ([5, 6, 7, 9, 11], [0, 0, 0, 1, 1], 3, 3, (3, True)),  # counted from the first visit
        ([0, 1, 2, 4], [0, 0, 0, 1], None, None, (3, True)),
        ([0, 1, 2, 4], [0, 0, 1, 1], None, None, (2, True)),
        ([0, 1, 2, 4], [0, 0, 0, 0], None, None, (3, False)),
        ([0, 1, 2, 4], [1, 1, 1, 1], None, None, DAMAGED),
    ],
)
def test_windows_by_hand(times, damage, observation, prediction, expected):
    own = Patient("a", np.array(times, float), np.zeros((len(times), 1)), np.array(damage, float))
    assert window(own, observation, prediction) == expected


def test_nothing_after_the_observation_is_read():
    """Whatever the later visits hold: the inputs are the same."""
    task = make_task("records", cohort=150)
    seen = {own.name: own for own in synthetic_cohort(150, 0).patients}
    for cases in (task.train, task.test):
        for n, name in enumerate(cases.names):
            times = seen[name].time_V
            assert cases.last_N[n] == min(np.sum(times <= 3.0), task.length) - 1
            assert not cases.inputs_TNI[cases.last_N[n] + 1 :, n].any()
            later = seen[name].damage_V[(times > 3) & (times <= 6)]
            assert cases.damage_N[n] == later.any() and not seen[name].damage_V[times <= 3].any()


# -- folds -------------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(0, 40), st.integers(0, 60), st.integers(0, 2**32))
def test_each_fold_has_its_share_of_either_class(folds, with_damage, without, seed):
    damage_N = np.random.default_rng(seed).permutation([True] * with_damage + [False] * without).astype(bool)
    if min(with_damage, without) < folds:
        with pytest.raises(ValueError, match="each fold needs one"):
            stratified(damage_N, folds, generator(seed, Stream.RECORDS, 1))
        return
    fold_N = stratified(damage_N, folds, generator(seed, Stream.RECORDS, 1))
    for part in (damage_N, ~damage_N, np.ones_like(damage_N)):
        sizes = np.bincount(fold_N[part], minlength=folds)
        assert sizes.sum() == part.sum() and sizes.max() - sizes.min() <= 1


def test_folds_share_no_patient_and_are_those_of_every_run():
    tasks = [make_task("records", cohort=150, fold=fold) for fold in range(5)]
    tested = [name for task in tasks for name in task.test.names]
    assert len(set(tested)) == len(tested) == len(tasks[0].fold_N)
    for task in tasks:
        assert set(task.train.names) | set(task.test.names) == set(tested)
        assert not set(task.train.names) & set(task.test.names)
    assert tasks[0].test.names != make_task("records", cohort=150, folds=5, data_seed=1).test.names


def test_training_draws_from_the_training_part_alone_and_tests_see_every_other_patient_once():
    task = make_task("records", cohort=150)
    inputs, _ = task.draw(task.length, 2000, generator(0, Stream.DATA, 0))
    visits = len(task.train.inputs_TNI)
    assert not inputs[visits:].any()
    drawn = {column[:visits].tobytes() for column in inputs.swapaxes(0, 1)}
    assert drawn == {column.tobytes() for column in task.train.inputs_TNI.swapaxes(0, 1)}
    inputs, target = task.draw(task.length, task.evaluated, generator(0, Stream.EVALUATION, 0), Split.EVALUATION)
    assert np.array_equal(inputs[:visits], task.test.inputs_TNI) and task.evaluated == len(task.test.names)
    assert np.array_equal(target, task.targets(task.test, task.length))


def test_shuffled_outcomes_are_the_same_number_of_other_patients():
    task, shuffled = (make_task("records", cohort=300, shuffled=each) for each in (False, True))

    def outcomes(own):
        parts = (own.train, own.test)
        return {name: damage for part in parts for name, damage in zip(part.names, part.damage_N, strict=True)}

    one, other = outcomes(task), outcomes(shuffled)
    assert one.keys() == other.keys() and sum(one.values()) == sum(other.values())
    both = sum(one[name] and other[name] for name in one)
    assert both < 0.5 * sum(one.values())  # by chance a tenth


# -- inputs ------------------------------------------------------------------------------------------------------------


def test_inputs_by_hand(tmp_path):
    """Scaled by hand in float64, over the training part's visits that are read; 0 and a mask where missing; gaps."""
    file = write(tmp_path, some_rows())
    task = whole(file)
    visits = {}
    for row in csv.DictReader(file.read_text().splitlines()):
        visits.setdefault(row["patient"], []).append(row)
    read = {name: rows[:-1] for name, rows in visits.items()}
    own = [row for name in task.train.names for row in read[name]]
    c3 = np.array([float(row["c3level"]) for row in own if row["c3level"]])
    rash = np.array([float(row["skinrash"]) for row in own])
    times = {name: np.array([float(row["time"]) for row in rows]) for name, rows in read.items()}
    gap = np.concatenate([np.diff(times[name]) for name in task.train.names]).std()
    for cases in (task.train, task.test):
        assert cases.inputs_TNI.dtype == np.float32
        for n, name in enumerate(cases.names):
            expected = np.zeros((4, 5))
            for v, row in enumerate(read[name]):
                known = row["c3level"] != ""
                expected[v, 0] = (float(row["c3level"]) - c3.mean()) / c3.std() if known else 0
                expected[v, 1] = (float(row["skinrash"]) - rash.mean()) / rash.std()
                expected[v, 2] = not known
                expected[v, 4] = (times[name][v] - times[name][v - 1]) / gap if v else 0
            np.testing.assert_allclose(cases.inputs_TNI[:, n], expected, rtol=1e-5, atol=1e-6)
    assert (task.train.inputs_TNI[..., 2] == 1).any()


def test_nothing_of_the_tested_patients_leaks_into_training(tmp_path):
    task = whole(write(tmp_path, some_rows()), fold=1)
    tested = {int(name[1:]) for name in task.test.names}
    other = whole(write(tmp_path, some_rows(shift=tested), name="other.csv"), fold=1)
    assert other.train.inputs_TNI.tobytes() == task.train.inputs_TNI.tobytes()
    assert np.abs(other.test.inputs_TNI).max() > 1e5 > np.abs(task.test.inputs_TNI).max()
    trained = whole(write(tmp_path, some_rows(shift={int(task.train.names[0][1:])}), name="third.csv"), fold=1)
    assert trained.test.inputs_TNI.tobytes() != task.test.inputs_TNI.tobytes()  # the test could fail


def test_features_that_never_vary_and_those_that_are_never_there_are_numbers(tmp_path):
    rows = [f"{row.split(',')[0]},{row.split(',')[1]},,4,{row.split(',')[4]}" for row in some_rows()]
    task = whole(write(tmp_path, rows))
    assert np.isfinite(task.train.inputs_TNI).all()
    visits = task.train.inputs_TNI[0]
    assert (visits[:, 0] == 0).all() and (visits[:, 1] == 0).all() and (visits[:, 2] == 1).all()


def test_of_many_visits_the_last_are_read(tmp_path):
    file = write(tmp_path, some_rows(visits=9))
    long, short = whole(file, length=8), whole(file, length=3)
    for n, last in enumerate(long.test.last_N):
        assert np.array_equal(short.test.inputs_TNI[:, n], long.test.inputs_TNI[last - 2 : last + 1, n])
    assert (short.test.last_N == 2).all() and short.shortened == 12 and long.shortened == 0


# -- padding and the loss ----------------------------------------------------------------------------------------------


def learned(task, cell, direction, alpha, batch=9):
    """Answers and gradients of two networks on a mini-batch."""
    network = Network.start(make_architecture(cell, 7), task, [0, 1])
    pair = task.draw(task.length, batch, generator(3, Stream.DATA, 0))
    both = collate([pair, pair])
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    found = network.learn(both, task, direction, {"alpha": torch.tensor([alpha] * 2)})
    output = network(both.inputs, both.length, every_step=True).detach()
    answered = both.target != 0
    return output[answered], found["loss"], {name: p.grad.clone() for name, p in network.named_parameters()}


@pytest.mark.parametrize(("cell", "name"), [*product(("basic_tanh", "lstm"), RECURRENCES), ("gru", REFERENCE)])
def test_padding_changes_no_bit_of_an_answer(cell, name):
    """And of losses and gradients, Ω's too, nothing but roundings: the factor T, and the order of fused sums."""
    recurrence.use(name, 1)
    direction, alpha = (Direction(), 0.0) if cell == "gru" else (Omega("squared"), 2.0)
    found = {}
    for length in (16, 23, 32):
        found[length] = learned(make_task("records", cohort=150, length=length), cell, direction, alpha)
    answer, loss, gradients = found[16]
    assert torch.equal(answer, found[23][0]) and torch.equal(answer, found[32][0])
    torch.testing.assert_close(loss, found[23][1], rtol=1e-6, atol=0)
    assert torch.equal(loss, found[32][1])
    for n, gradient in gradients.items():
        for length in (23, 32):
            torch.testing.assert_close(gradient, found[length][2][n], rtol=1e-4, atol=1e-6)
        assert name == FUSED or torch.equal(gradient, found[32][2][n]), n  # a factor of 2 rounds nothing


@pytest.mark.parametrize("name", RECURRENCES)
def test_what_stands_in_the_padding_changes_no_bit(name):
    recurrence.use(name, 1)
    task = make_task("records", cohort=150)
    before = learned(task, "basic_tanh", Omega("squared"), 2.0)
    padding_TN = np.arange(len(task.train.inputs_TNI))[:, None] > task.train.last_N
    task.train.inputs_TNI[padding_TN] = 5.0
    after = learned(task, "basic_tanh", Omega("squared"), 2.0)
    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])
    assert all(torch.equal(before[2][n], after[2][n]) for n in before[2])


@pytest.mark.parametrize(("form", "weighted"), list(product(("cross_entropy", "hinge"), (True, False))))
def test_losses_by_hand(form, weighted, rng):
    """Float64, patient by patient: the mean of weight times loss at each one's last visit."""
    task = make_task("records", cohort=150, loss=form, weighted=weighted)
    pair = task.draw(task.length, 40, generator(0, Stream.DATA, 0))
    output = torch.from_numpy(3 * rng.normal(size=(1, task.length, 40, 1)).astype(np.float32))
    damage = task.train.damage_N
    total = 0.0
    for n in range(40):
        (step,) = np.flatnonzero(pair[1][:, n])
        positive = pair[1][step, n] > 0
        y = float(output[0, step, n, 0]) * (1 if positive else -1)
        weight = 0.5 / (damage.mean() if positive else 1 - damage.mean()) if weighted else 1.0
        total += weight * (np.log1p(np.exp(-y)) if form == "cross_entropy" else max(0.0, 1 - y)) / 40
    batch = collate([pair])
    assert float(task.loss(output, batch.target, batch.length)) == pytest.approx(total, rel=1e-6)
    parts = [task.loss(output[:, a:b], batch.target[:, a:b], torch.tensor([b - a])) for a, b in ((0, 5), (5, 16))]
    assert float(5 * parts[0] + 11 * parts[1]) / 16 == pytest.approx(total, rel=1e-5)  # as truncated BPTT adds them
    with pytest.raises(TypeError):
        task.wrong(output, batch.target)


def test_classes_weigh_the_same():
    task = make_task("records", cohort=300)
    target = task.targets(task.train, task.length).sum(0) / task.length
    assert target[target > 0].sum() == pytest.approx(-target[target < 0].sum(), rel=1e-5)
    assert np.abs(target).mean() == pytest.approx(1, rel=1e-5)


# -- the cohort --------------------------------------------------------------------------------------------------------


def test_what_is_planted_is_there_and_the_last_visit_does_not_tell():
    known = [patient(n, 7) for n in range(2000)]
    assert synthetic_cohort(5, 7).patients[4].time_V.tolist() == known[4][0].time_V.tolist()  # whatever the size
    found = {course: [] for course in COURSES}
    for own, course in known:
        outcome = window(own, 3.0, 3.0)
        if not isinstance(outcome, str):
            seen, follows = outcome
            found[course].append((follows, own.value_VF[seen - 1], seen))
            early = own.time_V < 1.8
            blood, joints = (own.value_VF[early, FEATURES.index(name)] for name in ("hematological", "arthritis"))
            for name, values in (("blood", blood), ("joints", joints)):
                assert (np.nansum(values > 0) == 1) >= (name in course and not np.isnan(values).any())
            if course == COURSES[0] and np.nansum(blood) and np.nansum(joints):
                assert np.nanargmax(blood) < np.nanargmax(joints)
    share = {course: np.mean([follows for follows, _, _ in each]) for course, each in found.items()}
    assert 0.4 < share[COURSES[0]] < 0.6 and max(share[course] for course in COURSES[1:]) < 0.06
    everybody = [each for course in COURSES for each in found[course]]
    assert 0.08 < np.mean([follows for follows, _, _ in everybody]) < 0.15
    assert len({seen for _, _, seen in everybody}) > 8  # visits are irregular
    last = np.array([values for _, values, _ in everybody])
    missing = np.isnan(last).mean(0)
    assert missing[0] == 0 and 0.1 < missing[FEATURES.index("c3level")] < 0.2
    follows = np.array([each[0] for each in everybody])
    for feature in range(len(FEATURES)):
        seen = ~np.isnan(last[:, feature])
        assert abs(auc(last[seen, feature], follows[seen])[0] - 0.5) < 0.06, FEATURES[feature]
    assert BY_CHANCE / 2 < np.nanmean(last[:, FEATURES.index("arthritis")]) < 2 * BY_CHANCE


def test_a_cohort_that_is_written_and_read_is_the_same(tmp_path):
    cohort = synthetic_cohort(120, 0)
    rows = []
    for own in cohort.patients:
        for time, values, damage in zip(own.time_V, own.value_VF, own.damage_V, strict=True):
            texts = ["" if np.isnan(value) else repr(float(value)) for value in values]
            rows.append(",".join([own.name, repr(float(time)), *texts, repr(float(damage))]))
    file = write(tmp_path, rows, ",".join(["patient", "time", *FEATURES, "SDI"]))
    one, other = make_task("records", cohort=120), make_task("records", path=str(file))
    assert one.train.names == other.train.names and one.left_out == other.left_out
    assert one.train.inputs_TNI.tobytes() == other.train.inputs_TNI.tobytes()


# -- areas and intervals -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=15))
def test_the_area_by_brute_force(cases):
    """Every pair of a positive and a negative, as often as each counts; equal scores are half right."""
    score, positive, count = (np.array(each) for each in zip(*cases, strict=True))
    pairs, right = 0, 0.0
    for i, j in product(range(len(cases)), repeat=2):
        if positive[i] and not positive[j]:
            pairs += count[i] * count[j]
            right += count[i] * count[j] * (0.5 if score[i] == score[j] else float(score[i] > score[j]))
    (found,) = auc(score, positive.astype(bool), count[None])
    assert np.isnan(found) if pairs == 0 else found == pytest.approx(right / pairs, abs=1e-12)


def test_the_area_is_scikit_learns(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    score, positive = rng.normal(size=300).round(1), rng.random(300) < 0.2
    assert auc(score, positive)[0] == pytest.approx(metrics.roc_auc_score(positive, score), abs=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Normal scores a standard deviation apart: an area of .760; 95 of 100 intervals, give or take."""
    held, truth = 0, 0.7602
    for seed in range(100):
        draws = np.random.default_rng(seed)
        positive = np.arange(150) < 40
        score = draws.normal(size=150) + positive
        low, high = interval(auc(score, positive, resamples(150, seed, 400)))
        assert low < high
        held += low <= truth <= high
    assert 87 <= held <= 99
    assert np.array_equal(resamples(9, 4), resamples(9, 4)) and (resamples(9, 4).sum(1) == 9).all()


# -- runs and their pool -----------------------------------------------------------------------------------------------


def test_a_replica_is_alone_what_it_is_among_others_and_a_resumed_run_is_the_same_run(tmp_path):
    alone = run(compose(*SMALL, "replicas=1", "seed=7"), tmp_path / "alone").parameters()
    among = run(compose(*SMALL, "replicas=3", "seed=6", "block=7"), tmp_path / "among").parameters()
    assert all(torch.equal(p[0], among[name][1]) for name, p in alone.items())
    run(compose(*SMALL, "replicas=1", "seed=7", "trainer.max_steps=13"), tmp_path / "first")
    again = compose(*SMALL, "replicas=1", "seed=7", f"resume={tmp_path / 'first'}")
    assert all(torch.equal(p, alone[name]) for name, p in run(again, tmp_path / "second").parameters().items())


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Three folds of a small cohort, trained a little."""
    folder = tmp_path_factory.mktemp("folds")
    for fold in range(3):
        run(compose(*SMALL, "task.folds=3", f"task.fold={fold}"), folder / str(fold))
    return folder


def answers(population, task):
    """The same by hand: float64, patient by patient, each over its own visits alone."""
    weights = {name: p.detach().double().numpy() for name, p in population.network.named_parameters()}
    found = np.zeros((len(population.seeds), len(task.test.names)))
    for r, n in product(*map(range, found.shape)):
        h = np.zeros(weights["W"].shape[1])
        for x in task.test.inputs_TNI[: task.test.last_N[n] + 1, n].astype(float):
            h = np.tanh(x @ weights["W_in"][r] + weights["b"][r] + h @ weights["W"][r])
        found[r, n] = (h @ weights["W_out"][r] + weights["b_out"][r])[0]
    return found


def test_scores_are_those_of_networks_that_had_not_learned_from_the_patient(folds, tmp_path, capsys):
    pytest.importorskip("sklearn")
    areas = records.pool([folds], tmp_path)
    table = pd.read_csv(tmp_path / "scores.csv")
    network = table[table["scored_by"] == "network"]
    task = make_task("records", cohort=150)
    assert set(network["patient"]) == {*task.train.names, *task.test.names}
    assert not network.duplicated(["seed", "patient"]).any() and set(network["seed"]) == {0, 1}
    for fold in range(3):
        population = load_population(folds / str(fold))
        expected = answers(population, population.task)
        own = network[network["fold"] == fold]
        for seed in (0, 1):
            mine = own[own["seed"] == seed]
            assert mine["patient"].tolist() == population.task.test.names
            np.testing.assert_allclose(mine["score"], expected[seed], rtol=1e-4, atol=1e-5)
            assert mine["damage"].tolist() == population.task.test.damage_N.astype(int).tolist()
        loss = population.task.loss(
            torch.from_numpy(padded(expected, population.task)),
            torch.from_numpy(population.task.targets(population.task.test, 16))[None],
        )
        np.testing.assert_allclose(population.results["test_loss"], loss, rtol=1e-4)
    each = [auc(own["score"].to_numpy(), own["damage"].to_numpy(bool))[0] for _, own in network.groupby("seed")]
    rows = areas.set_index("scored_by")
    assert rows.loc["network", "auc"] == pytest.approx(np.mean(each), abs=1e-6)
    assert rows.loc["difference", "auc"] == pytest.approx(rows.loc["network", "auc"] - rows.loc["last visit", "auc"])
    assert (rows["ci_low"] < rows["auc"]).all() and (rows["auc"] < rows["ci_high"]).all()
    said = capsys.readouterr().out
    assert (
        said.startswith(f"SYNTHETIC cohort ({task.digest}): {len(task.fold_N)} patients, damage follows for ")
        and "left out: " in said
    )


def padded(score_RN, task):
    """Scores at each patient's last visit, RTNO float32, 0 elsewhere."""
    output = np.zeros((len(score_RN), task.length, score_RN.shape[1], 1), dtype=np.float32)
    output[:, task.test.last_N, np.arange(score_RN.shape[1]), 0] = score_RN
    return output


def test_records_that_have_changed_are_noticed(tmp_path):
    """By a run that goes on, and by whoever pools the folds; a value that nobody reads is none."""
    file = write(tmp_path, some_rows())
    keys = [*SMALL, f"task.path={file}", "task.observation=null", "task.prediction=null", "task.folds=2"]
    for fold in (0, 1):
        run(compose(*keys, f"task.fold={fold}"), tmp_path / "runs" / str(fold))
    rows = some_rows()
    write(tmp_path, [*rows[:4], "p0,9,1,1,1", *rows[5:]])
    again = compose(*keys, "trainer.max_steps=40", f"resume={tmp_path / 'runs' / '0'}")
    run(again, tmp_path / "unread")
    write(tmp_path, ["p0,0.001,1,0,0", *rows[1:]])
    with pytest.raises(ConfigurationError, match="what is learned has changed since the checkpoint was written"):
        run(again, tmp_path / "changed")
    with pytest.raises(ConfigurationError, match="learned from other records than those that are there now"):
        records.pool([tmp_path / "runs"], tmp_path)


def test_folds_that_do_not_fit_together_are_refused(folds, tmp_path):
    with pytest.raises(ConfigurationError, match=r"task\.fold=1: is missing\ntask\.fold=2: is missing"):
        records.pool([folds / "0"], tmp_path)
    run(compose("experiment=smoke", "replicas=1"), tmp_path / "other")
    with pytest.raises(ConfigurationError, match="no runs of patient records"):
        records.pool([tmp_path / "other"], tmp_path)
    run(compose(*SMALL, "task.folds=3", "seed=1"), tmp_path / "seeds")
    with pytest.raises(ConfigurationError, match=r"task\.fold=0: is there 2 times\ntask\.fold=0: has other seeds"):
        records.pool([folds, tmp_path / "seeds"], tmp_path)


def test_the_regression_is_that_of_its_formula():
    """½‖w‖² + Σ weight · log(1 + exp(-s(xw + b))), minimized in float64."""
    pytest.importorskip("sklearn")
    task = make_task("records", cohort=150)
    train, test = records.last_visit(task.train).astype(float), records.last_visit(task.test).astype(float)
    sign = np.where(task.train.damage_N, 1, -1)
    share = task.train.damage_N.mean()
    weight = np.where(task.train.damage_N, 0.5 / share, 0.5 / (1 - share))

    def objective(parameters):
        *w, b = parameters
        return 0.5 * np.square(w).sum() + (weight * np.logaddexp(0, -sign * (train @ w + b))).sum()

    *w, b = minimize(objective, np.zeros(train.shape[1] + 1), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(records.regression(task), test @ w + b, atol=5e-3)


def test_without_scikit_learn_it_is_said(folds, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.setattr(sys, "argv", ["src.records", str(folds), "--out", str(tmp_path)])
    with pytest.raises(ConfigurationError, match="scikit-learn is missing"):
        records.pool([folds], tmp_path)
