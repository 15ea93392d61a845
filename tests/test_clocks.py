"""How fast a network's clock turns, on clocks whose speed is known."""

import math

import pytest
import torch

from src.rundir import RunDirectory
from src.trained import load_population, load_replica
from tests.conftest import ROOT
from tools.clocks import answered, gradient_kept, likeness, passed, quarter_turn, right_early, states, wrong

RUN = ROOT / "results" / "reach_far" / "run"


def turning(steps, period):
    """States of eight sequences, two for each of four answers, on a circle: all turn alike, each answer from its own
    place."""
    answer_B = torch.arange(8) % 4
    angle_TB = 2 * math.pi * (torch.arange(steps)[:, None] / period + answer_B / 4)
    return torch.stack([angle_TB.cos(), angle_TB.sin()], dim=2), answer_B


def test_a_quarter_of_a_turn():
    like_T = likeness(*turning(100, 42))
    assert like_T[-1] == pytest.approx(1) and like_T[-1 - 21] == pytest.approx(-1, abs=1e-5)
    assert quarter_turn(like_T) == 11  # 42 / 4 = 10.5 steps back


def test_who_holds_what_it_has_seen_does_not_turn():
    assert quarter_turn(likeness(*turning(100, math.inf))) == 100


def test_how_early_the_readout_is_right():
    """Four answers on a ring that turns once in 80 steps: the readout is right within an eighth of a turn, 10 steps."""
    h_TBH, right_B = turning(200, 80.5)
    parameters = {"W_out": h_TBH[-1, :4].T, "b_out": torch.zeros(4)}
    assert wrong(parameters, h_TBH[-1], right_B) == 0
    assert right_early(parameters, h_TBH, right_B) == 10
    assert right_early(parameters, h_TBH[-5:], right_B) == 4


def test_a_small_fast_clock_beside_a_large_slow_one():
    """The pattern is the slow one's, and the readout goes by the fast one."""
    (slow_TBH, right_B), (fast_TBH, _) = turning(100, 400), turning(100, 8.5)
    h_TBH = torch.cat([10 * slow_TBH, fast_TBH], dim=2)
    assert quarter_turn(likeness(h_TBH, right_B)) == 100
    parameters = {"W_out": torch.cat([torch.zeros(2, 4), fast_TBH[-1, :4].T]), "b_out": torch.zeros(4)}
    assert right_early(parameters, h_TBH, right_B) == 1


def test_a_gradient_that_fades_by_a_tenth_each_step():
    """Without inputs the state is 0, where tanh has slope 1: 27 steps back from 30 to 3, 0.9 each."""
    task = load_population(RUN).task
    parameters = {"W_in": torch.zeros(6, 4), "W": 0.9 * torch.eye(4), "b": torch.zeros(4)}
    parameters |= {"W_out": torch.randn(4, 4, generator=torch.Generator().manual_seed(0)), "b_out": torch.zeros(4)}
    assert gradient_kept(parameters, task, 30) == pytest.approx(0.9**27, rel=1e-4)


def test_states_are_those_of_torch():
    rnn, _ = load_replica(RUN, seed=18)
    population = load_population(RUN)
    row = population.seeds.index(18)
    parameters = {name: stack.detach()[row] for name, stack in population.network.named_parameters()}
    symbols_TB = torch.randint(0, 6, (20, 3), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, _ = rnn(torch.nn.functional.one_hot(symbols_TB, 6).float())
    torch.testing.assert_close(states(parameters, symbols_TB), expected, atol=1e-5, rtol=1e-5)


def test_a_replica_is_looked_at_as_it_passed():
    """Seed 14 has passed 927 steps and was wrong in nearly all of them when its run was stopped."""
    run = RunDirectory(RUN)
    population = load_population(RUN)
    row = population.seeds.index(14)
    now = {name: stack.detach()[row] for name, stack in population.network.named_parameters()}
    for parameters, least, most in ((passed(run)[14], 0.0, 0.03), (now, 0.5, 1.0)):
        h_TBH, right_B = answered(parameters, population.task, 927)
        assert least <= wrong(parameters, h_TBH[-1], right_B) < most
