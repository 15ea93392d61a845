"""What a method's direction asks for is checked before a run: nothing is ignored, nothing is lost."""

from typing import ClassVar

import pytest
import torch

from src import recurrence
from src.config import check
from src.config.method import direction_problems
from src.config.wrong import Wrong
from src.directions import Direction, Omega, OmegaTerm, Simplex, Together
from src.network import Network
from src.run import run
from tests.conftest import compose, make_architecture, make_task

pytestmark = pytest.mark.usefixtures("as_before")


class Both(Simplex):
    """Terms and a combination."""

    settings: ClassVar = {"psi": float("inf"), "tiny": 1e-25, "alpha": 0.0}
    metrics = ("omega",)

    def terms(self, settings):
        return {"omega": OmegaTerm("squared", settings["alpha"])}


class Undeclared(Direction):
    """A term that is no metric."""

    settings: ClassVar = {"gamma": 0.0}

    def terms(self, settings):
        return {"phi": OmegaTerm("squared", settings["gamma"])}


class Taken(Undeclared):
    """A metric with the name of a column."""

    metrics = ("phi", "error")


HERE = "tests.test_method"
OWN = ["optimizer=msgd_c", "optimizer.name=own", "~optimizer.direction"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["optimizer=msgd_c", "+optimizer.alhpa=4"], "alhpa: msgd_c has no use for it; did you mean alpha?"),
        ([*OWN, f"+optimizer.direction={{_target_:{HERE}.Both}}"], "a combination stands alone"),
        ([*OWN, f"+optimizer.direction={{_target_:{HERE}.Undeclared}}"], "no metrics of it: phi"),
        ([*OWN, f"+optimizer.direction={{_target_:{HERE}.Taken}}"], "names are taken: error"),
        (
            [*OWN, f"+optimizer.direction={{_target_:{HERE}.Undeclared}}", "+optimizer.gamma=abc"],
            "optimizer.gamma=abc: must be a number",
        ),
        (
            [*OWN, f"+optimizer.direction={{_target_:{HERE}.Taken}}", "cell=gru"],
            "gru runs by autograd, which leaves none of the factors of phi",
        ),
        (
            ["optimizer=simplex", "task=memorization_5bit", "callbacks.truncated_bptt.steps=9"],
            "simplex cannot be cut where there is a target at every step",
        ),
        (["optimizer.direction.form=sqared"], "form=sqared: must be squared or plain"),
        (["optimizer.direction=null"], "optimizer.direction=null: must name a class"),
        (["callbacks.clipping=null"], "callbacks.clipping=null: no run can do without it"),
        (["+callbacks.cut={_target_:src.callbacks.TruncatedBPTT,parts:[5]}"], "is known as callbacks.truncated_bptt"),
        (["+cell.noise=0.1"], "noise is between layers, and there is one"),
    ],
)
def test_what_would_be_ignored_is_refused(keys, words):
    problems = check(compose(*keys))
    assert any(words in problem for problem in problems), problems


def test_a_simplex_of_the_last_step_may_be_cut():
    assert check(compose("optimizer=simplex", "callbacks.truncated_bptt.steps=9")) == []
    assert direction_problems(compose(), Wrong(), cut=False) == []


def test_terms_are_not_lost_by_hand_either():
    task = make_task(length=10)
    network = Network.start(make_architecture("smart_tanh", 5), task, [0])
    settings = {name: torch.ones(1) for name in Both.settings}
    with pytest.raises(ValueError, match="a combination stands alone"):
        network.learn(None, task, Both(), settings, [(0, 0)])
    with pytest.raises(ValueError, match="two terms named"):
        Together([Undeclared(), Undeclared()]).terms({"gamma": torch.ones(1)})
    with pytest.raises(ValueError, match="must be squared or plain"):
        Omega("sqared")


def test_a_cell_by_autograd_goes_on_with_the_backend_it_had(tmp_path):
    """Its readout runs fused, and so it does after resuming: bit for bit."""
    keys = ["experiment=smoke", "cell=gru", "optimizer=msgd_c", "task=memorization_5bit", "cell.hidden_size=20"]
    whole = run(compose(*keys, "trainer.max_steps=40"), tmp_path / "whole").parameters()
    run(compose(*keys, "trainer.max_steps=20"), tmp_path / "half")
    recurrence.use(recurrence.REFERENCE)
    resumed = run(compose(*keys, "trainer.max_steps=40", f"resume={tmp_path / 'half'}"), tmp_path / "rest").parameters()
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
