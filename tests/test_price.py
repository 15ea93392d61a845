"""The synthetic price, sequences cut into parts, the stages of replicas, and networks of several layers."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from src import evaluate, recurrence
from src.callbacks.truncated_bptt import TruncatedBPTT, cut
from src.config import ConfigurationError, check
from src.directions import Direction, Omega
from src.network import Carry, Disturbance, Network
from src.recurrence import FUSED, REFERENCE, cpu
from src.results import plots, rates
from src.results.collect import Replica
from src.run import build, run
from src.trained import load_population, load_replica
from tasks.batch import collate
from tasks.data import TrainingData
from tasks.draws import Stream, generator, normal
from tasks.price import TARGETS, action_values, changes, position_values, prices
from tests.conftest import CELLS, compose, fit, make_architecture, make_task

SMALL = ["task=price", "task.length=60", "task.batch_size=4", "task.window=5", "replicas=3", "trainer.max_epochs=3"]
SMALL += ["cell=dense_lstm", "cell.hidden_size=9", "cell.dense_size=7", "optimizer=msgd"]
RECURRENCES = [pytest.param(FUSED, marks=pytest.mark.skipif(not cpu.available(), reason="no compiler")), REFERENCE]


pytestmark = pytest.mark.usefixtures("as_before")


# -- the task ----------------------------------------------------------------------------------------------------------


def test_prices_are_what_the_text_says():
    T, B = 20_000, 40
    price = prices(T, B, np.random.default_rng(0), noise=0.1)
    smooth = prices(T, B, np.random.default_rng(0), noise=0.0)
    rest = price - smooth
    assert abs(rest.mean()) < 5e-4 and rest.std() == pytest.approx(0.1, rel=0.01)
    # without noise: |cos θ| sin(f1 t) + |sin θ| sin(f2 t) with a θ that moves by .01 at most
    t = np.arange(T)[:, None]
    one, other = np.sin(0.02 * t), np.sin(0.05 * t)
    assert np.all(np.abs(smooth - 100) <= np.hypot(one, other) + 1e-9)
    draws = np.random.default_rng(3)
    theta = draws.uniform(-np.pi, np.pi, 2)
    steps = draws.uniform(-1, 1, (49, 2))
    again = prices(50, 2, np.random.default_rng(3), noise=0.0)
    for b in range(2):
        angle = theta[b]
        for k in range(50):
            expected = 100 + abs(np.cos(angle)) * np.sin(0.02 * k) + abs(np.sin(angle)) * np.sin(0.05 * k)
            assert again[k, b] == pytest.approx(expected, abs=1e-12)
            angle += 0.01 * steps[k, b] if k < 49 else 0
    printed = make_task("price_as_printed", length=300).draw(300, 3, np.random.default_rng(0))[0]
    assert np.allclose(printed * 100, np.round(printed * 100), atol=1e-3)  # cents


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 4), st.integers(1, 9), st.sampled_from([0.0, 0.5, 0.98])
)
def test_inputs_and_targets_by_brute_force(seed, length, batch, window, discount):
    price = prices(length, batch, np.random.default_rng(seed))
    x, q, g = changes(price, window), action_values(price, discount), position_values(price, discount)
    assert x.shape == (length, batch, window) and q.shape == (length, batch, 2)
    for b in range(batch):
        change = [0.0] + [price[t, b] - price[t - 1, b] for t in range(1, length)]
        values = [0.0, 0.0]
        value = 0.0
        for t in reversed(range(length)):
            seen = [change[k] if k > 0 else 0.0 for k in range(t - window + 1, t + 1)]
            np.testing.assert_allclose(x[t, b], seen, atol=1e-6)
            reward = price[t + 1, b] - price[t, b] if t + 1 < length else 0.0
            values = [r + discount * max(values) for r in (reward, -reward)]
            np.testing.assert_allclose(q[t, b], values, atol=2e-5)
            value = reward + discount * value
            np.testing.assert_allclose(g[t, b], [value, -value], atol=2e-5)


def test_the_data_are_the_same_in_every_epoch_and_another_seeds_are_not():
    experiment = build(compose(*SMALL))
    module, data = experiment.module, experiment.data
    module.configure_optimizers()
    (one,), (two,) = data.next_block(), data.next_block()
    assert one.inputs.data_ptr() == two.inputs.data_ptr() and not torch.equal(one.inputs[0], one.inputs[1])
    alone = TrainingData(module.task).fixed([1])
    assert torch.equal(alone.inputs[0], one.inputs[1]) and torch.equal(alone.target[0], one.target[1])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["callbacks.truncated_bptt.parts=[100]"], ["100 parts are more than task.length=60 steps"]),
        (["callbacks.truncated_bptt.parts=[]"], ["must be whole numbers"]),
        (["callbacks.truncated_bptt.parts=[2,0]"], ["must be whole numbers"]),
        (["task.discount=1"], ["below 1"]),
        (["task.frequencies=[1]"], ["two numbers"]),
        (["task.max_length=70"], ["one length"]),
        (["+task.foo=1"], ["foo"]),
        (["task=temporal_order", "~task.window"], ["fresh data for ever"]),
    ],
)
def test_bad_values_give_one_clear_line(overrides, words):
    if overrides[0] == "task=temporal_order":
        problems = check(compose("trainer.max_epochs=3"))
    else:
        problems = check(compose(*SMALL, *overrides))
    assert len(problems) == 1 and words[0] in problems[0], problems


# -- yardsticks --------------------------------------------------------------------------------------------------------


def test_yardsticks():
    """The oracle of ``hold`` lacks future noise alone, (1 - γ) Σ γ^k n; the linear regression comes near it, and learns
    by heart of noise alone nothing. Of ``greedy`` targets even the oracle gets hardly anything."""
    hold = make_task("price", length=1000).yardsticks()
    noise = (1 - 0.98) ** 2 / (1 - 0.98**2) * 0.1**2
    assert hold["oracle"] == pytest.approx(noise, rel=0.3)
    assert hold["oracle"] < 0.01 * hold["linear"] < hold["linear"] < 0.3 * hold["constant"]
    greedy = make_task("price", length=1000, target="greedy").yardsticks()
    assert 0.9 < greedy["oracle"] / greedy["constant"] < greedy["linear"] / greedy["constant"] < 1
    walk = {"length": 300, "window": 5, "frequencies": [1e-9, 1e-9], "noise": 1.0}
    known = make_task("price", **walk, discount=0.5).yardsticks()  # noise alone: G_t = -n_t + what is to come
    assert known["constant"] == pytest.approx(1 + 0.25 / 0.75, rel=0.1)
    assert known["oracle"] == pytest.approx(0.25 / 0.75, rel=0.1)
    assert make_task().yardsticks() == {}


@pytest.mark.parametrize("target", ["hold", "greedy"])
def test_targets_do_not_fade(target):
    """Their spread at the last steps is that of the others: returns go on after the end."""
    task = make_task("price", length=600, batch_size=300, target=target, window=1)
    _, target_TBO = task.draw(600, 300, generator(0, Stream.DATA, 0))
    size = np.abs(target_TBO).mean((1, 2))
    assert size[-50:].mean() == pytest.approx(size[200:-50].mean(), rel=0.15)
    faded = TARGETS[target](prices(600, 300, generator(0, Stream.DATA, 0)), 0.98)
    assert np.abs(faded).mean((1, 2))[-5:].mean() < 0.7 * size[-5:].mean()


# -- parts -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(1, 300))
def test_every_step_is_in_one_part(length, parts):
    parts = min(parts, length)
    borders = cut(length, parts)
    sizes = np.diff(borders)
    assert borders[0] == 0 and borders[-1] == length and len(sizes) == parts and sizes.max() - sizes.min() <= 1
    steps = TruncatedBPTT([1], steps=parts).borders(0, length)
    assert steps[0] == 0 and steps[-1] == length and set(np.diff(steps)[:-1]) <= {parts} and np.diff(steps)[-1] > 0


@pytest.mark.parametrize("name", RECURRENCES)
@pytest.mark.parametrize("cell", ["dense_lstm", "lstm", "smart_tanh", "gru"])
def test_the_state_is_carried_over_and_the_gradient_is_cut(cell, name):
    """With weights that stay: the parts' losses joined are the loss of the whole, each part's gradient is that of a
    sequence that begins with the state it was given, and one part is the whole, bit for bit."""
    recurrence.use(name)
    task = make_task("price", length=31, batch_size=4, window=5)
    keys = {"dense_size": 7, "noise": 0.0} if cell == "dense_lstm" else {}
    network = Network.start(make_architecture(cell, 9, **keys), task, [0, 1])
    batch = TrainingData(task).fixed([0, 1])
    for p in network.parameters():
        p.grad = torch.zeros_like(p)

    def learn(part, carry=None):
        loss_R = network.learn(part, task, Direction(), {}, carry=carry)["loss"]
        return loss_R, {name: p.grad.clone() for name, p in network.named_parameters()}

    loss_R, gradients = learn(batch)
    (whole,) = batch.cut([0, 31], every_step=True)
    again_R, same = learn(whole, Carry())
    assert torch.equal(loss_R, again_R) and all(torch.equal(gradients[n], same[n]) for n in same)
    carry, joined = Carry(), torch.zeros(2)
    borders = cut(31, 4)
    for k, part in enumerate(batch.cut(borders, every_step=True)):
        begun = Carry(carry.states)
        part_R, own = learn(part, carry)
        joined += part_R * (borders[k + 1] - borders[k]) / 31
        if carry.states is not None and begun.states is not None:
            for p in network.parameters():
                p.grad.zero_()
            states = [tuple(each.clone().requires_grad_() for each in state) for state in begun.states]
            output = network(part.inputs, part.length, every_step=True, carry=Carry(states))
            task.loss(output, part.target, part.length).sum().backward()
            for n, p in network.named_parameters():
                torch.testing.assert_close(own[n], p.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(joined, loss_R, rtol=1e-5, atol=1e-6)
    assert any(part.requires_grad for state in carry.states for part in state) is False


def test_an_update_a_part_in_order_each_once_an_epoch(monkeypatch, tmp_path):
    cfg = compose(*SMALL, "callbacks.truncated_bptt.parts=[7]")
    experiment = build(cfg)
    module = experiment.module
    seen, update = [], module.update

    def spy(batch, carry):
        seen.append(batch.inputs)
        update(batch, carry)

    monkeypatch.setattr(module, "update", spy)
    fit(experiment, cfg, tmp_path)
    assert len(seen) == 21 and module.population.updates.tolist() == [21] * 3
    whole = TrainingData(module.task).fixed([0, 1, 2]).inputs
    for epoch in range(3):
        assert torch.equal(torch.cat(seen[7 * epoch : 7 * epoch + 7], dim=1), whole)


# -- stages ------------------------------------------------------------------------------------------------------------


def test_stages_on_scripted_losses():
    schedule = TruncatedBPTT([4, 2], patience=2)
    schedule.stage, schedule.waited, schedule.least = np.zeros(2, int), np.zeros(2, int), np.full(2, np.inf)
    script = [5, 4, 6, 4, 7, 7, 8]  # better, better, not, not: next stage; better than nothing, not, not: the end
    ended, borders = [], []
    for loss in script:
        borders.append(len(schedule.borders(0, 8)) - 1)
        ended.append(schedule.advance(0, loss))
    assert borders == [4, 4, 4, 4, 2, 2, 2] and ended == [False] * 6 + [True]
    assert len(schedule.borders(1, 8)) - 1 == 4  # the other has a stage of its own
    assert not schedule.advance(1, float("nan")) and schedule.waited[1] == 1  # no improvement


STAGED = [*SMALL, "callbacks.truncated_bptt.parts=[6,2,1]", "callbacks.truncated_bptt.patience=2", "optimizer.lr=0.3"]


@pytest.mark.parametrize("method", ["msgd", "adam", "sgd_momentum"])
def test_replicas_never_touch_in_their_own_stages(tmp_path, method):
    """Law 1: seed 7 alone = among three and eight, at 1 and 2 threads, when replicas change stage at their own time."""
    keys = [*STAGED, f"optimizer={method}", "trainer.max_epochs=25", "optimizer.clip=null", "cell.noise=0.3"]
    kept, stages = [], set()
    for threads, replicas, seed in ((1, 1, 7), (2, 3, 6), (2, 8, 5)):
        folder = tmp_path / f"{threads}-{replicas}"
        population = run(compose(*keys, f"threads={threads}", f"replicas={replicas}", f"seed={seed}"), folder)
        row = population.seeds.index(7)
        stages |= set(population.updates.tolist())
        history = pd.read_csv(folder / "history.csv").query("seed == 7").drop(columns="seconds").reset_index(drop=True)
        kept.append(({name: p[row] for name, p in population.parameters().items()}, history, population.status[row]))
    assert len(stages) > 2  # they did go apart
    for parameters, history, status in kept[1:]:
        assert all(torch.equal(parameters[name], p) for name, p in kept[0][0].items()) and status == kept[0][2]
        pd.testing.assert_frame_equal(history, kept[0][1], check_exact=True)


def test_the_last_stage_ends_a_replica(tmp_path):
    population = run(compose(*STAGED, "trainer.max_epochs=200", "optimizer.lr=0.5"), tmp_path)
    assert set(population.status) == {"plateau"} and not population.live
    table = pd.read_csv(tmp_path / "results.csv")
    assert table["solved"].isna().all() and table["error"].isna().all() and table["test_loss"].gt(0).all()
    history = pd.read_csv(tmp_path / "history.csv")
    for seed, own in history.groupby("seed"):
        assert own["epoch"].tolist() == list(range(1, len(own) + 1)), seed
        assert set(np.diff(own["step"])) <= {6, 2, 1} and own["step"].iloc[0] == 6


@pytest.mark.parametrize("method", ["msgd", "adam"])
def test_a_resumed_run_is_the_same_run(tmp_path, method):
    keys = [*STAGED, f"optimizer={method}", "optimizer.clip=null"]
    run(compose(*keys, "trainer.max_epochs=9"), tmp_path / "first")
    resumed = run(compose(*keys, "trainer.max_epochs=20", f"resume={tmp_path / 'first'}"), tmp_path / "second")
    whole = run(compose(*keys, "trainer.max_epochs=20"), tmp_path / "whole")
    assert all(torch.equal(p, resumed.parameters()[name]) for name, p in whole.parameters().items())
    tables = [pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds") for name in ("second", "whole")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


# -- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECURRENCES)
def test_the_stacked_network_is_torchs(name):
    """Two dense tanh layers, two LSTM layers, readout at every step: output, loss and every gradient of nn modules."""
    recurrence.use(name)
    task = make_task("price", length=23, batch_size=4, window=5)
    network = Network.start(make_architecture("dense_lstm", 9, dense_size=7, noise=0.0), task, [0, 1])
    batch = TrainingData(task).fixed([0, 1])
    output = network(batch.inputs, batch.length, every_step=True)
    task.loss(output, batch.target, batch.length).sum().backward()
    for r in range(2):
        one, two, readout = nn.Linear(5, 7), nn.Linear(7, 7), nn.Linear(9, 2)
        low, high = nn.LSTM(7, 9), nn.LSTM(9, 9)
        pairs = [(one.weight, "D_1"), (one.bias, "c_1"), (two.weight, "D_2"), (two.bias, "c_2")]
        pairs += [(low.weight_ih_l0, "W_in"), (low.weight_hh_l0, "W"), (low.bias_ih_l0, "b")]
        pairs += [(high.weight_ih_l0, "W_in_2"), (high.weight_hh_l0, "W_2"), (high.bias_ih_l0, "b_2")]
        pairs += [(readout.weight, "W_out"), (readout.bias, "b_out")]
        own = dict(network.named_parameters())
        assert len(pairs) == len(own)
        with torch.no_grad():
            for theirs, mine in pairs:
                theirs.copy_(own[mine][r].T if theirs.ndim == 2 else own[mine][r])
            low.bias_hh_l0.zero_(), high.bias_hh_l0.zero_()
        x = two(one(batch.inputs[r]).tanh()).tanh()
        answer = readout(high(low(x)[0])[0])
        nn.functional.mse_loss(answer, batch.target[r]).backward()
        torch.testing.assert_close(output[r], answer, rtol=1e-4, atol=1e-5)
        for theirs, mine in pairs:
            wanted = theirs.grad.T if theirs.ndim == 2 else theirs.grad
            torch.testing.assert_close(own[mine].grad[r], wanted, rtol=1e-3, atol=1e-5, msg=mine)


@pytest.mark.parametrize("name", RECURRENCES)
def test_omega_of_layers_is_their_sum(name):
    """What comes down from the layer above counts as direct; ∂⁺Ω/∂W of each layer against finite differences of the
    layer's own Ω with d and δ frozen, and nothing for the other parameters."""
    recurrence.use(name)
    task = make_task("temporal_order", length=12, batch_size=3)
    network = Network.start(make_architecture("basic_tanh", 6, layers=2), task, [0, 1])
    batch = collate([task.draw(12, 3, np.random.default_rng(seed)) for seed in range(2)])
    grads = []
    for alpha in (0.0, 3.0):
        settings = {"alpha": torch.full((2,), alpha)}
        for p in network.parameters():
            p.grad = torch.zeros_like(p)
        metrics = network.learn(batch, task, Omega(), settings)
        grads.append({n: p.grad.clone() for n, p in network.named_parameters()})
    tapes = network.tapes()
    for tape in tapes:
        tape.terms.update(Omega().terms(settings))
    network.backward(batch, task, tapes)
    values = [tape.values["omega"] for tape in tapes]
    assert len(values) == 2 and torch.equal(metrics["omega"], values[0] + values[1])
    recurrence.use(REFERENCE)
    tapes = network.tapes(keep=True)
    task.loss(network(batch.inputs, batch.length, tapes), batch.target).sum().backward()
    for n in grads[0]:
        difference = grads[1][n] - grads[0][n]
        if n not in ("W", "W_2"):
            assert not difference.any(), n
            continue
        factors = tapes[n == "W_2"].factors
        d, delta = (f.detach().double().numpy() for f in (factors.d_RTBH, factors.delta_RTBG))
        W = dict(network.named_parameters())[n].detach().double().numpy()
        for r in range(2):

            def omega(W_HH, d=d[r], delta=delta[r]):
                d2 = (d**2).sum(-1)
                kept = d2 >= 1e-20
                q = ((delta @ W_HH.T) ** 2).sum(-1)[kept] / d2[kept]
                return ((q - 1) ** 2).mean()

            for i, j in ((0, 0), (2, 5), (4, 1)):
                step = np.zeros((6, 6))
                step[i, j] = 1e-5
                slope = (omega(W[r] + step) - omega(W[r] - step)) / 2e-5
                assert float(difference[r, i, j]) == pytest.approx(3 * slope, rel=2e-3, abs=2e-5)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "dense_lstm"])
def test_every_cell_learns_a_price(tmp_path, cell):
    keys = [key for key in SMALL if not key.startswith("cell")]
    population = run(compose(*keys, "task=price_as_printed", f"cell={cell}", "cell.hidden_size=9"), tmp_path)
    assert population.updates.tolist() == [3] * 3 and (population.last["test_loss"] > 0).all()


@pytest.mark.parametrize("method", ["msgd", "adam"])
def test_replicas_that_diverge_in_mid_epoch(tmp_path, method):
    """Recorded, frozen, not tested, and not noticed by the others; all at once too."""
    keys = [*SMALL, f"optimizer={method}", "optimizer.clip=null", "callbacks.truncated_bptt.parts=[6]"]
    alone = run(compose(*keys, "replicas=1"), tmp_path / "alone").parameters()
    for lost in ([1], [0, 1, 2]):
        cfg = compose(*keys)
        experiment = build(cfg)
        module = experiment.module
        learn, seen = module.network.learn, []

        def spoil(*arguments, learn=learn, seen=seen, module=module, lost=lost):
            metrics = learn(*arguments)
            seen.append(None)
            if len(seen) == 9:  # in the second epoch
                module.network.W.grad[lost] = float("nan")
            return metrics

        module.network.learn = spoil
        fit(experiment, cfg, tmp_path / f"{len(lost)}")
        population = module.population
        assert [population.status[r] for r in lost] == ["diverged"] * len(lost)
        assert population.updates[lost].tolist() == [8] * len(lost) and population.epochs[lost[0]] == 1
        if 0 not in lost:
            assert all(torch.equal(p[0], population.parameters()[name][0]) for name, p in alone.items())


def test_budgets_end_with_an_epoch_and_a_resumed_run_is_the_same(tmp_path):
    keys = [*SMALL, "callbacks.truncated_bptt.parts=[6]", "trainer.max_epochs=null"]
    first = run(compose(*keys, "trainer.max_steps=9"), tmp_path / "first")
    assert first.updates.tolist() == [12] * 3 and first.epochs.tolist() == [2] * 3
    resumed = run(compose(*keys, "trainer.max_steps=24", f"resume={tmp_path / 'first'}"), tmp_path / "second")
    whole = run(compose(*keys, "trainer.max_steps=24"), tmp_path / "whole")
    assert all(torch.equal(p, resumed.parameters()[name]) for name, p in whole.parameters().items())
    run(compose(*SMALL), tmp_path / "epochs")
    again = check(compose(*SMALL, f"resume={tmp_path / 'epochs'}"))
    assert len(again) == 1 and "has made 3 already" in again[0]


def test_parameters_lost_in_the_last_update_are_divergence(tmp_path):
    keys = ["task.target=greedy", "optimizer.lr=3e38", "trainer.max_epochs=1"]
    assert run(compose(*SMALL, *keys), tmp_path).status == ["diverged"] * 3


def test_tables_and_plots_count_everyone(tmp_path):
    """One comes to its schedule's end early, one diverges, one goes on: medians over all three, and the spikes."""

    def replica(seed, losses, status):
        epochs = range(1, len(losses) + 1)
        history = pd.DataFrame({"seed": seed, "step": epochs, "epoch": epochs, "seconds": epochs, "loss": losses})
        outcome = {"task": "price", "cell": "c", "optimizer": "o", "length": 9, "seed": seed, "status": status}
        numbers = {"solved": float("nan"), "updates": len(losses), "seconds": 1.0, "test_loss": losses[-1]}
        config = (("cell.name", "c"), ("optimizer.name", "o"), ("task.length", 9), ("task.name", "price"))
        return Replica(config, {**outcome, **numbers, "loss": losses[-1]}, history, tmp_path)

    three = [replica(0, [5.0, 1.0], "plateau"), replica(1, [5.0, 9.0], "diverged"), replica(2, [5.0] * 6, "budget")]
    (row,) = rates.losses(three).to_dict("records")
    assert (row["loss"], row["loss_low"], row["loss_high"], row["test_loss"]) == (5.0, 1.0, np.inf, 5.0)
    assert (row["replicas"], row["plateau"], row["diverged"], row["interrupted"]) == (3, 1, 1, 0)
    (line, *_) = plots.loss(three).axes[0].get_lines()
    assert line.get_ydata().tolist() == [5.0] * 6  # of 1, infinity and 5
    (line, *_) = plots.loss([three[0], three[0], three[2]]).axes[0].get_lines()
    assert line.get_ydata().tolist() == [5.0] + [1.0] * 5
    assert rates.spikes(pd.Series([1.0] * 10 + [2.1, 1.0, 1.9, 5.0])) == 2


def test_losses_on_fresh_sequences_are_paired(tmp_path):
    """The same sequences for every method of a seed, however many updates it made."""
    keys = [*SMALL, "optimizer.lr=1e-30"]
    (one, two) = (run(compose(*keys, f"callbacks.truncated_bptt.parts=[{n}]"), tmp_path / f"{n}") for n in (1, 5))
    np.testing.assert_allclose(one.last["test_loss"], two.last["test_loss"], rtol=1e-5)


def test_what_cannot_be_handed_on_is_said(tmp_path):
    run(compose(*SMALL), tmp_path)
    with pytest.raises(ConfigurationError, match="neither right nor wrong"):
        evaluate.run(tmp_path, ["task.length=60"], tmp_path)
    with pytest.raises(ValueError, match="several layers"):
        load_replica(tmp_path, seed=0)
    population = load_population(tmp_path)
    assert population.network.D_1.shape == (3, 5, 7) and population.results["status"].tolist() == ["budget"] * 3


def test_layers_serve_any_task(tmp_path):
    for cell in ("smart_tanh", "lstm", "gru"):
        keys = ["experiment=smoke", f"cell={cell}", "cell.layers=2", "optimizer=msgd_c", "replicas=2"]
        population = run(compose(*keys), tmp_path / cell)
        assert population.updates.tolist() == [40, 40] and "W_in_2" in population.parameters()


def test_noise_is_a_function_of_seed_update_and_layer_and_off_in_evaluation():
    experiment = build(compose(*SMALL, "cell.noise=0.5"))
    module, data = experiment.module, experiment.data
    module.configure_optimizers()
    module.population.begin()
    (batch,) = data.next_block()
    quiet = [module.network(batch.inputs, batch.length, every_step=True) for _ in range(2)]
    assert torch.equal(*quiet)
    x = torch.zeros(3, 60, 4, 9)
    add = module.network.disturbance(module.population.draws()).noise
    assert torch.equal(add(1, x), add(1, x)) and not torch.equal(add(1, x), add(2, x))
    assert add(0, x).std() == pytest.approx(0.5, rel=0.05)
    module.population.updates += 1
    assert not torch.equal(module.network.disturbance(module.population.draws()).noise(1, x), add(1, x))
    assert not torch.equal(module.network(batch.inputs, batch.length, (), True, None, Disturbance(add)), quiet[0])


@pytest.mark.skipif(not cpu.available(), reason="no compiler")
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 4, 7), (2, 200, 15, 33), (2, 100, 13, 64)])
def test_the_fused_noise_is_the_same(shape):
    """Number for number, also where rows lie apart, at any number of threads; the gradient passes."""
    keys = [(seed, Stream.NOISE, 5, 2) for seed in (0, 3, 2**63 - 1)[: shape[0]]]
    wide = torch.zeros(*shape[:3], shape[3] + 3)
    results = []
    for name, threads in ((REFERENCE, 1), (FUSED, 1), (FUSED, 3)):
        recurrence.use(name, threads)
        x = wide[..., : shape[3]].detach().requires_grad_()
        y = recurrence.add_noise(x, keys, 0.3)
        y.backward(torch.ones_like(y))
        assert torch.equal(x.grad, torch.ones(shape))
        results.append(y.detach())
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2]) and results[0].any()


def test_quick_normal_numbers_are_normal():
    drawn = normal(generator(0, Stream.NOISE, 0), 400_001, 2.0)
    assert drawn.dtype == np.float32 and len(drawn) == 400_001
    assert drawn.mean() == pytest.approx(0, abs=0.02) and drawn.std() == pytest.approx(2, rel=0.01)
    for bound, share in ((2, 0.6827), (4, 0.9545), (6, 0.9973)):
        assert np.mean(np.abs(drawn) < bound) == pytest.approx(share, abs=0.003)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01


@pytest.mark.skipif(not cpu.available(), reason="no compiler")
@pytest.mark.parametrize("tanh", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 7, 5, 3), (17, 33, 50, 21), (150, 15, 64, 40), (3, 700, 6, 128)])
def test_the_fused_layer_is_the_reference(shape, tanh):
    """Values and gradients in float32, next to float64; threads and padding change no bit; rows apart in memory too."""
    T, B, K, M = shape
    draws = torch.Generator().manual_seed(0)
    wide = torch.randn(2, T, B, K + 3, generator=draws)
    x, W, b = wide[..., :K], torch.randn(2, K, M, generator=draws) * K**-0.5, torch.randn(2, M, generator=draws)
    back = torch.randn(2, T, B, M, generator=draws)

    def both(name, x, back, dtype=torch.float32, threads=1):
        recurrence.use(name, threads)
        own = [x.to(dtype).detach().requires_grad_(), W.to(dtype).requires_grad_(), b.to(dtype).requires_grad_()]
        own = [each.detach().clone().requires_grad_() if each.grad_fn is not None else each for each in own]
        y = recurrence.linear(*own, tanh=tanh)
        (y * back.to(dtype)).sum().backward()
        return [y.detach(), *(each.grad for each in own)]

    fused, exact = both(FUSED, x, back), both(REFERENCE, x, back, torch.float64)
    for mine, wanted in zip(fused, exact, strict=True):
        scale = float(wanted.abs().max())
        torch.testing.assert_close(mine.double(), wanted, rtol=1e-4, atol=3e-6 * scale)
    for again in (both(FUSED, x, back, threads=2), both(FUSED, x.contiguous(), back, threads=3)):
        assert all(torch.equal(one, other) for one, other in zip(fused, again, strict=True))
    longer = [torch.cat([each, torch.zeros(2, 5, B, each.shape[-1])], dim=1) for each in (x, back)]
    assert all(torch.equal(one, other) for one, other in zip(fused[2:], both(FUSED, *longer)[2:], strict=True))
