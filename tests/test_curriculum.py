"""Curriculum: lengths that grow, each replica's own stage, going back, learning rates, and the laws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import open_dict
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src import storage
from src.callbacks import curriculum as curricula
from src.callbacks.curriculum import Curriculum, growing
from src.config import check, science
from src.config.evaluation import evaluation_configuration
from src.evaluate import run as evaluated
from src.results.collect import Config, Replica, collect
from src.results.comparison import labels
from src.results.rates import success_rates
from src.results.reach import at_each_length, lengths_of, passed_at
from src.results.reach import growing as whose_lengths_grow
from src.results.report import report
from src.run import build, run
from src.rundir import RunDirectory
from src.training.clipping import Clipped
from src.training.data import Sequences
from src.training.success import SuccessTest, shares
from tasks.batch import collate
from tasks.data import TrainingData, fresh_batch
from tasks.draws import Stream, generator
from tasks.task import Split
from tests.conftest import compose, make_task

SMOKE = ["experiment=reach_smoke", "replicas=3", "callbacks.diagnostics.every=null"]


def train(directory, *overrides):
    """A small curriculum; its population and the parameters of all R."""
    population = run(compose(*SMOKE, *overrides), directory)
    return population, population.parameters()


def unequal(mine, row, theirs, other):
    """Names of the parameters in which two replicas differ by a bit."""
    return [name for name in mine if not torch.equal(mine[name][row], theirs[name][other])]


def tables(directory, seed=None):
    """results.csv and history.csv as text without their seconds, of one seed if it is given."""
    found = []
    for name in ("results.csv", "history.csv"):
        table = pd.read_csv(directory / name, dtype=str).drop(columns="seconds")
        found.append(table if seed is None else table[table["seed"] == str(seed)].reset_index(drop=True))
    return found


def assert_same_tables(one, other, seed=None):
    for mine, theirs in zip(tables(one, seed), tables(other, seed), strict=True):
        pd.testing.assert_frame_equal(mine, theirs)


# -- lengths -----------------------------------------------------------------------------------------------------------


def test_lengths_grow_by_a_factor_rounded_up_to_the_last():
    assert growing(50, 70, 1.05) == [50, 53, 56, 59, 62, 66, 70]
    assert growing(50, 75, 1.1) == [50, 55, 61, 68, 75]  # 1.1 * 50 is 55.00000000000001 in floating point
    assert growing(10, 13, 1.0001) == [10, 11, 12, 13]  # at least a step
    assert growing(50, 100, 1.5) == [50, 75, 100]
    assert growing(50, 50, 2) == [50]


def test_mixing_draws_training_lengths_and_no_others():
    task = make_task(length=1000)
    mixed, plain = task.at(41, 0.5), task.at(41)
    lengths = {len(TrainingData(task)(0, update, mixed)[0]) for update in range(400)}
    assert min(lengths) == 21 and max(lengths) == 41 and len(lengths) == 21
    assert {len(TrainingData(task)(0, update, plain)[0]) for update in range(20)} == {41}
    assert task.length == 1000 and task.max_length is None
    curriculum = started("curriculum.mixing=0.5", "curriculum.first=20", "task.length=30")[0]
    assert (curriculum.learned(0).length, curriculum.learned(0).max_length) == (10, 20)
    assert (curriculum.tested(0).length, curriculum.tested(0).max_length) == (20, None)


@pytest.mark.parametrize("name", ["temporal_order", "addition", "memorization_5bit", "permutation"])
def test_a_mini_batch_is_that_of_the_task_at_that_length(name):
    """Law 2: a function of seed, update and length, whatever came before; the test's sequences likewise."""
    task, there = make_task(name, length=40), make_task(name, length=17)
    data, at = TrainingData(task), task.at(17)
    for update in (3, 5, 20):
        data(7, update - 1)  # another length, in the same block of draws
        for mine, theirs in zip(data(7, update, at), TrainingData(there)(7, update), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    beside = fresh_batch(task, [(7, 100), (8, 100)], 1, 30, [at, task])
    alone = fresh_batch(there, [(7, 100)], 1, 30)
    assert torch.equal(beside.inputs[:1, : alone.inputs.shape[1]], alone.inputs)
    assert torch.equal(beside.length[:1], alone.length) and beside.length[1] >= 40


# -- stages against a plain script -------------------------------------------------------------------------------------


def started(*overrides):
    """A curriculum and its population before the first update."""
    module = build(compose(*SMOKE, *overrides)).module
    module.configure_optimizers()
    module.population.begin()
    curriculum = module.stages
    curriculum.setup(None, module, "fit")
    return curriculum, module.population


@pytest.mark.parametrize("fallback", ["back", "stay"])
@pytest.mark.parametrize("method", ["msgd_cr", "adam"])
def test_stages_against_a_plain_script(fallback, method):
    """Random outcomes of 60 tests: stages, learning rates, parameters and Adam's moments of each replica."""
    exponent = 1.5 if method == "msgd_cr" else 0
    keys = [f"optimizer={method}", "replicas=4", "curriculum.patience=3", f"curriculum.fallback={fallback}"]
    curriculum, population = started(*keys, f"curriculum.exponent={exponent}", "task.length=14")
    stack, draws = population.stack, np.random.default_rng(0)
    lengths = [10, 11, 13, 14]
    stage, waited, kept, returns = [0] * 4, [0] * 4, [None] * 4, 0
    done = [False] * 4  # has passed the last length: it is left alone
    for _ in range(60):
        stack.grad_AP.copy_(torch.from_numpy(draws.normal(size=stack.grad_AP.shape)))
        stack.optimizer.step()
        before = {"theta": stack.theta_AP.clone(), **{n: m.clone() for n, m in stack.rows().memory.items()}}
        passed = draws.random(4) < 0.3
        solved = curriculum.judge(population, passed, regular=True)
        assert solved.tolist() == [bool(passed[r]) and lengths[stage[r]] == 14 for r in range(4)]
        expected = {name: value.clone() for name, value in before.items()}
        for r in range(4):
            if passed[r]:
                assert population.last["reached"][r] == lengths[stage[r]]
                done[r] = done[r] or stage[r] == 3
                stage[r], waited[r] = min(stage[r] + 1, 3), 0
                kept[r] = {name: value[r].clone() for name, value in before.items()}
                continue
            if done[r]:
                continue
            waited[r] += 1
            if waited[r] == 3:
                waited[r] = 0
                if kept[r] is not None and fallback == "back":
                    returns += 1
                    for name, value in kept[r].items():
                        expected[name][r] = value
        after = {"theta": stack.theta_AP, **stack.rows().memory}
        assert after.keys() == expected.keys() and len(after) == (1 if method == "msgd_cr" else 3)
        assert all(torch.equal(after[name], expected[name]) for name in after)
        assert [curriculum.learned(r).length for r in range(4)] == [lengths[s] for s in stage]
        if exponent:
            rates = [np.float32(np.float32(0.05) * (10 / lengths[s]) ** 1.5) for s in stage]
            assert stack.settings["lr"].tolist() == rates
    assert ((returns > 0) == (fallback == "back") and len(set(stage)) > 1) or min(stage) == 3


def test_patience_is_counted_since_the_last_pass_and_the_first_stage_has_nothing_to_go_back_to():
    curriculum, population = started("curriculum.patience=2", "replicas=1", "task.length=14")
    theta = population.stack.theta_AP

    def judged(passed):
        theta.add_(1)
        before = theta.clone()
        curriculum.judge(population, np.array([passed]), regular=True)
        return torch.equal(theta, before)

    assert [judged(False) for _ in range(4)] == [True] * 4
    assert judged(True)
    there = theta.clone()
    assert judged(False) and not judged(False) and torch.equal(theta, there)
    assert judged(False) and judged(True) and judged(False)


def test_the_test_at_the_end_moves_nothing():
    """What it passes counts; the stage, the rate and the parameters stay as the checkpoint has them."""
    curriculum, population = started("replicas=1", "task.length=14", "curriculum.patience=1")
    curriculum.judge(population, np.array([True]), regular=True)
    before, rate = population.stack.theta_AP.clone(), population.stack.settings["lr"].clone()
    assert not curriculum.judge(population, np.array([True]), regular=False)[0]
    curriculum.judge(population, np.array([False]), regular=False)
    assert population.last["reached"][0] == 11 and curriculum.length.tolist() == [11]
    assert torch.equal(population.stack.theta_AP, before) and torch.equal(population.stack.settings["lr"], rate)


def test_the_learning_rate_is_that_of_the_stage_in_training(monkeypatch):
    """The step of an update: θ moves by lr (first / L) ** exponent times the clipped gradient."""
    keys = ["replicas=2", "task.length=40", "curriculum.first=10", "curriculum.growth=4", "~callbacks.truncated_bptt"]
    cfg = compose(*SMOKE, *keys)
    module = build(cfg).module
    step = module.configure_optimizers().step
    population, curriculum = module.population, module.stages
    population.begin()
    curriculum.setup(None, module, "fit")
    curriculum.judge(population, np.array([False, True]), regular=True)
    monkeypatch.setattr(module, "optimizers", lambda: type("Step", (), {"step": staticmethod(step)}))
    before = population.stack.theta_AP.clone()
    module.method = replace(module.method, clipping=unit)
    data = build(cfg).data
    data.stages = curriculum
    module.update(data.next_block()[0])
    moved = (population.stack.theta_AP - before).norm(dim=1)
    torch.testing.assert_close(moved, torch.tensor([0.05, 0.05 / 8]), rtol=1e-3, atol=0)


def unit(stack):
    """Gradients of length 1."""
    norm_A = stack.grad_AP.norm(dim=1)
    stack.grad_AP.div_(norm_A[:, None])
    return Clipped(norm_A, torch.ones_like(norm_A))


# -- the search for the next length ------------------------------------------------------------------------------------


def searching(monkeypatch, wrong, *overrides):
    """A curriculum whose one replica is wrong in ``wrong(length)``: its judge, and what tells the lengths tried."""
    curriculum, population = started("replicas=1", "task.length=60", "curriculum.patience=1", *overrides)
    tried = []

    def scripted(network, task, place, tasks, sequences):
        tried.append([task.length for task in tasks])
        return np.array([wrong(task.length) for task in tasks])

    monkeypatch.setattr(curricula, "shares", scripted)

    def judged(passed):
        curriculum.judge(population, np.array([passed]), regular=True)
        return int(curriculum.length[0])

    def all_tried():
        """The lengths that were tried since the last call."""
        found = sorted(length for some in tried for length in some)
        tried.clear()
        return found

    return judged, all_tried


SEARCH = ["curriculum.growth=1.1", "curriculum.search=1.5", "success.max_error=0.01"]


def test_a_replica_goes_on_to_the_longest_length_that_is_nearly_right(monkeypatch):
    judged, tried = searching(monkeypatch, {11: 0, 12: 0.03, 13: 0.031, 14: 0.5, 15: 0.9}.get, *SEARCH)
    assert judged(True) == 12 and tried() == [11, 12, 13, 14, 15]


def test_the_longest_are_tried_first_and_where_one_is_nearly_right_no_others(monkeypatch):
    judged, tried = searching(
        monkeypatch, lambda n: {149: 0.03, 147: 0.0}.get(n, 0.04), *SEARCH, "task.length=300", "curriculum.first=100"
    )
    assert judged(True) == 149 and tried() == list(range(141, 151))
    judged, tried = searching(
        monkeypatch, lambda n: {131: 0.03, 149: 0.031}.get(n, 0.04), *SEARCH, "task.length=300", "curriculum.first=100"
    )
    assert judged(True) == 131 and tried() == list(range(131, 151))


def test_where_none_is_nearly_right_it_goes_on_to_the_least_wrong_and_the_longest_of_these(monkeypatch):
    judged, _ = searching(monkeypatch, {11: 0.6, 12: 0.2, 13: 0.4, 14: 0.2, 15: 0.9}.get, *SEARCH)
    assert judged(True) == 14


def test_who_went_back_tries_all_lengths_but_those_that_it_missed(monkeypatch):
    wrong = {22: 0.5, 23: 0.6, 24: 0.7, 25: 0.4, 26: 0.8, 27: 0.9, 28: 0.9, 29: 0.9, 30: 0.3, 21: 0.2}
    judged, tried = searching(monkeypatch, lambda length: wrong.get(length, 0.9), *SEARCH, "curriculum.first=20")
    assert judged(True) == 30 and tried() == list(range(22, 31))
    assert judged(False) == 21 and tried() == list(range(21, 30))  # a step will do now
    assert judged(False) == 25 and tried() == list(range(22, 30))
    for _ in range(7):
        judged(False)
    assert judged(False) == 30  # all were missed: it begins anew
    tried()
    assert judged(True) == 45 and tried() == list(range(33, 46))
    assert judged(True) == 60 and tried() == list(range(50, 61))


def test_what_is_tried_is_the_replica_itself_after_it_went_back_on_its_own_draws(monkeypatch):
    """Rows are not numbers: replica 0 has left."""
    curriculum, population = started("replicas=3", "task.length=60", "curriculum.patience=1", *SEARCH, "seed=5")
    population.leave(np.array([True, False, False]), "solved")
    population.updates[:] = [10, 20, 30]
    calls = []
    monkeypatch.setattr(curricula, "shares", lambda *given: calls.append(given) or np.zeros(len(given[3])))
    theta_AP = population.stack.theta_AP
    curriculum.judge(population, np.array([False, True]), regular=True)
    kept = theta_AP[1].clone()
    theta_AP.add_(1)
    curriculum.judge(population, np.array([False, False]), regular=True)
    assert [given[2] for given in calls] == [(7, 30), (7, 30)] and [given[4] for given in calls] == [100, 100]
    for network, task, *_ in calls:
        row = torch.cat([p.detach().flatten() for p in network.parameters()])
        assert torch.equal(row, kept) and task is curriculum.module.task


def test_a_hundred_lengths_are_tried_at_most_and_the_last_length_is_not_searched_for(monkeypatch):
    judged, tried = searching(monkeypatch, lambda length: 1, *SEARCH, "task.length=3000", "curriculum.first=2000")
    assert judged(True) == 3000
    lengths = tried()
    assert len(lengths) == 100 == len(set(lengths)) and (lengths[0], lengths[-1]) == (2200, 3000)
    assert judged(True) == 3000 and tried() == []


@pytest.mark.parametrize("name", ["temporal_order", "temporal_order_3bit", "permutation", "addition"])
def test_lengths_are_tried_on_draws_of_their_own(name):
    """Against the network's answers to each length by itself, whichever are tried together."""
    task = make_task(name, length=40)
    module = build(
        compose(f"task={name}", "task.length=40", "replicas=2", "cell=basic_tanh", "optimizer=msgd_c")
    ).module
    module.configure_optimizers()
    module.population.begin()
    network = module.network.select([1])
    torch.nn.init.constant_(network.b_out, 0.5)  # so that some of the sums are right
    lengths = range(17, 31)
    found = shares(network, task, (5, 700), [task.at(length) for length in lengths], 100)
    for length, share in zip(lengths, found, strict=True):
        own, draws = task.at(length), generator(5, Stream.SEARCH, 700, 0)
        drawn = own.draw(own.draw_length(draws), 100, draws, Split.TEST)  # sums are stretched
        assert share == network.wrong(collate([drawn]), task).float().mean()
    assert len(set(found)) > 1
    tasks = [task.at(length) for length in lengths]
    for first in (4, 9):
        assert np.array_equal(shares(network, task, (5, 700), tasks[first:], 100), found[first:])


def test_a_checkpoint_of_before_lengths_were_searched_for_goes_on():
    curriculum, _ = started("task.length=14", "replicas=2")
    curriculum.load_state_dict({"stage": [0, 2], "waited": [1, 0], "passed": {}})
    assert curriculum.length.tolist() == [10, 13] and curriculum.waited.tolist() == [1, 0]


# -- whole runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run in which replicas pass, go back, solve and fail; its directory, parameters, and after which updates one
    went back."""
    directory = tmp_path_factory.mktemp("whole")
    returns = []
    go_back = Curriculum.go_back
    with pytest.MonkeyPatch.context() as patch:

        def noted(self, population, replica):
            returns.append(population.step)
            go_back(self, population, replica)

        patch.setattr(Curriculum, "go_back", noted)
        _, parameters = train(directory, *HARD)
    return directory, parameters, returns


HARD = ["success.max_error=0.1", "curriculum.patience=1", "curriculum.growth=1.3", "optimizer.lr=0.1"]
HARD += ["trainer.max_steps=600", "task.length=24"]
"""Of seeds 0, 1 and 2 one solves the task, one goes back several times, and one goes on to the end of the budget."""

SEARCHING = ["curriculum.growth=1.05", "curriculum.search=1.3"]
"""The same with a search; each of the seeds tries several lengths, more than once."""


def test_solved_is_passed_at_the_last_length_only(whole):
    directory, _, returns = whole
    results, history = (pd.read_csv(directory / name) for name in ("results.csv", "history.csv"))
    assert returns and {"solved", "budget"} <= set(results["status"])
    passed = history[history["error"] < 0.1]
    assert (passed["length"] == passed["reached"]).all()
    assert (results["solved"] == (results["reached"] == 24)).all() and (results["length"] == 24).all()
    unsolved = results[~results["solved"]]
    assert unsolved["seed"].isin(passed["seed"]).all()  # passed shorter lengths, and are not solved by that
    lengths = {10, 13, 17, 23, 24}
    assert set(history["length"]) <= lengths and history["length"].nunique() > 3
    for _, own in history.groupby("seed"):
        assert own["length"].is_monotonic_increasing and own["reached"].dropna().is_monotonic_increasing


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["replicas=7"],
        ["curriculum.mixing=0.8", "curriculum.first=13", "success.max_error=0.25"],
        SEARCHING,
        ["cell=lstm", "optimizer=adam", "curriculum.exponent=0", "optimizer.lr=0.01"],
        ["task=addition", "~task.positions", "success.max_error=0.3"],
    ],
    ids=" ".join,
)
def test_replicas_never_touch(tmp_path, whole, keys, monkeypatch):
    """Law 1, bit for bit: each replica alone = the same among others at other stages; at 1 and 2 threads."""
    searches = []
    nearest = Curriculum.nearest

    def counted(self, population, replica, lengths):
        searches.append((replica, len(lengths)))
        return nearest(self, population, replica, lengths)

    monkeypatch.setattr(Curriculum, "nearest", counted)
    own = [*HARD, *keys]
    if keys and keys != SEARCHING:
        own.append("trainer.max_steps=300")
    together = tmp_path / "together" if keys else whole[0]
    parameters = train(together, *own, "threads=2")[1] if keys else whole[1]
    assert {replica for replica, lengths in searches if lengths > 1} == ({0, 1, 2} if keys == SEARCHING else set())
    history = pd.read_csv(together / "history.csv")
    assert history.groupby("step")["length"].nunique().max() > 1  # at other stages
    for seed in (1, 2):
        alone = tmp_path / f"{seed}"
        _, mine = train(alone, *own, "replicas=1", f"seed={seed}", "threads=1")
        assert unequal(mine, 0, parameters, seed) == []
        assert_same_tables(alone, together, seed)


@pytest.mark.parametrize("stop", [50, 175, 450, 480])
def test_a_resumed_run_is_the_same_run(tmp_path, whole, stop):
    """Stopped at tests and between them, after a replica went on, after one went back, and on its way from there."""
    directory, parameters, returns = whole
    assert 450 in returns and not any(450 < step < 500 for step in returns)
    train(tmp_path / "first", *[key for key in HARD if "max_steps" not in key], f"trainer.max_steps={stop}")
    _, mine = train(tmp_path / "second", *HARD, f"resume={tmp_path / 'first'}")
    assert [unequal(mine, r, parameters, r) for r in range(3)] == [[]] * 3
    assert_same_tables(tmp_path / "second", directory)


@pytest.mark.parametrize("at", [[50, 100], [450, 500]], ids=["who went on", "who went back"])
def test_a_signal_after_a_test_is_no_second_test(tmp_path, whole, monkeypatch, at):
    """It comes while the next block is drawn, of which no update is made then: nobody is to move on or back twice."""
    _, parameters, returns = whole
    assert at[0] == 50 or set(at) <= set(returns)
    next_block = Sequences.next_block
    first = at[0]
    at = list(at)

    def interrupted(self):
        block = next_block(self)
        if at and self.population.step == at[0]:
            at.pop(0)
            self.population.interrupt = 15
        return block

    monkeypatch.setattr(Sequences, "next_block", interrupted)
    directory = tmp_path / "run"
    population, _ = train(directory, *HARD)
    assert population.step == first
    train(directory, *HARD, f"resume={directory}")
    _, mine = train(directory, *HARD, f"resume={directory}")
    assert at == []
    assert [unequal(mine, r, parameters, r) for r in range(3)] == [[]] * 3


def test_lengths_that_were_missed_are_known_after_a_resume(tmp_path):
    """Stopped after a replica went back from a length that it had searched for."""
    keys = [*HARD, *SEARCHING]
    _, parameters = train(tmp_path / "whole", *keys)
    train(tmp_path / "first", *keys, "trainer.max_steps=450")
    content, _ = storage.read(RunDirectory(tmp_path / "first").checkpoint_file)
    (kept,) = (state for name, state in content["callbacks"].items() if name.startswith("Curriculum"))
    assert kept["missed"]
    _, mine = train(tmp_path / "second", *keys, f"resume={tmp_path / 'first'}")
    assert [unequal(mine, r, parameters, r) for r in range(3)] == [[]] * 3
    assert_same_tables(tmp_path / "second", tmp_path / "whole")


def test_the_tests_without_success_are_counted_over_a_resume(tmp_path):
    """Stopped after one of the two that a replica waits."""
    keys = [*HARD, "curriculum.patience=2"]
    train(tmp_path / "whole", *keys)
    train(tmp_path / "first", *keys, "trainer.max_steps=450")
    content, _ = storage.read(RunDirectory(tmp_path / "first").checkpoint_file)
    (kept,) = (state for name, state in content["callbacks"].items() if name.startswith("Curriculum"))
    assert 1 in kept["waited"]
    train(tmp_path / "second", *keys, f"resume={tmp_path / 'first'}")
    assert_same_tables(tmp_path / "second", tmp_path / "whole")


def test_adams_memory_survives_a_resume(tmp_path):
    keys = [*HARD, "optimizer=adam", "optimizer.lr=0.01", "curriculum.exponent=0", "trainer.max_steps=300"]
    _, parameters = train(tmp_path / "whole", *keys)
    train(tmp_path / "first", *keys, "trainer.max_steps=170")
    _, mine = train(tmp_path / "second", *keys, f"resume={tmp_path / 'first'}")
    assert [unequal(mine, r, parameters, r) for r in range(3)] == [[]] * 3
    assert_same_tables(tmp_path / "second", tmp_path / "whole")


def test_who_has_passed_the_last_length_is_left_alone(tmp_path):
    """Where nobody leaves, a test without success later is no reason to go back."""
    keys = ["task.length=10", "success.leave=false", "success.max_error=0.03", "trainer.max_steps=600"]
    one_stage = ["curriculum.first=null", "curriculum.exponent=0", "curriculum.patience=1"]
    train(tmp_path / "with", *keys, *one_stage)
    cfg = compose(*SMOKE, *keys)
    with open_dict(cfg):
        del cfg["curriculum"]
    run(cfg, tmp_path / "without")
    history = tables(tmp_path / "without")[1]
    passed = history["error"].astype(float) < 0.03
    assert (passed & ~passed.groupby(history["seed"]).shift(-1, fill_value=True)).any(), "somebody misses a test again"
    with_history = tables(tmp_path / "with")[1]
    pd.testing.assert_frame_equal(with_history.drop(columns=["length", "reached"]), history)


@pytest.mark.parametrize(
    ("rate", "own"),
    [(0.05, []), (0.05 / 16, ["curriculum.first=null", "curriculum.reference=3", "curriculum.exponent=2"])],
)
def test_a_curriculum_of_one_stage_is_a_run_without_one(tmp_path, rate, own):
    """Bit for bit: mini-batches, tests and learning rates are those of the task, or of another length if so asked."""
    keys = ["task.length=12", "trainer.max_steps=150"]
    _, with_one = train(tmp_path / "with", *keys, "curriculum.first=12", "curriculum.fallback=stay", *own)
    cfg = compose(*SMOKE, *keys, f"optimizer.lr={rate}")
    with open_dict(cfg):
        del cfg["curriculum"]
    without = run(cfg, tmp_path / "without").parameters()
    assert [unequal(with_one, r, without, r) for r in range(3)] == [[]] * 3
    with_history, without_history = (tables(tmp_path / name)[1] for name in ("with", "without"))
    pd.testing.assert_frame_equal(with_history.drop(columns=["length", "reached"]), without_history)


@pytest.mark.parametrize(
    "keys",
    [
        ["cell=gru", "optimizer=msgd_c"],
        ["cell=lstm", "optimizer=simplex"],
        ["optimizer=adadelta", "curriculum.exponent=0"],
        ["task=permutation", "~task.positions", "cell=spectral"],
        ["task=memorization_5bit", "~task.positions", "task.stretch=0.5"],
        ["callbacks.truncated_bptt.parts=[3]"],
        ["callbacks.truncated_bptt.steps=4", "success.leave=false"],
        ["recurrence=reference"],
    ],
    ids=" ".join,
)
def test_every_kind_of_task_cell_and_method_has_stages(tmp_path, keys, monkeypatch):
    """Every test is passed: the lengths are those of the stages, one test after the other."""
    monkeypatch.setattr(SuccessTest, "passed", lambda self, wrong: np.ones(len(wrong), dtype=bool))
    population, _ = train(tmp_path, *keys, "success.check_every=5", "trainer.max_steps=15")
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.groupby("seed")["length"].apply(list).tolist() == [[10, 11, 13]] * 3
    assert population.last["reached"].tolist() == [15, 15, 15]  # with the test at the end


def test_tensorboard_and_the_evaluation_know_the_lengths(tmp_path):
    cfg = compose(*SMOKE, "trainer.max_steps=100", "success.max_error=0.999")
    cfg.logger = compose("logger=tensorboard").logger
    cfg.logger.save_dir = str(tmp_path)
    run(cfg, tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("val/length")] == [(50, 10), (100, 13)]
    cfg, lengths = evaluation_configuration(RunDirectory(tmp_path).configuration(), ["task.length=12,100"])
    assert lengths == [12, 100] and cfg.get("curriculum") is None


# -- tables ------------------------------------------------------------------------------------------------------------


def test_the_share_that_passed_each_length(tmp_path):
    """Against hand-made histories of four replicas."""
    train(tmp_path, "replicas=4", "trainer.max_steps=50", "task.length=16")
    run_directory = RunDirectory(tmp_path)
    results, history = run_directory.read_results(), run_directory.read_history()
    results["reached"] = pd.array([13, 10, None, 16], dtype="Int64")
    results["solved"] = [False, False, False, True]
    results["solved_at"] = pd.array([None, None, None, 250], dtype="Int64")
    results["status"], results["updates"] = ["budget", "budget", "budget", "solved"], [300, 300, 300, 250]
    results.to_csv(run_directory.results_file, index=False)
    rows = [(0, 50, 10, None), (0, 100, 10, 10), (0, 200, 11, 11), (1, 150, 10, 10), (2, 150, 10, None)]
    rows += [(3, 50, 10, 10), (3, 100, 11, 11), (3, 150, 13, 13), (3, 200, 15, 15), (3, 250, 16, 16)]
    first = history.iloc[:1].drop(columns=["seed", "step", "length", "reached"])
    table = pd.DataFrame(rows, columns=["seed", "step", "length", "reached"]).merge(first, how="cross")
    table.to_csv(run_directory.history_file, index=False)
    replicas = whose_lengths_grow(collect([tmp_path]))
    assert [passed_at(replica, 11) for replica in replicas] == [200, None, None, 100]
    assert [passed_at(replica, 13) for replica in replicas] == [300, None, None, 150]  # in the test at the end
    shares = success_rates(at_each_length(replicas)).set_index("length")
    assert shares["solved"].to_dict() == {10: 3, 11: 2, 13: 2, 15: 1, 16: 1}
    assert shares["rate"].to_dict() == {10: 0.75, 11: 0.5, 13: 0.5, 15: 0.25, 16: 0.25}
    assert shares["median_solved_at"][10] == 125 and np.isnan(shares["median_solved_at"][13])
    whole_task = success_rates(collect([tmp_path])).iloc[0]
    assert list(shares.loc[16][["rate", "ci_low", "ci_high"]]) == list(whole_task[["rate", "ci_low", "ci_high"]])
    each = [(0, 50 * number, 10 + number, None) for number in range(100)]
    many = pd.DataFrame(each, columns=["seed", "step", "length", "reached"]).merge(first, how="cross")
    many.to_csv(run_directory.history_file, index=False)
    assert lengths_of(whose_lengths_grow(collect([tmp_path]))) == list(range(10, 110))


def test_a_report_of_a_curriculum_has_its_table_and_figure(tmp_path, whole, capsys):
    report([whole[0]], tmp_path)
    table = pd.read_csv(tmp_path / "reach.csv")
    assert table["rate"].is_monotonic_decreasing and table["length"].iloc[-1] == 24
    assert (tmp_path / "reach.png").stat().st_size > 10_000 and (tmp_path / "reach.svg").is_file()
    assert "longest length passed" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    passed = pd.read_csv(whole[0] / "results.csv")["reached"].fillna(0)
    assert f"<td>{passed.median():,.0f} ({passed.min():.0f}–{passed.max():.0f})</td>" in page
    assert "against updates." in page and page.index("longest length that each") < page.index("Share of replicas")


@pytest.mark.parametrize("first", ["null", "16"])
def test_lengths_do_not_grow_in_a_curriculum_of_one_stage(tmp_path, first):
    train(tmp_path / "run", f"curriculum.first={first}", "trainer.max_steps=50")
    assert whose_lengths_grow(collect([tmp_path])) == []
    report([tmp_path / "run"], tmp_path)
    assert not (tmp_path / "reach.csv").exists()
    assert "longest length" not in (tmp_path / "report.html").read_text().lower()


def test_curricula_to_other_lengths_are_not_pooled(tmp_path, capsys):
    """Who is to come farther has other lengths behind it, and a line of its own."""
    for last in (16, 20):
        train(tmp_path / f"{last}", f"task.length={last}")
    replicas = collect([tmp_path])
    assert set(labels(replicas).values()) == {"msgd_cr growing to 16", "msgd_cr growing to 20"}
    report([tmp_path], tmp_path)
    table = pd.read_csv(tmp_path / "reach.csv")
    assert table["replicas"].max() == 3 and set(table["curriculum.last"]) == {16, 20}
    assert "growing to 20" in capsys.readouterr().out


def test_a_control_is_evaluated(tmp_path):
    """Its one length is the task's; whole numbers may be written as for training."""
    train(tmp_path, "curriculum.first=null", "trainer.max_steps=20")
    evaluated(tmp_path, ["task.length=1e1,2e1", "success.sequences=1e2"], tmp_path)
    assert (tmp_path / "evaluation.png").is_file()
    assert pd.read_csv(tmp_path / "evaluation.csv")["length"].unique().tolist() == [10, 20]


def test_a_curriculum_that_nobody_has_begun_to_climb_is_drawn(tmp_path, capsys):
    train(tmp_path / "run", "trainer.max_steps=50")
    report([tmp_path / "run"], tmp_path)
    assert "cannot be drawn" not in capsys.readouterr().err and (tmp_path / "reach.png").is_file()


def test_a_curriculum_that_was_interrupted_is_drawn(tmp_path, capsys):
    """There is no share then: nobody has ended."""
    train(tmp_path / "run", "trainer.max_steps=150")
    directory = RunDirectory(tmp_path / "run")
    results = directory.read_results()
    results["status"] = "interrupted"
    results.to_csv(directory.results_file, index=False)
    report([tmp_path / "run"], tmp_path)
    assert "cannot be drawn" not in capsys.readouterr().err and (tmp_path / "reach.png").is_file()


def test_lines_of_a_curriculum_and_of_its_control_have_short_names():
    """Beside a run without a curriculum one word tells the other; two curricula are told apart by what differs."""
    names = {}
    for name, keys in {
        "plain": [],
        "slow": ["curriculum=grow", "task.length=100"],
        "fast": ["curriculum=grow", "task.length=100", "curriculum.growth=1.1"],
    }.items():
        names[name] = Config(science(compose("task.length=100", *keys)).items())

    def named(*chosen):
        replicas = [Replica(names[name], {}, pd.DataFrame(), Path()) for name in chosen]
        return list(labels(replicas).values())

    assert named("plain", "slow") == ["msgd_cr", "msgd_cr growing"]
    assert named("slow", "fast") == ["msgd_cr growth=1.02", "msgd_cr growth=1.1"]
    assert named("plain", "slow", "fast") == ["msgd_cr", "msgd_cr growth=1.02 growing", "msgd_cr growth=1.1 growing"]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["curriculum.growth=1"], "curriculum.growth=1: must be a number above 1"),
        (["curriculum.search=1"], "curriculum.search=1: must be a number above 1"),
        (
            ["curriculum.search=1.01"],
            "curriculum.search=1.01: must not be below curriculum.growth=1.02",
        ),
        (["curriculum.patience=0"], "curriculum.patience=0: must be a whole number"),
        (["curriculum.fallback=forward"], "curriculum.fallback=forward: must be back or stay"),
        (["curriculum.mixing=1.5"], "curriculum.mixing=1.5: must be a number above 0, at most 1"),
        (["curriculum.exponent=-1"], "curriculum.exponent=-1: must be a number, 0 or more"),
        (["curriculum.first=60"], "curriculum.first=60: must not be above task.length=50, the last length"),
        (["curriculum.first=9"], "curriculum.first=9: temporal_order needs 10 steps or more"),
        (["curriculum.first=18", "curriculum.mixing=.5"], "mixing=0.5: temporal_order needs 10 steps or more"),
        (["task.max_length=70"], "task.max_length=70: with a curriculum lengths grow to task.length"),
        (["optimizer=adam"], "curriculum.exponent=1.0: adam keeps its learning rate; choose 0"),
        (["callbacks.truncated_bptt.parts=[20]", "curriculum.first=15"], "parts=20 are more than the shortest"),
        (["+curriculum.grwth=2"], "curriculum: Curriculum.__init__() got an unexpected keyword argument 'grwth'"),
        (["curriculum._target_=src.nope"], "curriculum: src.nope cannot be loaded"),
        (
            ["task=price", "optimizer=adam", "cell=dense_lstm", "trainer.max_epochs=2"],
            "curriculum: price has one length; lengths grow where a test can be passed on fresh sequences",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(keys, words):
    (problem,) = check(compose("curriculum=grow", *keys))
    assert words in problem and "\n" not in problem


def test_a_curriculum_among_the_callbacks_is_refused():
    (problem,) = check(compose("+callbacks.grow={_target_:src.callbacks.Curriculum,first:10,growth:2,patience:1}"))
    assert problem == "callbacks.grow: src.callbacks.Curriculum is known as curriculum"


def test_a_resumed_curriculum_keeps_its_keys(tmp_path):
    train(tmp_path, "trainer.max_steps=50")
    (problem,) = check(compose(*SMOKE, f"resume={tmp_path}", "curriculum.growth=2"))
    assert problem.endswith("was run with curriculum.growth=1.1, not 2")
