"""The laws: replicas never touch, draws are functions, leaving, checkpoints of all R, exact budgets, resuming."""

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from src.population import Population
from src.run import build, run, trainer
from tests.conftest import CELLS, METHODS, compose


def train(tmp_path, name, *overrides):
    """A small run; its population and the parameters of all R."""
    population = run(compose("experiment=smoke", *overrides), tmp_path / name)
    return population, population.parameters()


def unequal(mine, row, theirs, other):
    """Names of the parameters in which two replicas differ by a bit."""
    return [name for name in mine if not torch.equal(mine[name][row], theirs[name][other])]


@pytest.mark.parametrize("hidden", [50, 37])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cell", CELLS)
def test_replicas_never_touch(tmp_path, cell, method, hidden):
    """Law 1, bit for bit: seed 7 alone = the third of eight = the second of three, at 1 and 2 threads."""
    keys = [f"cell={cell}", f"optimizer={method}", f"cell.hidden_size={hidden}", "task.length=20", "task.max_length=24"]
    keys += ["trainer.max_steps=50", "success.check_every=25"]
    before, results = torch.get_num_threads(), {}
    try:
        for threads in (1, 2):
            for replicas, seed in ((1, 7), (3, 6), (8, 5)):
                name = f"{threads}-{replicas}"
                population, parameters = train(
                    tmp_path, name, *keys, f"replicas={replicas}", f"seed={seed}", f"threads={threads}"
                )
                own = pd.read_csv(tmp_path / name / "history.csv").query("seed == 7").drop(columns="seconds")
                results[name] = (population.seeds.index(7), parameters, own.reset_index(drop=True))
    finally:
        torch.set_num_threads(before)
    row, parameters, history = results.pop("1-1")
    assert len(history) == 2
    for name, (other, theirs, log) in results.items():
        assert unequal(parameters, row, theirs, other) == [], name
        pd.testing.assert_frame_equal(history, log, check_exact=True)


def test_replicas_never_touch_in_addition(tmp_path):
    _, alone = train(tmp_path, "1", "task=addition", "seed=7", "replicas=1", "cell=basic_tanh")
    _, third = train(tmp_path, "8", "task=addition", "seed=5", "replicas=8", "cell=basic_tanh")
    assert unequal(alone, 0, third, 2) == []


EASY = ["task.length=10", "task.positions=galvan", "cell=basic_tanh", "optimizer.lr=0.05", "trainer.max_steps=600"]
EASY += ["success.check_every=100", "success.max_error=0.1", "success.sequences=500", "cell.hidden_size=20"]


def test_leaving_changes_nothing_for_the_others(tmp_path):
    """Some replicas solve an easy criterion early; each ends as it does alone, those that left as they were then."""
    together, parameters = train(tmp_path, "all", *EASY, "replicas=4")
    assert "solved" in together.status and len(set(together.updates)) > 1
    for r in range(4):
        alone, own = train(tmp_path, f"{r}", *EASY, "replicas=1", f"seed={r}")
        assert (alone.status[0], alone.updates[0]) == (together.status[r], together.updates[r])
        assert unequal(own, 0, parameters, r) == []
    table = pd.read_csv(tmp_path / "all" / "results.csv")
    solved = table[table["solved"]]
    assert (solved["solved_at"] == solved["updates"]).all() and (solved["error"] < 0.1).all()
    history = pd.read_csv(tmp_path / "all" / "history.csv")
    assert history.groupby("seed")["step"].max().tolist() == table["updates"].tolist()  # no row after leaving


def test_looking_changes_nothing(tmp_path):
    """Law 2: another rhythm of checks, other test sizes, other blocks: the same parameters."""
    _, one = train(tmp_path, "1", "success.check_every=20", "block=50", "callbacks.metrics.every=10")
    _, two = train(tmp_path, "2", "success.check_every=7", "success.sequences=1500", "block=3")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_same_seeds_same_data_for_every_method(tmp_path):
    """The comparison of methods is paired: starts equal, and so is the first update's loss."""
    losses = []
    for method in METHODS:
        module, data = build(compose("experiment=smoke", f"optimizer={method}"))
        module.population.attach(module.network)
        (batch, *_) = data.next_block()
        losses.append(module.task.loss(module.network(batch.inputs, batch.length), batch.target))
    assert torch.equal(losses[0], losses[1]) and torch.equal(losses[0], losses[2])


@pytest.mark.parametrize("block", [1, 7, 64])
def test_max_steps_is_exact(tmp_path, block):
    population, _ = train(tmp_path, "a", f"block={block}", "trainer.max_steps=53")
    assert population.updates.tolist() == [53] * 5 and population.status == ["budget"] * 5
    checkpoint = torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 53


def test_divergence_freezes_a_replica(tmp_path):
    """Without clipping, a huge weight of Ω explodes: recorded, not raised; the step that failed is not applied."""
    keys = ["optimizer=msgd_cr", "optimizer.clip=null", "optimizer.alpha=1e25", "replicas=3", "block=50"]
    population, parameters = train(tmp_path, "a", *keys)
    assert population.status == ["diverged"] * 3
    assert all(p.isfinite().all() for p in parameters.values())
    table = pd.read_csv(tmp_path / "a" / "results.csv")
    assert (table["updates"] < 40).all() and table["error"].notna().all() and not table["solved"].any()
    again, same = train(tmp_path, "b", *keys, "block=1", "success.check_every=7")
    assert again.updates.tolist() == population.updates.tolist()
    assert [name for name in same if not torch.equal(parameters[name], same[name])] == []


def test_checkpoint_holds_all_replicas(tmp_path):
    population, parameters = train(tmp_path, "a", *EASY, "replicas=4")
    assert len(population.live) < 4
    checkpoint = torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt", weights_only=True)
    for name, p in parameters.items():
        assert torch.equal(checkpoint["state_dict"][f"network.{name}"], p) and p.shape[0] == 4
    assert checkpoint["config"]["task"]["length"] == 10
    assert checkpoint["population"]["status"] == population.status


@pytest.mark.parametrize("stop", [200, 250])
def test_a_resumed_run_is_the_same_run(tmp_path, stop):
    """Stopped between or at tests, after someone has left, and gone on with: bit for bit as if never stopped."""
    whole, expected = train(tmp_path, "whole", *EASY, "replicas=4")
    keys = [key for key in EASY if "max_steps" not in key] + ["replicas=4"]
    train(tmp_path, "first", *keys, f"trainer.max_steps={stop}")
    resumed, parameters = train(tmp_path, "second", *EASY, "replicas=4", f"resume={tmp_path / 'first'}")
    assert resumed.status == whole.status and resumed.updates.tolist() == whole.updates.tolist()
    assert [name for name in expected if not torch.equal(parameters[name], expected[name])] == []
    read = [pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds") for name in ("whole", "second")]
    shared = [log[log["step"] % 100 == 0].drop(columns=["loss", "omega", "grad_norm"]) for log in read]
    pd.testing.assert_frame_equal(*(log.reset_index(drop=True) for log in shared))


def test_settings_are_held_per_replica(tmp_path):
    """Packed sweeps will mix them: a population of two learning rates and θ = its members apart."""
    cfg = compose("experiment=smoke", "replicas=2", "trainer.max_steps=20")
    module, _ = build(cfg)
    assert {name: value.shape for name, value in module.population.settings.items()} == {
        "lr": (2,),
        "clip": (2,),
        "alpha": (2,),
    }


def test_optimizer_memory_is_parked_and_restored():
    """What a torch optimizer keeps per row leaves with its replica and comes back in all()."""
    module, _ = build(compose("experiment=smoke", "replicas=3"))
    population = module.population
    theta = population.attach(module.network)
    population.optimizer = torch.optim.Adam([theta])
    population.grad_AP.normal_()
    population.optimizer.step()
    before = {name: value.clone() for name, value in population.memory().items()}
    assert set(before) == {"exp_avg", "exp_avg_sq"} and before["exp_avg"].shape[0] == 3
    population.leave([False, True, False], "solved")
    assert population.live == [0, 2] and module.network.W.shape[0] == 2
    assert population.optimizer.state[theta]["exp_avg"].shape == theta.shape
    assert all(torch.equal(before[name], value) for name, value in population.memory().items())
    population.grad_AP.normal_()
    population.optimizer.step()
    after = population.memory()["exp_avg"]
    assert torch.equal(after[1], before["exp_avg"][1]) and not torch.equal(after[0], before["exp_avg"][0])


def test_a_checkpoint_of_other_seeds_is_refused():
    state = Population([1, 2], {"lr": 0.1}).state_dict()
    with pytest.raises(ValueError, match="seeds"):
        Population([1, 3], {"lr": 0.1}).load_state_dict(state)


def test_config_yaml_is_the_configuration_that_ran(tmp_path):
    train(tmp_path, "a", "optimizer.lr=0.02")
    saved = OmegaConf.load(tmp_path / "a" / "config.yaml")
    assert saved.optimizer.lr == 0.02 and saved.task.length == 10
    assert np.isfinite(pd.read_csv(tmp_path / "a" / "history.csv")["loss"]).all()


def test_a_neighbour_that_diverges_is_not_noticed(tmp_path):
    """Mid-block, at the same update: the others' history and results stay as they are alone."""
    cfg = compose("experiment=smoke", "replicas=3", "block=50", "optimizer=msgd_c")
    module, data = build(cfg)
    module.population.settings["clip"][1] = float("inf")  # the second without clipping,
    module.population.settings["alpha"][1] = 1e25  # and with an Ω that explodes
    (tmp_path / "three").mkdir()
    trainer(cfg, tmp_path / "three").fit(module, datamodule=data)
    assert module.population.status == ["budget", "diverged", "budget"]
    for row in (0, 2):
        alone, parameters = train(tmp_path, f"{row}", "optimizer=msgd_c", "replicas=1", f"seed={row}")
        assert unequal(parameters, 0, module.population.parameters(), row) == []
        read = [pd.read_csv(tmp_path / name / "history.csv") for name in ("three", f"{row}")]
        columns = ["step", "loss", "grad_norm", "error"]
        mine = read[0].loc[read[0]["seed"] == row, columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, read[1][columns], check_exact=True)
        assert alone.last["best_error"][0] == module.population.last["best_error"][row]
