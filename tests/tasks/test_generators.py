"""The tasks, recomputed by brute force from their definitions."""

from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.directions import Direction
from src.network import Network
from tasks.adding import adding
from tasks.addition import addition
from tasks.batch import collate
from tasks.copying import copying
from tasks.data import TrainingData
from tasks.memorization import memorization
from tasks.multiplication import multiplication
from tasks.permutation import permutation
from tasks.task import MEMORYLESS, Regression, Split
from tasks.temporal_order import temporal_order
from tasks.temporal_order_3bit import temporal_order_3bit
from tests.conftest import make_architecture, make_task

seeds = st.integers(0, 2**32)
lengths = st.integers(10, 300)
batches = st.integers(1, 40)


@settings(max_examples=150, deadline=None)
@given(seeds, lengths, batches, st.sampled_from(["pascanu", "galvan"]))
def test_temporal_order(seed, length, batch, positions):
    symbols, target = temporal_order(length, batch, np.random.default_rng(seed), positions)
    assert symbols.shape == (length, batch) and symbols.min() >= 0 and symbols.max() <= 5
    tenth, half = floor(length / 10), floor(length / 2)
    for b in range(batch):
        where = [i for i in range(length) if symbols[i, b] < 2]
        assert len(where) == 2
        p0, p1 = where
        if positions == "pascanu":
            assert tenth <= p0 < 2 * tenth and half <= p1 < half + tenth
        else:
            assert 0 <= p0 < tenth and tenth <= p1 < tenth + floor(4 * length / 10)
        assert target[b] == symbols[p0, b] + 2 * symbols[p1, b]


@settings(max_examples=150, deadline=None)
@given(seeds, lengths, batches)
def test_addition(seed, length, batch):
    inputs, target = addition(length, batch, np.random.default_rng(seed))
    assert inputs.shape == (length, batch, 2) and inputs.dtype == target.dtype == np.float32
    assert ((inputs[..., 1] >= 0) & (inputs[..., 1] < 1)).all()
    tenth = floor(length / 10)
    for b in range(batch):
        where = [i for i in range(length) if inputs[i, b, 0] == 1]
        assert sorted(set(inputs[:, b, 0])) == [0, 1] and len(where) == 2
        assert 0 <= where[0] < tenth <= where[1] < tenth + floor(4 * length / 10)
        assert target[b] == pytest.approx(sum(float(inputs[i, b, 1]) for i in where) / 2, abs=1e-7)


def test_classes_symbols_and_positions_are_uniform():
    """χ² at five sigma over 40 000 sequences."""
    symbols, target = temporal_order(50, 40_000, np.random.default_rng(0))

    def uniform(counts):
        expected = counts.sum() / len(counts)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        return chi2 < len(counts) - 1 + 5 * np.sqrt(2 * (len(counts) - 1))

    assert uniform(np.bincount(target, minlength=4))
    assert uniform(np.bincount(symbols[symbols >= 2])[2:])
    position = np.argmax(symbols < 2, axis=0)
    assert set(position) == set(range(5, 10)) and uniform(np.bincount(position)[5:])
    inputs, answer = addition(50, 40_000, np.random.default_rng(0))
    second = 49 - np.argmax(inputs[::-1, :, 0], axis=0)
    assert set(second) == set(range(5, 25)) and uniform(np.bincount(second)[5:])
    # chance, always answering .5 by hand: 36 % and 85 %
    assert np.mean((answer - 0.5) ** 2 > 0.04) == pytest.approx(0.36, abs=0.01)
    assert np.mean(np.abs(answer - 0.5) > 0.04) == pytest.approx(0.85, abs=0.01)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (dict(length=50), {50}),
        (dict(length=50, max_length=53), {50, 51, 52, 53}),  # 53 itself comes
        (dict(length=50, stretch=0.1), set(range(50, 55))),  # [L, L + floor(.1 L))
        (dict(length=19, stretch=0.1), {19}),
        (dict(length=10, max_length=20, stretch=0.1), set(range(10, 22))),  # 20 + 1
    ],
)
def test_lengths(keys, expected):
    task, draws = make_task(**keys), np.random.default_rng(0)
    assert {task.draw_length(draws) for _ in range(2000)} == expected


def test_addition_draws_its_length_as_pcode_does():
    task, draws = make_task("addition", length=30), np.random.default_rng(0)
    assert {task.draw_length(draws) for _ in range(500)} == {30, 31, 32}


def test_criteria_at_their_borders():
    """Wrong above .04, not at it; NaN and infinity are wrong."""
    squared, absolute = make_task("addition"), make_task("addition", criterion="absolute")
    error = torch.tensor([[0.0, 0.0399, 0.0401, 0.1999, 0.2001, float("nan"), float("inf")]])
    target = torch.zeros_like(error)
    assert squared.wrong(error[..., None], target).tolist() == [[False] * 4 + [True] * 3]
    assert absolute.wrong(-error[..., None], target).tolist() == [[False] * 2 + [True] * 5]
    at = torch.tensor([[0.04]])
    assert not absolute.wrong(at[..., None], torch.zeros(1, 1)).any()
    order = make_task()
    output = torch.tensor([[[0.0, 2.0, 1.0, 1.0], [float("nan"), 0, 0, 0], [0, float("inf"), 0, 0]]])
    assert order.wrong(output, torch.tensor([[1, 0, 1]])).tolist() == [[False, True, True]]


def test_losses_by_hand():
    order, output = make_task(), torch.log(torch.tensor([[[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]]]))
    loss = order.loss(output, torch.tensor([[2, 0]]))
    assert loss.tolist() == pytest.approx([-(np.log(0.3) + np.log(0.7)) / 2])
    total = make_task("addition").loss(torch.tensor([[[0.5], [0.0]]]), torch.tensor([[0.2, 0.4]]))
    assert total.tolist() == pytest.approx([(0.09 + 0.16) / 2])


def test_hinge_by_hand():
    """max(0, 1 - s y) of each output, the mean over outputs and sequences; NaN stays NaN."""
    order = make_task(loss="hinge")
    output = torch.tensor([[[2.0, -2.0, 0.5, 0.0], [-1.0, 0.0, -3.0, 1.0]]])
    loss = order.loss(output, torch.tensor([[0, 3]]))
    assert loss.tolist() == pytest.approx([((0 + 0 + 1.5 + 1) / 4 + (0 + 1 + 0 + 0) / 4) / 2])
    assert order.loss(output * float("nan"), torch.tensor([[0, 3]])).isnan().all()
    assert order.loss_form is None and make_task().loss_form == "cross_entropy"
    steps = make_task("memorization_5bit", loss="hinge")
    output, target = torch.randn(2, 6, 4, 3), torch.randint(3, (2, 6, 4))
    whole = steps.loss(output, target, torch.tensor([6, 4]))
    sign = torch.where(torch.arange(3) == target[..., None], 1.0, -1.0)
    each = torch.relu(1 - sign * output).mean(-1)
    torch.testing.assert_close(whole, torch.stack([each[0].mean(), each[1, :4].mean()]))


class Both(Regression):
    """Two numbers, the sum and the difference of the first two inputs."""

    inputs, outputs = 1, 2

    def draw(self, length, batch, draws, split=Split.TRAIN):
        x = draws.uniform(size=(length, batch, 1)).astype(np.float32)
        return x, np.stack([x[0, :, 0] + x[1, :, 0], x[0, :, 0] - x[1, :, 0]], axis=-1)


def test_several_outputs_in_the_squared_error():
    """Loss and gradient against autograd; wrong where one is; and the mini-batches of TrainingData are whole."""
    task = Both(name="both", length=6, batch_size=4)
    data = TrainingData(task)
    batch = collate([data(seed, 1) for seed in range(3)])
    assert batch.target.shape == (3, 4, 2)
    torch.testing.assert_close(batch.target[..., 0], (batch.inputs[:, 0] + batch.inputs[:, 1])[..., 0])
    network = Network.start(make_architecture("smart_tanh", 7), task, range(3))
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    metrics = network.learn(batch, task, Direction(), {})
    mine = {name: p.grad.clone() for name, p in network.named_parameters()}
    network.zero_grad()
    loss_R = (network(batch.inputs, batch.length) - batch.target).square().mean((1, 2))
    loss_R.sum().backward()
    torch.testing.assert_close(metrics["loss"], loss_R.detach())
    for name, p in network.named_parameters():
        torch.testing.assert_close(mine[name], p.grad, rtol=1e-5, atol=1e-7)
    right = batch.target.clone()
    right[0, 1, 1] += 1
    wrong = task.wrong(right, batch.target)
    assert wrong.shape == (3, 4) and wrong.nonzero().tolist() == [[0, 1]]
    assert torch.equal(network.wrong(batch, task), task.wrong(network(batch.inputs, batch.length), batch.target))


@settings(max_examples=100, deadline=None)
@given(seeds, lengths, batches)
def test_temporal_order_3bit(seed, length, batch):
    symbols, target = temporal_order_3bit(length, batch, np.random.default_rng(seed))
    assert symbols.shape == (length, batch) and symbols.min() >= 0 and symbols.max() <= 5
    tenth = floor(length / 10)
    for b in range(batch):
        where = [i for i in range(length) if symbols[i, b] < 2]
        assert len(where) == 3
        for position, first in zip(where, (tenth, length * 3 // 10, length * 6 // 10), strict=True):
            assert first <= position < first + tenth
        assert target[b] == sum(2**k * int(symbols[i, b]) for k, i in enumerate(where))


@settings(max_examples=100, deadline=None)
@given(seeds, lengths, batches)
def test_multiplication(seed, length, batch):
    inputs, target = multiplication(length, batch, np.random.default_rng(seed))
    same, _ = addition(length, batch, np.random.default_rng(seed))
    assert np.array_equal(inputs, same) and target.dtype == np.float32
    for b in range(batch):
        one, other = (float(value) for marker, value in inputs[:, b] if marker == 1)
        assert target[b] == pytest.approx(one * other, abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(1, 300), batches, st.sampled_from(["first", "every"]))
def test_permutation(seed, length, batch, predict):
    symbols, target = permutation(length, batch, np.random.default_rng(seed), predict)
    assert symbols.shape == (length, batch) and set(symbols[0]) <= {0, 1}
    assert length == 1 or (symbols[1:].min() >= 2 and symbols[1:].max() <= 99)
    for b in range(batch):
        column = [int(symbol) for symbol in symbols[:, b]]
        if predict == "first":
            assert target[b] == column[0]
        else:
            assert target[:, b].tolist() == column[1:] + column[:1]


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(1, 300), batches, st.sampled_from([(2, 5), (5, 10), (3, 1)]))
def test_memorization(seed, length, batch, kind):
    values, items = kind
    symbols, target = memorization(length, batch, np.random.default_rng(seed), values, items)
    assert symbols.shape == target.shape == (length + 2 * items, batch)
    for b in range(batch):
        asked = [i for i, symbol in enumerate(symbols[:, b]) if symbol == values + 1]
        assert asked == [length + items]
        kept = symbols[:items, b].tolist()
        assert all(0 <= value < values for value in kept)
        rest = [i for i in range(items, length + 2 * items) if i != asked[0]]
        assert all(symbols[i, b] == values for i in rest)
        assert target[:, b].tolist() == [values] * (length + items) + kept


def test_memorization_by_hand():
    """L = 3, three values of two kinds; wait is 2, the cue 3, the class none 2; at the cue the first value is asked."""
    symbols, target = memorization(3, 1, np.random.default_rng(2), values=2, items=3)
    a, b, c = symbols[:3, 0].tolist()
    assert len({a, b, c}) == 2
    assert symbols[:, 0].tolist() == [a, b, c, 2, 2, 2, 3, 2, 2]
    assert target[:, 0].tolist() == [2, 2, 2, 2, 2, 2, a, b, c]


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(1, 300), batches, st.sampled_from([(8, 10), (2, 3), (5, 1)]))
def test_copying(seed, length, batch, kind):
    """Arjovsky, Shah & Bengio (2016): 10 symbols, T - 1 blanks, the delimiter, 10 blanks; T + 10 blanks, 10 symbols."""
    values, items = kind
    symbols, target = copying(length, batch, np.random.default_rng(seed), values, items)
    blank, delimiter = values, values + 1
    for b in range(batch):
        kept = symbols[:items, b].tolist()
        assert all(0 <= symbol < values for symbol in kept)
        assert symbols[:, b].tolist() == kept + [blank] * (length - 1) + [delimiter] + [blank] * items
        assert target[:, b].tolist() == [blank] * (length + items) + kept


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(2, 300), batches)
def test_adding(seed, length, batch):
    inputs, target = adding(length, batch, np.random.default_rng(seed))
    assert inputs.shape == (length, batch, 2) and inputs.dtype == target.dtype == np.float32
    assert ((inputs[..., 0] >= 0) & (inputs[..., 0] < 1)).all()
    half = length // 2
    for b in range(batch):
        where = [i for i in range(length) if inputs[i, b, 1] == 1]
        assert set(inputs[:, b, 1]) <= {0, 1} and len(where) == 2
        assert 0 <= where[0] < half <= where[1] < length
        assert target[b] == pytest.approx(sum(float(inputs[i, b, 0]) for i in where), abs=1e-6)


def test_marks_of_adding_reach_both_ends():
    inputs, _ = adding(7, 20_000, np.random.default_rng(0))
    marked = inputs[..., 1].mean(1)
    assert marked[:3] == pytest.approx(1 / 3, abs=0.02) and marked[3:] == pytest.approx(1 / 4, abs=0.02)


def test_the_loss_without_memory_of_copying():
    """Sure of the blanks, and a guess for each symbol; by drawing, and at lengths that vary."""
    task = make_task("copy", length=7)
    _, target = copying(7, 50, np.random.default_rng(0))
    output = torch.full((1, *target.shape, 9), -1e4)
    output[..., 8] = torch.from_numpy(np.where(target == 8, 0.0, -1e4))
    output[..., :8] = torch.from_numpy(np.where(target == 8, -1e4, 0.0))[None, ..., None]
    loss = task.loss(output, torch.from_numpy(target)[None])
    assert task.yardsticks() == {MEMORYLESS: pytest.approx(10 * np.log(8) / 27)}
    assert loss.item() == pytest.approx(task.yardsticks()[MEMORYLESS], rel=1e-4)
    varied = make_task("copy", length=7, max_length=20, stretch=0.3)
    drawn = [
        10 * np.log(8) / (varied.draw_length(rng) + 20) for rng in [np.random.default_rng(1)] for _ in range(20_000)
    ]
    assert varied.yardsticks()[MEMORYLESS] == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / 20_000**0.5)
    assert make_task("copy", loss="hinge").yardsticks() == {}


def test_the_loss_without_memory_of_adding():
    task = make_task("adding")
    _, target = adding(20, 40_000, np.random.default_rng(0))
    one = torch.ones(1, 40_000, 1)
    right = torch.from_numpy(target)[None]
    assert task.loss(one, right).item() == pytest.approx(task.yardsticks()[MEMORYLESS], abs=0.005)
    assert task.loss(one + 0.05, right) > task.loss(one, right) < task.loss(one - 0.05, right)
    assert task.wrong(one, right).float().mean() == pytest.approx(0.9216, abs=0.01)
    squared = make_task("adding", criterion="squared")
    assert squared.wrong(one, right).float().mean() == pytest.approx(0.64, abs=0.015)


def test_copying_is_judged_by_the_recalled_symbols_alone():
    task = make_task("copy", length=5, items=2, values=3)
    _, target = copying(5, 4, np.random.default_rng(0), 3, 2)
    answers = target.copy()
    answers[0, 0] = 1  # not blank
    answers[-1, 1] = (answers[-1, 1] + 1) % 4
    answers[-2, 2] = 3  # a blank for a symbol
    output = torch.nn.functional.one_hot(torch.from_numpy(answers), 4).float()[None]
    wrong = task.wrong(output, torch.from_numpy(target)[None])
    assert wrong.any(1).tolist() == [[False, True, True, False]]


def test_new_tasks_are_uniform_and_chance_is_what_it_is():
    _, order = temporal_order_3bit(50, 40_000, np.random.default_rng(0))
    assert np.bincount(order, minlength=8) == pytest.approx(5000, abs=5 * 5000**0.5)
    symbols, first = permutation(50, 40_000, np.random.default_rng(0))
    assert np.bincount(first, minlength=2) == pytest.approx(20_000, abs=500)
    assert np.bincount(symbols[1:].ravel(), minlength=100)[2:] == pytest.approx(20_000, abs=5 * 20_000**0.5)
    inputs, product = multiplication(50, 40_000, np.random.default_rng(0))
    task = make_task("multiplication")
    for answer, wrong in ((0.2, 0.23), (0.25, 0.39)):  # always the same
        output = torch.full((1, 40_000, 1), answer)
        assert task.wrong(output, torch.from_numpy(product)[None]).float().mean() == pytest.approx(wrong, abs=0.01)
    kept, _ = memorization(50, 40_000, np.random.default_rng(0), 5, 10)
    for position in kept[:10]:
        assert np.bincount(position, minlength=5) == pytest.approx(8000, abs=5 * 8000**0.5)


def test_losses_at_every_step_by_hand():
    """Mean over a replica's own steps and the sequences; padding does not count, whatever it holds."""
    task = make_task("memorization_5bit")
    shares = torch.tensor([[[[0.1, 0.2, 0.7]], [[0.5, 0.25, 0.25]]]]).expand(2, 2, 1, 3).clone()  # RTBO
    shares[1, 1] = float("nan")
    target = torch.tensor([[[2], [0]], [[2], [1]]])
    loss = task.loss(shares.log(), target, torch.tensor([2, 1]))
    assert loss.tolist() == pytest.approx([-(np.log(0.7) + np.log(0.5)) / 2, -np.log(0.7)])
    output = torch.tensor([[[[0.5], [0.0]], [[1.0], [1.0]]]])
    every = make_task("addition").loss(output, torch.tensor([[[0.2, 0.4], [1.0, 0.0]]]), torch.tensor([2]))
    assert every.tolist() == pytest.approx([(0.09 + 0.16 + 0 + 1) / 4])
