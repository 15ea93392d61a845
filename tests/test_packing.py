"""Jobs that train together leave what they leave alone, bit for bit: parameters, tables, measurements, checkpoints."""

import signal
from functools import partial

import hydra
import numpy as np
import pandas as pd
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

from src.callbacks.curriculum import Curriculum
from src.launchers import PACKED, launcher_problems
from src.packing.groups import kind, packs, why_alone
from src.packing.pack import Stopped, train
from src.packing.progress import Display
from src.population import checkpoint
from src.run import run
from src.rundir import RunDirectory
from tasks.batch import collate
from tasks.block import Block, beside
from tests.conftest import EXPERIMENTS, ROOT, compose

SMALL = [
    "experiment=smoke",
    "threads=1",
    "replicas=2",
    "block=7",
    "callbacks.diagnostics.every=1",
    "callbacks.metrics.every=20",
    "success.sequences=60",
]

GROWING = ["experiment=reach_smoke", "threads=1", "replicas=2", "task.length=40", "callbacks.diagnostics.every=null"]
"""Lengths grow, and stages are passed and missed."""

PACKS = {
    "methods, starts and lengths": [
        ["optimizer=msgd"],
        ["optimizer=msgd_c", "cell=sigmoid", "task.length=17", "optimizer.lr=.03"],
        ["optimizer=msgd_cr", "cell=basic_tanh", "seed=5", "optimizer.half_life=30"],
        ["optimizer=msgd_cr", "cell=spectral", "optimizer.alpha=1", "replicas=3", "task.max_length=25"],
    ],
    "penalties and a falling α": [
        ["optimizer=msgd_c", "optimizer.l1=.01"],
        ["optimizer=msgd_cr", "optimizer.l2=.1", "optimizer.alpha_decay=.3", "task.length=14"],
        ["optimizer=msgd_cr", "cell=basic_tanh", "seed=5"],
    ],
    "starts": [["cell=irnn"], ["cell=orthogonal", "task.length=14"], ["cell=smart_tanh", "seed=3"]],
    "echo states": [
        ["cell=echo_state", "optimizer=msgd_c"],
        ["cell=echo_state", "optimizer=msgd", "task.length=15", "cell.spectral_radius=.8"],
    ],
    "forms of Ω": [["optimizer.omega=plain"], [], ["optimizer=msgd_c"], ["optimizer.omega=plain", "cell=sigmoid"]],
    "activations": [["cell=basic_tanh"], ["cell=basic_tanh", "cell.activation=relu"], ["cell=sigmoid"]],
    "LSTM": [["cell=lstm"], ["cell=lstm", "task.length=23", "optimizer.alpha=0"], ["cell=lstm", "seed=9"]],
    "simplex": [["optimizer=simplex_switching"], ["optimizer=simplex_switching", "optimizer.psi=.4", "task.length=15"]],
    "an optimizer with a memory": [["optimizer=adam"], ["optimizer=adam", "task.length=14", "cell=sigmoid"]],
    "momentum": [["optimizer=sgd_momentum"], ["optimizer=sgd_momentum", "seed=3"]],
    "momentum at rates of their own": [
        ["optimizer=msgd_c", "optimizer.momentum=.5"],
        ["optimizer.momentum=.5", "optimizer.lr=.03", "task.length=14"],
    ],
    "truncated": [
        ["task=memorization_5bit", "task.length=9", "+callbacks.truncated_bptt.steps=4"],
        ["task=memorization_5bit", "task.length=12", "+callbacks.truncated_bptt.steps=4", "cell=basic_tanh"],
    ],
    "truncated and whole": [
        ["task=temporal_order", "task.length=20", "+callbacks.truncated_bptt.steps=12"],
        ["task=temporal_order", "task.length=25"],
        ["task=temporal_order", "task.length=22", "+callbacks.truncated_bptt.steps=5", "cell=sigmoid"],
    ],
    "truncated and whole at every step": [
        ["task=memorization_5bit", "task.length=9"],
        ["task=memorization_5bit", "task.length=12", "+callbacks.truncated_bptt.steps=4", "optimizer=msgd"],
    ],
    "targets at every step": [["task=memorization_5bit", "task.length=7"], ["task=memorization_5bit", "seed=4"]],
    "real inputs": [["task=addition", "task.length=12"], ["task=addition", "task.length=20", "cell=spectral"]],
    "autograd": [["cell=gru", "optimizer=msgd_c"], ["cell=gru", "optimizer=msgd_c", "task.length=13"]],
    "two layers": [["cell.layers=2"], ["cell.layers=2", "task.length=12"]],
    "lengths that grow": [
        ["experiment=reach_smoke", "trainer.max_steps=200"],
        ["experiment=reach_smoke", "trainer.max_steps=200", "curriculum.search=1.3", "seed=8", "curriculum.first=12"],
        [
            "experiment=reach_smoke",
            "trainer.max_steps=200",
            "curriculum.fallback=stay",
            "curriculum.first=13",
            "curriculum.mixing=.8",
        ],
    ],
    "patient records, folds and a control": [
        ["task=records", "task.cohort=100", "task.length=9"],
        ["task=records", "task.cohort=100", "task.length=12", "task.fold=3", "optimizer=msgd_c"],
        ["task=records", "task.cohort=100", "task.length=9", "task.shuffled=true", "seed=4"],
    ],
    "some leave": [
        ["success.max_error=.74", "success.check_every=10"],
        ["success.max_error=.74", "success.check_every=10", "optimizer=msgd", "seed=20", "replicas=4"],
        [
            "success.max_error=.74",
            "success.check_every=10",
            "optimizer=msgd",
            "optimizer.lr=1e20",
            "cell.activation=relu",
        ],
    ],
    "adaptive, and some leave": [
        ["success.max_error=.74", "success.check_every=10", "optimizer=adam", "replicas=4"],
        ["success.max_error=.74", "success.check_every=10", "optimizer=adam", "seed=20", "replicas=4"],
    ],
}


def display():
    return Display([1.0])


def together(jobs, folder):
    """Trains runs as a pack; returns what each ended with."""
    return train([partial(run, cfg, folder / str(number)) for number, cfg in enumerate(jobs)], display())


def tables(directory):
    found = []
    for name in ("results.csv", "history.csv"):
        found.append(pd.read_csv(directory / name, dtype=str).drop(columns="seconds"))
    return found


def differences(one, other):
    """What two runs do not have in common."""
    mine, theirs = (checkpoint.read(RunDirectory(each).checkpoint_file).parameters for each in (one, other))
    found = [name for name in mine if not torch.equal(mine[name], theirs[name])]
    found += [f"table {k}" for k, (a, b) in enumerate(zip(tables(one), tables(other), strict=True)) if not a.equals(b)]
    saved, known = (torch.load(RunDirectory(each).checkpoint_file, weights_only=True) for each in (one, other))
    found += ["global_step"] if saved["global_step"] != known["global_step"] else []
    found += ["content"] if saved.keys() != known.keys() else []
    assert (
        not saved["optimizer_states"]
        or saved["optimizer_states"][0]["state"].keys() == known["optimizer_states"][0]["state"].keys()
    )
    if not (one / "diagnostics.npz").exists():
        return found
    with np.load(one / "diagnostics.npz") as a, np.load(other / "diagnostics.npz") as b:
        return found + [name for name in a if not np.array_equal(a[name], b[name], equal_nan=True)]


@pytest.mark.parametrize("name", PACKS)
def test_packed_is_alone_bit_for_bit(name, tmp_path, capsys):
    jobs = [[*SMALL, *own] for own in PACKS[name]]
    configs = [compose(*own) for own in jobs]
    assert len({kind(cfg) for cfg in configs}) == 1
    packed = together(configs, tmp_path / "packed")
    statuses = set()
    for number, own in enumerate(jobs):
        alone = run(compose(*own), tmp_path / str(number))
        assert alone.status == packed[number].status
        statuses.update(alone.status)
        assert differences(tmp_path / str(number), tmp_path / "packed" / str(number)) == [], own
    if name == "some leave":
        assert statuses >= {"solved", "diverged"}


def test_a_device_is_asked_once_for_all_jobs_of_a_pack(tmp_path, capsys, monkeypatch):
    """Who diverged is known at the end of a block; the outcome is that of jobs that are asked after each update."""
    jobs = [[*SMALL, "trainer.max_steps=35", "success.check_every=35", "callbacks.metrics.every=35", "seed=20"]] * 3
    jobs[1] = [*jobs[1], "optimizer=msgd", "optimizer.lr=1e20", "cell.activation=relu"]
    configs = [compose(*own) for own in jobs]
    for number, cfg in enumerate(configs):
        run(cfg, tmp_path / "alone" / str(number))
    asked = []
    for module in ("training.module", "training.clipping", "training.update"):
        monkeypatch.setattr(f"src.{module}.works_ahead", lambda tensor: True)
    monkeypatch.setattr("src.recurrence.ask", lambda flags: asked.append(flags.numel()) or flags.cpu())
    together(configs, tmp_path / "packed")
    for number in range(3):  # who has diverged makes steps until that is known
        found = differences(tmp_path / "alone" / str(number), tmp_path / "packed" / str(number))
        assert found == (["global_step"] if number == 1 else [])
    assert asked[0] == 7 * 3 * 2  # updates of a block, jobs, replicas
    assert len(asked) == 35 // 7


def test_threads_change_nothing_but_time(tmp_path, capsys):
    """As many threads as a large machine would have, more than there are cores here."""
    configs = [compose(*SMALL, *own) for own in PACKS["methods, starts and lengths"]]
    many = [compose(*SMALL, *own, "threads=16") for own in PACKS["methods, starts and lengths"]]
    together(configs, tmp_path / "one")
    together(many, tmp_path / "sixteen")
    for number in range(len(configs)):
        assert not differences(tmp_path / "one" / str(number), tmp_path / "sixteen" / str(number))


def test_a_pack_that_is_stopped_goes_on_packed_or_alone(tmp_path, capsys):
    keys = [[*SMALL, *own] for own in PACKS["methods, starts and lengths"]]
    for number, own in enumerate(keys):
        run(compose(*own), tmp_path / "alone" / str(number))

    class Nervous(Display):
        calm = True

        def show(self, trainings):
            if self.calm and max(training.population.step for training in trainings) >= 25:
                self.calm = False  # a second signal would end the process
                signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped):
        jobs = [partial(run, compose(*own), tmp_path / "cut" / str(n)) for n, own in enumerate(keys)]
        train(jobs, Nervous([1.0]))
    assert signal.getsignal(signal.SIGTERM) is before
    steps = []
    for number in range(len(keys)):
        left = checkpoint.read(RunDirectory(tmp_path / "cut" / str(number)).checkpoint_file)
        steps.append(max(left.outcomes["updates"]))
        assert set(pd.read_csv(tmp_path / "cut" / str(number) / "results.csv")["status"]) == {"interrupted"}
    assert len(set(steps)) == 1 and 25 <= steps[0] < 40
    resumed = [compose(*own, f"resume={tmp_path / 'cut' / str(number)}") for number, own in enumerate(keys)]
    run(resumed[0], tmp_path / "cut" / "0")
    train([partial(run, cfg, tmp_path / "cut" / str(n + 1)) for n, cfg in enumerate(resumed[1:])], display())
    for number in range(len(keys)):
        assert differences(tmp_path / "alone" / str(number), tmp_path / "cut" / str(number)) == []


def test_a_signal_while_another_job_is_tested_is_no_second_test(tmp_path, capsys, monkeypatch):
    """The first has its next block by then and makes no update of it: stages would move twice."""
    keys = [[*GROWING, f"seed={seed}"] for seed in (0, 20)]
    whole = tmp_path / "whole"
    for number, own in enumerate(keys):
        run(compose(*own), whole / str(number))
    judge = Curriculum.judge
    times = []

    def judged(self, population, passed_A, regular):
        times.append((population.seeds[0], population.step))
        if times[-1] == (20, 150):
            signal.raise_signal(signal.SIGTERM)
        return judge(self, population, passed_A, regular)

    monkeypatch.setattr(Curriculum, "judge", judged)
    with pytest.raises(Stopped):
        together([compose(*own) for own in keys], tmp_path)
    assert times[-1] == (20, 150) and len(set(times)) == len(times)
    monkeypatch.undo()
    for number, own in enumerate(keys):
        run(compose(*own, f"resume={tmp_path / str(number)}"), tmp_path / str(number))
        assert differences(whole / str(number), tmp_path / str(number)) == []


@pytest.mark.parametrize("method", [["optimizer=msgd_cr"], ["optimizer.momentum=.9"], ["optimizer=adam"]])
@pytest.mark.parametrize("ahead", [0, 1])
def test_jobs_that_are_at_other_updates_train_together(method, ahead, tmp_path, capsys):
    """One of two goes on after 20 updates, and only it has a velocity; an optimizer that counts its steps is not asked
    for both at once."""
    seeds = [0, 7]
    keys = [[*SMALL, *method, f"seed={seed}"] for seed in seeds]
    for number, own in enumerate(keys):
        run(compose(*own), tmp_path / "alone" / str(number))
    begun = tmp_path / "packed" / str(ahead)
    run(compose(*keys[ahead], "trainer.max_steps=20"), begun)
    jobs = [compose(*own, *([f"resume={begun}"] if number == ahead else [])) for number, own in enumerate(keys)]
    together(jobs, tmp_path / "packed")
    for number in range(2):
        assert differences(tmp_path / "alone" / str(number), tmp_path / "packed" / str(number)) == []


def test_what_fails_in_one_job_ends_that_job_alone(tmp_path, capsys):
    def failing():
        raise LookupError("nothing there")

    good = partial(run, compose(*SMALL), tmp_path / "good")
    with pytest.raises(LookupError, match="nothing there"):
        train([failing, good], display())
    assert RunDirectory(tmp_path / "good").is_closed


def test_what_fails_in_an_update_ends_all_jobs_that_wait_for_it(tmp_path, capsys, monkeypatch):
    def starved(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("src.packing.together.advance", starved)
    jobs = [partial(run, compose(*SMALL), tmp_path / name) for name in ("a", "b")]
    with pytest.raises(MemoryError, match="no room"):
        train(jobs, display())
    for name in ("a", "b"):
        assert not RunDirectory(tmp_path / name).is_closed
        assert not RunDirectory(tmp_path / name).is_locked()


def kinds(*jobs):
    return len({kind(compose(*own)) for own in jobs})


def test_what_may_differ_is_in_the_table_of_keys():
    assert kinds(["seed=1"], ["replicas=3"], ["task.length=70"], ["optimizer.lr=.1"], ["cell=sigmoid"]) == 1
    assert kinds(["curriculum=grow"], ["seed=0"], ["curriculum=grow", "curriculum.growth=1.5"]) == 1
    assert kinds(["optimizer.omega=plain"], ["seed=1"], ["optimizer=msgd"]) == 1
    assert kinds(["cell=lstm"], ["cell=smart_tanh"]) == 2
    for other in ("cell.hidden_size=20", "task.batch_size=10", "trainer.max_steps=7"):
        assert kinds([other], ["seed=1"]) == 2, other
    assert kinds(["optimizer=adam", "optimizer.lr=.1"], ["optimizer=adam", "optimizer.lr=.2"]) == 2
    assert kinds(["task=addition"], ["task=temporal_order"]) == 2


def test_packs_begin_with_the_most_work_and_are_no_larger_than_asked():
    sweep = [["task.length=50"], ["cell=lstm", "task.length=200"], ["task.length=60"], ["task.length=70"]]
    sweep.append(["task=price", "cell=dense_lstm", "optimizer=adam", "schedule=parts", "trainer.max_epochs=2"])
    configs = [compose(*own) for own in sweep]
    found = packs(configs, None)
    assert sorted(pack.jobs for pack in found) == [[0, 2, 3], [1], [4]]
    assert [pack.work for pack in found] == sorted((pack.work for pack in found), reverse=True)
    assert why_alone(configs[4]) == "learned in epochs"
    assert sorted(pack.jobs for pack in packs(configs, 10)) == [[0, 2], [1], [3], [4]]
    assert sorted(pack.jobs for pack in packs(configs, 1)) == [[0], [1], [2], [3], [4]]
    (alone,) = [pack for pack in found if pack.jobs == [4]]
    assert "learned in epochs" in alone.describe(["a", "b", "c", "d", "price"])


def test_a_pack_takes_no_more_memory_than_is_free(monkeypatch):
    monkeypatch.setattr("src.packing.groups.free_memory", lambda: 1)
    configs = [compose(f"seed={seed}") for seed in (0, 10)]
    assert [pack.jobs for pack in packs(configs, None)] == [[0], [1]]


def test_mini_batches_beside_each_other():
    short = collate([(np.ones((2, 3), dtype=np.uint8), np.array([0, 1, 2]))])
    long = collate([(np.full((4, 3), 2, dtype=np.uint8), np.array([3, 4, 5]))] * 2)
    (both,) = beside([Block.one(short, every_step=False), Block.one(long, every_step=False)])
    assert both.inputs.shape == (3, 4, 3) and both.length.tolist() == [2, 4, 4] == both.lengths
    assert both.inputs[0, 2:].eq(0).all() and both.target.tolist() == [[0, 1, 2], [3, 4, 5], [3, 4, 5]]


def test_the_line_says_who_has_solved_the_task_and_how_long_it_takes(tmp_path, capsys):
    shown = []

    class Told(Display):
        def show(self, trainings):
            shown.append(self.line(trainings))

    told = Told([1.0, 1.0])
    told.begin(0, "two jobs")
    jobs = [partial(run, compose(*SMALL, f"optimizer={m}"), tmp_path / m) for m in ("msgd", "msgd_c")]
    train(jobs, told)
    assert "pack 1 of 2: two jobs" in capsys.readouterr().err
    assert "solved msgd 0/2, msgd_c 0/2" in shown[-1] and "updates/s" in shown[-1] and "left" in shown[-1]


def test_hydra_finds_the_launcher():
    assert "PackedLauncher" in [found.__name__ for found in Plugins.instance().discover(Launcher)]


@pytest.mark.parametrize("replicas", ["0", "many", "2.5", "[1]"])
def test_an_odd_bound_is_refused(replicas):
    overrides = ["hydra/launcher=packed", f"hydra.launcher.replicas={replicas}"]
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose("train", overrides, return_hydra_config=True)
    (problem,) = launcher_problems(cfg)
    assert problem.startswith(
        f"hydra.launcher.replicas={cfg.hydra.launcher.replicas}: must be a whole number, 1 or more"
    )


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_curves_are_packed(name):
    """Every experiment that is a sweep of tasks with right and wrong answers."""
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose("train", [f"experiment={name}"], return_hydra_config=True)
    is_curve = bool(cfg.hydra.sweeper.params) and not name.startswith(("price", "text"))
    assert (cfg.hydra.launcher._target_ == PACKED) == is_curve
