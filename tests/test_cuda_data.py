"""Blocks that are drawn ahead by a thread are those that would be drawn when they are needed."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from src import recurrence
from src.recurrence import AUTO, FUSED, REFERENCE, cuda
from src.run import build, device
from src.training.ahead import Ahead, draw
from src.training.data import Sequences
from tasks.data import TrainingData
from tests.conftest import ROOT, compose, make_cell, make_task

TRITON = cuda.Triton.name
GPU = torch.device("cuda")


def equal(block, other):
    assert len(block) == len(other)
    pairs = list(zip(block, other, strict=True))
    same = all(torch.equal(x, y) for one, two in pairs for x, y in zip(one[:3], two[:3], strict=True))
    return same and all(list(one.lengths) == list(two.lengths) == one.length.tolist() for one, two in pairs)


@pytest.mark.parametrize("name", ["temporal_order", "addition"])
def test_the_same_blocks(name):
    task = make_task(name, length=12, max_length=20, batch_size=3)
    ahead, data = Ahead(TrainingData(task)), TrainingData(task)
    live = [(5, 0, task), (6, 0, task), (7, 14, task)]
    assert equal(ahead.take(live, 4), draw(data, live, 4))
    later = [(seed, n + 4, task) for seed, n, _ in live]
    ahead.begin(later, 20)
    assert equal(ahead.take(later, 20), draw(data, later, 20))
    ahead.close()


def test_whoever_leaves_meanwhile_is_left_out():
    task = make_task("temporal_order", length=12, batch_size=3)
    ahead, data = Ahead(TrainingData(task)), TrainingData(task)
    live = [(5, 0, task), (6, 0, task), (7, 0, task)]
    ahead.begin(live, 3)
    assert equal(ahead.take([live[0], live[2]], 3), draw(data, [live[0], live[2]], 3))
    ahead.begin(live, 3)
    other = [(5, 1, task), (6, 0, task)]
    assert equal(ahead.take(other, 3), draw(data, other, 3))  # one of them was not updated
    longer = [(5, 0, task.at(14)), (6, 0, task)]
    ahead.begin(live, 3)
    assert equal(ahead.take(longer, 3), draw(data, longer, 3))  # one of them has come to another length
    ahead.begin(live, 3)
    assert equal(ahead.take(live, 2), draw(data, live, 2))
    ahead.close()


@pytest.mark.parametrize("name", ["temporal_order", "addition", "memorization_5bit"])
def test_whoever_leaves_takes_the_padding_along(name):
    task = make_task(name, length=12, max_length=40, batch_size=3)
    ahead, data = Ahead(TrainingData(task)), TrainingData(task)
    live = [(seed, 0, task) for seed in range(5)]
    ahead.begin(live, 9)
    assert equal(ahead.take(live[1:3], 9), draw(data, live[1:3], 9))
    ahead.close()


def test_a_loader_with_a_thread_yields_what_one_without_does():
    blocks = []
    for ahead in (False, True):
        experiment = build(compose("replicas=3", "task.length=12"))
        population = experiment.module.population
        source = Sequences(experiment.module.task, population, 3, 11, [5], ahead)
        own = []
        for block in source.train_dataloader():
            own += block
            population.updates += len(block)
            if population.step == 5:
                population.live = [0, 2]
        blocks.append(own)
        source.teardown("fit")
    assert len(blocks[0]) == 11
    assert equal(*blocks)


def test_where_a_population_lives(monkeypatch):
    """auto: on a GPU only where there is one whose kernels run the cell, and nobody asked for another recurrence."""
    auto = compose("trainer.accelerator=auto")
    assert "accelerator: auto" in (ROOT / "conf" / "trainer" / "default.yaml").read_text()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device(auto).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda.Triton, "missing", classmethod(lambda cls: None))
    assert device(auto).type == "cuda"
    assert device(auto, FUSED).type == "cpu" and device(auto, TRITON).type == "cuda"
    assert device(compose("trainer.accelerator=cpu")).type == "cpu"
    assert device(compose("cell=gru", "optimizer=msgd_c", "trainer.accelerator=auto")).type == "cpu"
    assert device(compose("cell.hidden_size=300", "trainer.accelerator=auto")).type == "cpu"
    assert device(compose("cell.hidden_size=300", "trainer.accelerator=gpu")).type == "cuda"
    monkeypatch.setattr(cuda.Triton, "missing", classmethod(lambda cls: "no Triton"))
    assert device(auto).type == "cpu"


@pytest.mark.usefixtures("as_before")
def test_what_runs_on_a_gpu_and_why_not(monkeypatch):
    monkeypatch.setattr(cuda.Triton, "missing", classmethod(lambda cls: None))
    assert settled(make_cell("smart_tanh")) == (TRITON, None)
    assert settled(make_cell("smart_tanh", 300)) == (REFERENCE, "kernels for smart_tanh go to 256 units, not to 300")
    assert settled(make_cell("gru")) == (REFERENCE, "there is no kernel for gru")
    monkeypatch.setattr(cuda.Triton, "missing", classmethod(lambda cls: "there is no Triton"))
    assert settled(make_cell("smart_tanh")) == (REFERENCE, "there is no Triton")


def settled(cell):
    """What runs a cell on a GPU, and why not the kernels."""
    with FakeTensorMode():
        chosen = recurrence.settle(AUTO, cell, GPU)
    return chosen.backend, chosen.reason
