"""The success test: what is solved, when it stops, and that chunks and neighbours change nothing."""

import numpy as np
import pytest
import torch

from src.network import Network
from src.training.success import SuccessTest
from tasks.data import fresh_batch
from tests.conftest import make_architecture, make_task


class Scripted:
    """A network whose replica r answers the first wrong[r] sequences of every 1000 wrongly."""

    def __init__(self, wrong):
        self.answers = wrong
        self.W = torch.zeros(1)
        self.sizes = []

    def select(self, rows):
        other = Scripted([self.answers[r] for r in rows])
        other.sizes = self.sizes
        return other

    def wrong(self, batch, task):
        self.sizes.append(tuple(batch.inputs.shape[:1]) + tuple(batch.inputs.shape[2:]))
        return torch.arange(batch.inputs.shape[2]) < torch.tensor(self.answers)[:, None]


class Task:
    """Sequences of nothing."""

    def draw_length(self, draws):
        return 3

    def draw(self, length, batch, draws, split):
        return np.zeros((length, batch), np.int8), np.zeros(batch, int)


def test_fewer_than_one_per_cent_is_solved():
    """P13: fewer than 1 % of 10 000. 99 pass, 100 do not. The chance ones stop after their first batch."""
    network = Scripted([0, 9, 10, 11, 750])
    error, passed = SuccessTest(0.01, 2000, 10_000).run(network, Task(), range(5), [0] * 5)
    assert passed.tolist() == [True, True, False, False, False]
    assert error == pytest.approx([0, 0.009, 0.01, 0.011, 0.75])
    assert network.sizes == [(5, 1000)] + [(4, 1000)] * 9


def test_a_test_stops_when_it_can_no_longer_pass():
    network = Scripted([30])
    error, passed = SuccessTest(0.01, 2000, 10_000).run(network, Task(), [0], [0])
    assert len(network.sizes) == 4 and error == [0.03] and not passed[0]  # 120 > 100 wrong after four thousand
    network = Scripted([30])
    SuccessTest(0.01, 2000, 10_000).run(network, Task(), [0], [0], full=True)
    assert len(network.sizes) == 10  # the test at the end sees all


def test_pcodes_rule_is_a_small_number():
    test = SuccessTest(1e-9, 2000, 1000)
    assert test.run(Scripted([0, 1]), Task(), [0, 1], [0, 0])[1].tolist() == [True, False]


@pytest.mark.parametrize("max_error", [0.035, 0.07, 0.14])
def test_exactly_the_bound_is_not_fewer(max_error):
    """.07 times 100 is 7.000000000000001 in floating point; 7 of 100 are not fewer than 7 %."""
    wrong = round(max_error * 1000)
    test = SuccessTest(max_error, 1, 1000)
    assert test.run(Scripted([wrong, wrong - 1]), Task(), [0, 1], [0, 0])[1].tolist() == [False, True]


def test_odd_numbers_of_sequences():
    network = Scripted([0])
    error, passed = SuccessTest(0.5, 1, 2500).run(network, Task(), [0], [0])
    assert [size[1] for size in network.sizes] == [1000, 1000, 500] and passed[0] and error[0] == 0


@pytest.mark.parametrize("name", ["temporal_order", "addition"])
def test_equals_a_hand_loop(name):
    """Ten batches of 1000, each with a length of its own, one replica at a time."""
    task, seeds, updates = make_task(name, length=10, max_length=30), [3, 4], [40, 60]
    network = Network.start(make_architecture("basic_tanh", 8), task, seeds)
    error, _ = SuccessTest(0.01, 20, 10_000).run(network, task, seeds, updates, full=True)
    for r in range(2):
        wrong, lengths, alone = 0, set(), network.select([r])
        for part in range(10):
            batch = fresh_batch(task, [(seeds[r], updates[r])], part, 1000)
            lengths.add(int(batch.length[0]))
            with torch.no_grad():
                output = alone(batch.inputs, batch.length)[0]
            if name == "temporal_order":
                wrong += int((output.argmax(-1) != batch.target[0]).sum())
            else:
                wrong += int(((output[:, 0] - batch.target[0]) ** 2 > 0.04).sum())
        assert error[r] == wrong / 10_000 and len(lengths) > 3
