"""A block holds the mini-batches of its updates, wherever it lies and whoever is chosen from it."""

import pytest
import torch

from tasks.batch import collate
from tasks.block import NOTHING, STEPS, Block, _moved, beside, most_updates
from tasks.data import TrainingData
from tests.conftest import make_task

TASKS = {
    "symbols": ("temporal_order", {"length": 12}),
    "numbers": ("addition", {"length": 12}),
    "every step": ("memorization_5bit", {"length": 12}),
    "lengths": ("temporal_order", {"length": 12, "max_length": 31}),
    "numbers and lengths": ("addition", {"length": 12, "max_length": 31}),
}
FIRST = [3, 14, 40]
"""Updates that three replicas have made: their blocks of 16 begin at other places."""


def drawn(name, count=21, own=(12, 12, 12)):
    """A block, and the same mini-batches one by one."""
    kind, keys = TASKS[name]
    task = make_task(kind, batch_size=3, **keys)
    tasks = [task if length == 12 else task.at(length) for length in own]
    live = list(zip(range(5, 8), FIRST, tasks, strict=True))
    data = TrainingData(task)
    block = Block.drawn([data.pieces(seed, n, count, each) for seed, n, each in live], task.every_step)
    again = TrainingData(task)
    return block, [collate([again(seed, n + k, each) for seed, n, each in live]) for k in range(count)]


def assert_same(block, batches):
    assert len(block) == len(batches)
    for mine, theirs in zip(block, batches, strict=True):
        assert mine.inputs.dtype == theirs.inputs.dtype and mine.target.dtype == theirs.target.dtype
        assert all(torch.equal(one, other) for one, other in zip(mine[:3], theirs[:3], strict=True))
        assert list(mine.lengths) == list(theirs.lengths) == mine.length.tolist()


@pytest.mark.parametrize("name", TASKS)
def test_the_mini_batches_are_those_drawn_one_by_one(name):
    block, batches = drawn(name)
    assert_same(block, batches)
    assert_same(block[4:9], batches[4:9])


@pytest.mark.parametrize("name", ["symbols", "numbers", "every step"])
def test_replicas_of_other_lengths_are_padded_with_zeros(name):
    block, batches = drawn(name, own=(12, 15, 19))
    assert_same(block, batches)
    assert block.inputs[:, 0, block.lengths[0][0] :].eq(0).all()


@pytest.mark.parametrize("name", TASKS)
def test_whoever_is_chosen_takes_the_padding_of_nobody_else_along(name):
    block, batches = drawn(name, own=(12, 12, 12) if "lengths" in name else (12, 15, 19))
    chosen = block.select([1, 0])
    assert chosen.inputs.shape[2] == max(max(own) for own in chosen.lengths)
    wanted = [batch.select([1, 0]).trimmed(block.every_step) for batch in batches]
    assert_same(chosen, wanted)


@pytest.mark.parametrize("name", TASKS)
def test_blocks_beside_each_other(name):
    block, batches = drawn(name, own=(12, 12, 12) if "lengths" in name else (12, 15, 19))
    assert_same(beside([block.select([0]), block.select([1, 2])]), batches)
    assert beside([block]) is block


@pytest.mark.parametrize("name", TASKS)
def test_mini_batches_begin_at_addresses_that_kernels_like(name):
    block, _ = drawn(name)
    for each in (block, block.select([0, 2]), beside([block, block])):
        assert all(rows.data_ptr() % 64 == 0 for rows in (each.inputs, each.target, each.length))
        steps = [rows.stride(0) * rows.element_size() for rows in (each.inputs, each.target, each.length)]
        assert all(step % 64 == 0 for step in steps)


@pytest.mark.parametrize("name", TASKS)
def test_a_device_fetches_three_pieces(name, monkeypatch):
    block, batches = drawn(name)
    moved = []
    to = torch.Tensor.to

    def counted(tensor, *args, **settings):
        moved.append(tensor)
        return to(tensor, *args, **settings)

    monkeypatch.setattr(torch.Tensor, "to", counted)
    there = block[2:].to(torch.device("meta"))
    assert len(moved) == 3 and all(piece.is_contiguous() for piece in moved)
    assert [batch.inputs.shape for batch in there] == [batch.inputs.shape for batch in batches[2:]]
    assert there.inputs.stride() == block.inputs.stride()
    assert block.to(torch.device("cpu")).inputs is block.inputs and len(moved) == 3


@pytest.mark.parametrize("part", [slice(None), slice(2, 9), slice(20, 21)])
def test_what_arrives_is_what_was_sent(part, monkeypatch):
    """The device is one that copies: the same numbers come to lie elsewhere."""
    block, batches = drawn("symbols", own=(12, 15, 19))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *args, **settings: tensor.clone())
    there = block[part].each(lambda rows: _moved(rows, torch.device("meta")), block.lengths[part])
    assert_same(there, batches[part])
    assert there.inputs.data_ptr() != block[part].inputs.data_ptr()


def test_a_block_without_updates():
    assert len(NOTHING) == len(NOTHING.to(torch.device("meta"))) == 0 and list(NOTHING) == []


@pytest.mark.parametrize(("steps", "updates"), [(1, 2**21), (STEPS // 64, 64), (STEPS // 100, 64), (STEPS * 3, 1)])
def test_a_block_holds_few_long_sequences(steps, updates):
    assert most_updates(steps) == updates and most_updates(steps, ahead=True) >= updates
