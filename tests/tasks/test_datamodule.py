"""Training data are functions of (seed, update); blocks stop where they must."""

import numpy as np
import pytest
import torch

from src.population import Population
from src.training.data import Sequences
from tasks.batch import collate
from tasks.data import TrainingData, fresh_batch
from tests.conftest import make_task

MIXED = dict(length=10, max_length=30)


@pytest.mark.parametrize("task", [make_task(), make_task(**MIXED), make_task("addition", **MIXED)])
def test_order_of_asking_changes_nothing(task):
    """Forwards, backwards, twice, beside another seed: always the same mini-batch."""
    in_order, at_random = TrainingData(task), TrainingData(task)
    expected = {n: in_order(3, n) for n in range(50)}
    for n in reversed(range(0, 50, 7)):
        at_random(4, n + 1)
        for mine, theirs in zip(at_random(3, n), expected[n], strict=True):
            assert np.array_equal(mine, theirs)
    first, second = expected[0][0], expected[1][0]
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_lengths_of_replicas_are_their_own():
    task = make_task(**MIXED)
    data = TrainingData(task)
    lengths = {seed: [len(data(seed, n)[0]) for n in range(64)] for seed in (0, 1)}
    assert lengths[0] != lengths[1]
    assert min(lengths[0] + lengths[1]) >= 10 and max(lengths[0] + lengths[1]) <= 30


def test_collate_pads_at_the_end():
    batch = collate([(np.ones((2, 3), np.int8), np.zeros(3, int)), (np.ones((4, 3), np.int8), np.ones(3, int))])
    assert batch.inputs.dtype == torch.int8 and batch.inputs.shape == (2, 4, 3)
    assert batch.inputs[0].sum(1).tolist() == [3, 3, 0, 0] and batch.length.tolist() == [2, 4]
    assert batch.select([1]).target.tolist() == [[1, 1, 1]]


def test_fresh_sequences_are_not_training_sequences():
    """Other streams; another part or update, other sequences; the same, the same."""
    task = make_task()
    train = TrainingData(task)(0, 0)[0]
    one, same = (fresh_batch(task, [(0, 2000)], 0, 20).inputs for _ in range(2))
    assert torch.equal(one, same)
    assert not np.array_equal(train, one[0].numpy())
    for other in (
        fresh_batch(task, [(0, 2000)], 1, 20),
        fresh_batch(task, [(0, 4000)], 0, 20),
        fresh_batch(task, [(1, 2000)], 0, 20),
    ):
        assert not torch.equal(one, other.inputs)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_end_at_stops_and_at_max_steps(block):
    task, population = make_task(length=10), Population([0, 1], {"lr": 1.0})
    data = Sequences(task, population, block, max_steps=53, stops=[20, 8])
    seen = []
    for batches in data.train_dataloader():
        population.updates += len(batches)
        seen.append(population.step)
        assert len(batches) <= block
    assert seen[-1] == 53 and {8, 16, 20, 24, 32, 40, 48} <= set(seen)


def test_a_block_is_short_where_there_are_many_long_sequences(monkeypatch):
    """However many have left; where it is drawn ahead it may be longer."""
    monkeypatch.setattr("tasks.block.STEPS", 3 * 20 * 40 * 9)
    task = make_task(length=40)
    population = Population([0, 1, 2], {"lr": 1.0})
    found = Sequences(task, population, 50, 1000, [100])
    assert found.length_at(0) == 8
    population.live = [1]
    assert found.length_at(0) == 8
    ahead = Sequences(task, population, 50, 1000, [100], ahead=True)
    assert ahead.length_at(0) == 50
    ahead.teardown("fit")
