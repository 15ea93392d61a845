"""Updates that are recorded and replayed: as those made launch by launch. tests/test_cuda_gpu.py has real graphs."""

import pytest
import torch

from src import recurrence
from src.recurrence import cuda
from src.run import build
from src.training import clipping, replay, update
from src.training.replay import Replays, rounded
from tasks.batch import Batch
from tests.conftest import compose

pytestmark = [
    pytest.mark.skipif(cuda.Triton.missing() is not None, reason=str(cuda.Triton.missing())),
    pytest.mark.usefixtures("as_before"),
]
SMALL = ["cell.hidden_size=5", "task.length=10", "task.batch_size=4", "replicas=3", "block=6", "optimizer.momentum=.9"]


@pytest.fixture
def ahead(monkeypatch):
    """The CPU is taken for a device that works ahead: nobody is asked, flags are handed on."""
    for module in (replay, clipping, update):
        monkeypatch.setattr(module, "works_ahead", lambda tensor: True)
    monkeypatch.setattr(update, "known", lambda condition: None)


def begun(*overrides: str):
    """An experiment whose kernels are Triton's, with the settings that a device has."""
    experiment = build(compose(*overrides))
    recurrence.use(cuda.Triton.name)
    module = experiment.module
    module.configure_optimizers()
    module.population.begin()
    stack = module.population.stack
    stack.settings = {name: value for name, value in stack.settings.items() if name not in module.population.off}
    return experiment


def same_again():
    """Records nothing: the work is done again."""
    return lambda work: work


class Made:
    """Updates of a small population, made with replays or without."""

    def __init__(self, *overrides: str, replays: Replays | None = None):
        experiment = begun(*SMALL, *overrides)
        self.module = experiment.module
        self.stack = self.module.population.stack
        self.batches = experiment.data.next_block()
        self.replays = replays
        self.replayed = 0
        self.lost_A = None

    def update(self, batch: Batch) -> list[torch.Tensor]:
        """Everything that an update leaves."""
        module, stack = self.module, self.stack
        found = None
        if self.replays is not None:
            found = self.replays.update(stack, batch, module.task, module.method, self.lost_A)
            self.replayed += found is not None
        if found is None:
            found = update.update(stack, batch, module.task, module.method, stack.optimizer.step, lost_A=self.lost_A)
        self.lost_A = found.diverged_A
        metrics = [found.metrics[name].float() for name in sorted(found.metrics)]
        return [stack.theta_AP.clone(), stack.state["momentum_buffer"].clone(), found.diverged_A, *metrics]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("overrides", [[], ["task=addition", "optimizer=msgd_c"]])
def test_replayed_updates_are_those_made_one_by_one(overrides, ahead):
    """Rates that change, a replica that diverges, another shape in between, rows that move."""
    by_hand, made = Made(*overrides), Made(*overrides, replays=Replays(same_again))
    longer = by_hand.batches[0].lengthened(12, by_hand.module.task.every_step)
    for number, batch in enumerate([*by_hand.batches[:4], longer, longer, *by_hand.batches[4:]]):
        for each in (by_hand, made):
            if number == 2:
                each.stack.settings["lr"][1] *= 0.5
            if number == 3:
                each.stack.theta_AP[2, 0] = torch.inf
            if number == 6:
                each.stack.settings = each.stack.settings | {"lr": each.stack.settings["lr"] * 2}
        assert same(made.update(batch), by_hand.update(batch)), number
    assert made.lost_A.tolist() == [False, False, True]
    assert made.replayed == 5  # all but the first of each shape, and the second: now there is an optimizer's memory
    made.module.population.leave([True, False, False], "budget")
    assert made.replays.update(made.stack, batch.select([1, 2]), made.module.task, made.module.method, None) is None


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=simplex"],
        ["optimizer=adam"],
        ["cell=gru", "optimizer=msgd_c"],
        ["++cell.layers=2"],
        ["optimizer.l2=.1"],
        ["optimizer.alpha_decay=.1"],
        ["optimizer.half_life=100"],
        ["++cell.learned=readout", "optimizer=msgd_c"],
    ],
    ids=str,
)
def test_what_is_not_a_function_of_the_batch_alone_is_not_recorded(overrides, ahead):
    module = begun(*SMALL[:-1], *overrides).module
    assert not replay.is_recordable(module.population.stack, module.task, module.method)


def test_without_memory_for_a_recording_updates_are_made_one_by_one(ahead):
    def full():
        def record(work):
            raise torch.cuda.OutOfMemoryError

        return record

    by_hand, made = Made(), Made(replays=Replays(full))
    for batch in by_hand.batches[:3]:
        assert same(made.update(batch), by_hand.update(batch))
    assert made.replayed == 0 and made.replays.tight


def test_all_are_forgotten_where_there_are_too_many_or_the_rows_move(ahead, monkeypatch):
    """Then something new records: the memory that graphs share goes with the last of them."""
    monkeypatch.setattr(replay, "MOST", 2)
    recorders = []

    def counted():
        recorders.append(len(recorders))
        return lambda work: work

    made = Made(replays=Replays(counted))
    batch = made.batches[0]
    for steps in (10, 10, 12, 12, 14):
        made.update(batch.lengthened(steps, every_step=False))
    assert recorders == [0, 1, 2] and len(made.replays.known) == 1  # the second one: an optimizer's memory came
    made.replays.forget()
    assert len(recorders) == 4 and not made.replays.known


def test_the_cpu_records_nothing():
    made = Made()
    assert not replay.is_recordable(made.stack, made.module.task, made.module.method)


def test_what_a_replay_finds_wrong_is_refused_when_somebody_asks(ahead, monkeypatch):
    """The flags of a replay outlive the next one."""
    said = []
    monkeypatch.setattr(recurrence, "refuse", lambda wrong, error: said.append((wrong, str(error))))
    made = Made(replays=Replays(same_again))
    batch = made.batches[0]

    def refuse(wrong, error):
        recurrence.checks._waiting.append((wrong, error))

    for module in (cuda.run, cuda.update):
        monkeypatch.setattr(module, "refuse", refuse)
    wrong = Batch(batch.inputs.clone().fill_(77), batch.target, batch.length, batch.lengths)
    for each in (batch, batch, wrong, batch):
        made.update(each)
    assert [bool(flag) for flag, _ in said[-2:]] == [True, False]
    assert "a symbol is outside" in said[-2][1]


@pytest.mark.parametrize(
    ("lengths", "varies", "steps"),
    [
        ([7, 7], False, 7),
        ([17, 17], False, 17),
        ([17, 17], True, 18),
        ([7, 5], False, 7),
        ([17, 16], False, 18),
        ([100, 3], True, 104),
        ([1000, 900], False, 1024),
    ],
)
def test_lengths_are_rounded_where_they_differ(lengths, varies, steps):
    inputs = torch.ones(2, max(lengths), 3, dtype=torch.int8)
    target = torch.ones(2, max(lengths), 3, dtype=torch.int64)
    for every_step in (False, True):
        found = rounded(Batch(inputs, target, torch.tensor(lengths), lengths), every_step, varies)
        assert found.inputs.shape[1] == steps and not found.inputs[:, max(lengths) :].any()
        assert found.target.shape[1] == (steps if every_step else max(lengths))
        assert found.lengths == lengths
