"""The laws: replicas never touch, draws are functions, leaving, checkpoints of all R, exact budgets, resuming."""

from dataclasses import replace

import hydra
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from src.config import ConfigurationError
from src.population import Population, checkpoint
from src.population.checkpoint import UnreadableCheckpoint
from src.run import build, run, settle_recurrence
from src.trained import load_population
from src.training.clipping import Clipped
from src.training.update import update
from tests.conftest import AUTOGRAD, CELLS, METHODS, TORCH, WITHOUT_OMEGA, compose, fit, is_refused


def train(tmp_path, name, *overrides):
    """A small run; its population and the parameters of all R."""
    population = run(compose("experiment=smoke", *overrides), tmp_path / name)
    return population, population.parameters()


def unequal(mine, row, theirs, other):
    """Names of the parameters in which two replicas differ by a bit."""
    return [name for name in mine if not torch.equal(mine[name][row], theirs[name][other])]


@pytest.mark.parametrize(
    ("cell", "method", "hidden"),
    [
        (cell, method, hidden)
        for cell in CELLS
        for method in (*METHODS, "simplex_switching")
        for hidden in ([50, 37] if method == "msgd_cr" or cell in WITHOUT_OMEGA else [50])  # Ω has all products
        if cell not in AUTOGRAD and not is_refused(cell, method)
        if method != "msgd" or cell == "smart_tanh"  # it is msgd_c that never clips
    ],
)
def test_replicas_never_touch(tmp_path, cell, method, hidden):
    """Law 1, bit for bit: seed 7 alone, at 1 and 2 threads, = the third of eight = the second of three."""
    keys = [f"cell={cell}", f"optimizer={method}", f"cell.hidden_size={hidden}", "task.length=20", "task.max_length=24"]
    keys += ["trainer.max_steps=20", "success.check_every=10", "callbacks.diagnostics.every=null"]
    before, results = torch.get_num_threads(), {}
    try:
        for threads, replicas, seed in ((1, 1, 7), (1, 3, 6), (2, 1, 7), (2, 8, 5)):
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


OTHER_SHAPES = [
    ["task=addition", "cell=basic_tanh"],
    ["task=addition", "cell=lstm", "task.max_length=24"],
    ["task.batch_size=3", "cell=smart_tanh"],
    ["task.batch_size=7", "cell=spectral", "optimizer.omega=plain"],
    ["task=memorization_5bit", "task.max_length=23", "cell=smart_tanh"],
    ["task=memorization_5bit", "task.max_length=23", "cell=lstm", "recurrence=reference"],
    ["task=permutation", "task.predict=every", "task.max_length=23", "cell=lstm", "optimizer=adam"],
    ["cell=gru", "optimizer=msgd_c", "task.max_length=24"],
    ["cell=gru", "optimizer=adam", "task=addition", "task.batch_size=3"],
    ["optimizer=adadelta", "optimizer.clip=1"],
    ["optimizer=adagrad"],
    ["optimizer=adam", "optimizer.clip=1"],
    ["optimizer=rmsprop"],
    ["optimizer=sgd_momentum", "optimizer.alpha=2"],
    ["optimizer=simplex", "task=addition", "cell=spectral"],
    ["optimizer=simplex", "task=memorization_5bit", "task.max_length=23", "cell=lstm", "task.batch_size=3"],
    ["optimizer=simplex", "task.max_length=24", "recurrence=reference"],
    ["optimizer=simplex", "task.max_length=24", "recurrence=reference", "task.batch_size=3"],
    ["optimizer=simplex", "task.max_length=24", "cell=dense_lstm", "cell.dense_size=6"],
    ["optimizer=simplex", "task.max_length=24", "cell=gru"],
]


def widths(keys):
    """Both widths where vectors are the compiled code's; the slow ways to compute have one."""
    return [37] if "recurrence=reference" in keys or "cell=gru" in keys else [50, 37]


@pytest.mark.parametrize(
    ("keys", "hidden"),
    [pytest.param(keys, hidden, id=" ".join([*keys, str(hidden)])) for keys in OTHER_SHAPES for hidden in widths(keys)],
)
def test_replicas_never_touch_in_other_shapes(tmp_path, keys, hidden):
    """One output, small batches: torch takes other routines for a batch of one matrix than of several. Answers at every
    step; torch's optimizers."""
    before, results = torch.get_num_threads(), []
    try:
        for threads, replicas, seed in ((1, 1, 7), (2, 1, 7), (1, 3, 6), (2, 8, 5)):
            small = [f"threads={threads}", f"replicas={replicas}", f"seed={seed}", "task.length=20"]
            small += ["callbacks.diagnostics.every=null", "trainer.max_steps=20"]
            _, parameters = train(tmp_path, f"{threads}-{replicas}", *keys, f"cell.hidden_size={hidden}", *small)
            results.append({name: p[7 - seed : 8 - seed] for name, p in parameters.items()})
    finally:
        torch.set_num_threads(before)
    assert [unequal(results[0], 0, other, 0) for other in results[1:]] == [[]] * 3


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


def test_whoever_does_not_leave_goes_on_and_stays_solved(tmp_path):
    """Without leaving, all make the whole budget; when each first passed is what it is with leaving."""
    leaving, _ = train(tmp_path, "leaving", *EASY)
    staying, _ = train(tmp_path, "staying", *EASY, "success.leave=false")
    assert staying.status == ["budget"] * len(staying.seeds) and set(staying.updates) == {600}
    assert staying.solved_R.any() and list(staying.solved_at) == list(leaving.solved_at)
    table = pd.read_csv(tmp_path / "staying" / "results.csv")
    assert table["solved"].tolist() == staying.solved_R.tolist()
    resumed, _ = train(
        tmp_path, "on", *EASY, "success.leave=false", "trainer.max_steps=700", f"resume={tmp_path / 'staying'}"
    )
    solved = staying.solved_R
    assert list(resumed.solved_at[solved]) == list(staying.solved_at[solved])


def test_a_learning_rate_that_falls(tmp_path):
    """After two half-lives plain descent makes a quarter of the step; a torch optimizer refuses the key."""
    keys = ["optimizer=msgd", "optimizer.lr=1.0", "trainer.max_steps=2", "replicas=1"]
    _, start = train(tmp_path, "start", *keys[:2], "trainer.max_steps=1", "replicas=1")
    _, constant = train(tmp_path, "constant", *keys)
    _, falling = train(tmp_path, "falling", *keys, "optimizer.half_life=0.5")
    whole = constant["W"] - start["W"]
    assert whole.abs().max() > 0
    assert torch.allclose(falling["W"] - start["W"], whole / 4, rtol=1e-3, atol=1e-6)
    with pytest.raises(ConfigurationError, match="half_life"):
        train(tmp_path, "adam", "optimizer=adam", "++optimizer.half_life=10")


def test_looking_changes_nothing(tmp_path):
    """Law 2: another rhythm of checks, other test sizes, other blocks: the same parameters."""
    _, one = train(tmp_path, "1", "success.check_every=20", "block=50", "callbacks.metrics.every=10")
    _, two = train(tmp_path, "2", "success.check_every=7", "success.sequences=1500", "block=3")
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_same_seeds_same_data_for_every_method(tmp_path):
    """The comparison of methods is paired: starts equal, and so is the first update's loss."""
    losses = []
    for method in METHODS:
        experiment = build(compose("experiment=smoke", f"optimizer={method}"))
        module = experiment.module
        module.configure_optimizers()
        (batch, *_) = experiment.data.next_block()
        losses.append(module.task.loss(module.network(batch.inputs, batch.length), batch.target))
    assert torch.equal(losses[0], losses[1]) and torch.equal(losses[0], losses[2])


@pytest.mark.parametrize("block", [1, 7, 64])
def test_max_steps_is_exact(tmp_path, block):
    population, _ = train(tmp_path, "a", f"block={block}", "trainer.max_steps=53")
    assert population.updates.tolist() == [53] * 5 and population.status == ["budget"] * 5
    content = torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 53


def test_divergence_by_the_last_update_is_noted_though_others_leave_in_the_last_test(tmp_path):
    keys = ["replicas=3", "threads=1", "trainer.max_steps=20", "success.max_error=0.97", "success.check_every=1000"]
    cfg = compose("experiment=smoke", *keys)

    class Last(pl.Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if module.population.step == 20:
                module.population.stack.theta_AP[1] = float("inf")

    experiment = build(cfg)
    fit(experiment, cfg, tmp_path, Last())
    assert list(experiment.module.population.status) == ["solved", "diverged", "solved"]


def test_divergence_freezes_a_replica(tmp_path):
    """Without clipping some explode, each at its own update, in mid-block: recorded, not raised, and not noticed by
    the others; the step that failed is not applied; blocks and the rhythm of tests do not matter."""
    keys = ["task=addition", "task.length=10", "cell=basic_tanh", "cell.std=0.4", "optimizer=msgd", "optimizer.lr=0.3"]
    population, parameters = train(tmp_path, "a", *keys, "replicas=6", "block=50")
    assert set(population.status) == {"diverged", "budget"}
    table = pd.read_csv(tmp_path / "a" / "results.csv")
    lost = table[table["status"] == "diverged"]
    assert lost["updates"].nunique() > 2 and lost["updates"].between(1, 39).all()
    assert table["error"].notna().all() and not table["solved"].any()
    assert all(p.isfinite().all() for p in parameters.values())
    again, same = train(tmp_path, "b", *keys, "replicas=6", "block=1", "success.check_every=7")
    assert again.updates.tolist() == population.updates.tolist()
    assert [name for name in same if not torch.equal(parameters[name], same[name])] == []
    for r in range(6):
        train(tmp_path, f"{r}", *keys, "replicas=1", f"seed={r}")
        own = pd.read_csv(tmp_path / f"{r}" / "results.csv").drop(columns="seconds")
        mine = table[table["seed"] == r].drop(columns="seconds").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, own, check_exact=True, check_dtype=False)


def test_a_diverged_replica_does_not_drift(tmp_path):
    """The failed step is not applied, though momentum or Adam's memory would move a replica without a gradient."""
    for method in ("sgd_momentum", "adam"):
        cfg = compose("experiment=smoke", f"optimizer={method}", "replicas=3", "trainer.max_steps=9")
        experiment = build(cfg)
        module = experiment.module
        learn, seen = module.network.learn, []

        def spoil(*arguments, learn=learn, seen=seen, module=module):
            metrics = learn(*arguments)
            if len(seen) == 5:
                module.network.W.grad[1] = float("nan")
                seen.append(module.population.stack.theta_AP.clone())
            else:
                seen.append(None)
            return metrics

        module.network.learn = spoil
        fit(experiment, cfg, tmp_path / method)
        population = module.population
        assert population.status[1] == "diverged" and population.updates.tolist() == [9, 5, 9]
        assert torch.equal(population.parked[1].theta_AP[0], seen[5][1])


def test_parameters_lost_in_the_last_update_are_divergence(tmp_path):
    """Whatever the budget: after update 1 as the last, and at update 2 by the next look."""
    keys = ["optimizer=msgd", "optimizer.lr=3e38", "cell=basic_tanh", "cell.std=3", "replicas=1"]
    one, _ = train(tmp_path, "1", *keys, "trainer.max_steps=1")
    two, _ = train(tmp_path, "2", *keys, "trainer.max_steps=2")
    assert one.status == two.status == ["diverged"] and one.updates.tolist() == two.updates.tolist() == [1]


def test_checkpoint_holds_all_replicas(tmp_path):
    population, parameters = train(tmp_path, "a", *EASY, "replicas=4")
    assert len(population.live) < 4
    content = torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt", weights_only=True)
    for name, p in parameters.items():
        assert torch.equal(content["state_dict"][f"network.{name}"], p) and p.shape[0] == 4
    assert content["config"]["task"]["length"] == 10
    expected = [status if status == "solved" else "running" for status in population.status]  # of whom one may resume
    assert content["population"]["status"] == expected


@pytest.mark.parametrize(
    ("stop", "method"), [(200, []), (250, []), (250, ["optimizer=adam"]), (200, ["optimizer=sgd_momentum"])]
)
def test_a_resumed_run_is_the_same_run(tmp_path, stop, method):
    """Stopped between or at tests, after someone has left, and gone on with: bit for bit as if never stopped."""
    keys = [
        *EASY,
        *method,
        "replicas=4",
        "success.sequences=2500",
    ]  # three batches: tests that stop early differ from full ones
    whole, expected = train(tmp_path, "whole", *keys)
    first = [key for key in keys if "max_steps" not in key]
    train(tmp_path, "first", *first, f"trainer.max_steps={stop}")
    _, parameters = train(tmp_path, "second", *keys, f"resume={tmp_path / 'first'}")
    assert [name for name in expected if not torch.equal(parameters[name], expected[name])] == []
    for table in ("results.csv", "history.csv"):
        read = [pd.read_csv(tmp_path / name / table).drop(columns="seconds") for name in ("whole", "second")]
        pd.testing.assert_frame_equal(*read, check_exact=True)


@pytest.mark.parametrize("at", ["between blocks", "in an update", "in the last update"])
def test_an_interruption_loses_nothing(tmp_path, at):
    """The signal may come at any moment; what was computed is written, and resuming gives the run that was not."""
    cfg = compose("experiment=smoke", "replicas=2", "block=5")

    class Signal(pl.Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if at == "between blocks" and module.population.step == 30:
                module.population.interrupt = 2

        def on_before_optimizer_step(self, trainer, module, *_):
            if module.population.step == {"in an update": 31, "in the last update": 39}.get(at):
                module.population.interrupt = 2

    fit(build(cfg), cfg, tmp_path / "a", Signal())  # after all others
    step = {"between blocks": 30, "in an update": 32, "in the last update": 40}[at]
    table = pd.read_csv(tmp_path / "a" / "results.csv")
    assert table["updates"].tolist() == [step] * 2
    assert set(table["status"]) == {"budget" if step == 40 else "interrupted"} and table["error"].notna().all()
    content = torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["population"]["updates"] == [step] * 2
    if step < 40:
        cfg.recurrence = settle_recurrence(cfg)
        (tmp_path / "a" / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
        train(tmp_path, "b", "replicas=2", f"resume={tmp_path / 'a'}")
        train(tmp_path, "whole", "replicas=2")
        for name in ("results.csv", "history.csv"):
            read = [pd.read_csv(tmp_path / run / name).drop(columns="seconds") for run in ("b", "whole")]
            pd.testing.assert_frame_equal(*read, check_exact=True)


def test_settings_are_held_per_replica(tmp_path):
    """Packed sweeps will mix them: replicas of different lr, θ and α in one population are as they are apart."""
    chosen = [(0.01, 1.0, 4.0), (0.05, 0.5, 0.0), (0.02, float("inf"), 2.0)]
    cfg = compose("experiment=smoke", "replicas=3")
    experiment = build(cfg)
    population = experiment.module.population
    for name, values in zip(("lr", "clip", "alpha"), zip(*chosen, strict=True), strict=True):
        population.settings[name] = torch.tensor(values)
    fit(experiment, cfg, tmp_path / "mixed")
    mixed = population.parameters()
    for r, (lr, clip, alpha) in enumerate(chosen):
        keys = [f"optimizer.lr={lr}", f"optimizer.clip={'null' if clip == float('inf') else clip}"]
        _, own = train(tmp_path, f"{r}", *keys, f"optimizer.alpha={alpha}", "replicas=1", f"seed={r}")
        assert unequal(own, 0, mixed, r) == []


def test_optimizer_memory_is_parked_and_restored():
    """What a torch optimizer keeps per row leaves with its replica and is there among all."""
    module = build(compose("experiment=smoke", "replicas=3")).module
    population = module.population
    optimizer = population.attach(module.network, torch.optim.Adam)
    stack = population.stack
    stack.grad_AP.normal_()
    optimizer.step()
    before = {name: value.clone() for name, value in population.memory().items()}
    assert set(before) == {"exp_avg", "exp_avg_sq"} and before["exp_avg"].shape[0] == 3
    population.leave([False, True, False], "solved")
    assert population.live == [0, 2] and module.network.W.shape[0] == 2
    assert optimizer.state[stack.theta]["exp_avg"].shape == stack.theta.shape == (2, before["exp_avg"].shape[1])
    assert all(torch.equal(before[name], value) for name, value in population.memory().items())
    stack.grad_AP.normal_()
    optimizer.step()
    after = population.memory()["exp_avg"]
    assert torch.equal(after[1], before["exp_avg"][1]) and not torch.equal(after[0], before["exp_avg"][0])


@pytest.mark.parametrize("method", [*TORCH, "msgd"])
def test_a_step_is_torchs_on_a_single_copy(method):
    """Bit for bit; gradient descent, where the learning rate is multiplied first, to one rounding."""
    cfg = compose(f"optimizer={method}", "replicas=3", "cell.hidden_size=37")
    module = build(cfg).module
    optimizer, stack = module.configure_optimizers(), module.population.stack
    generator = torch.Generator().manual_seed(0)

    def drawn(*_):
        """Gradients out of the air."""
        stack.grad_AP.copy_(torch.randn(stack.grad_AP.shape, generator=generator))
        return {}

    def unclipped(_):
        for name, p in module.network.named_parameters():
            row[name].grad = p.grad[1].clone()
        return Clipped(torch.ones(3), torch.zeros(3, dtype=torch.bool))

    module.network.learn = drawn
    own = replace(module.method, clipping=unclipped)
    row = {name: torch.nn.Parameter(p.detach()[1].clone()) for name, p in module.network.named_parameters()}
    factory = hydra.utils.instantiate(cfg.optimizer.step) if method != "msgd" else torch.optim.SGD
    single = factory(list(row.values()), lr=cfg.optimizer.lr)
    for _ in range(20):
        update(stack, None, module.task, own, optimizer.step)
        single.step()
        for name, p in module.network.named_parameters():
            if method == "msgd":
                torch.testing.assert_close(p[1], row[name], rtol=1e-6, atol=1e-8)
                row[name].data.copy_(p[1])
            else:
                assert torch.equal(p[1], row[name]), name


def test_a_checkpoint_of_other_seeds_is_refused():
    content = {"version": checkpoint.VERSION, "population": checkpoint.outcomes(Population([1, 2], {"lr": 0.1}))}
    with pytest.raises(UnreadableCheckpoint, match="seeds"):
        checkpoint.restore(content, Population([1, 3], {"lr": 0.1}))
    checkpoint.restore(content, Population([1, 2], {"lr": 0.1}))


@pytest.mark.parametrize("fault", ["no version", "another version", "other seeds"])
def test_a_checkpoint_that_does_not_belong_is_refused_in_one_line(tmp_path, fault):
    """Of a former version, or of other replicas; its networks can be read all the same."""
    population, parameters = train(tmp_path, "first", "replicas=2", "trainer.max_steps=20")
    file = tmp_path / "first" / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    assert content["version"] == checkpoint.VERSION
    if fault == "no version":
        del content["version"]
        words = "version 0"
    elif fault == "another version":
        content["version"] = 99
        words = "version 99"
    else:
        content["population"]["seeds"] = [3, 4]
        words = r"the seeds \[3, 4\], not \[0, 1\]"
    torch.save(content, file)
    with pytest.raises(ConfigurationError, match=words) as refused:
        train(tmp_path, "second", "replicas=2", f"resume={tmp_path / 'first'}")
    (problem,) = refused.value.problems
    assert problem.startswith(f"resume={tmp_path / 'first'}: ") and "\n" not in problem
    found = checkpoint.read(file)
    assert found.version == content.get("version", 0) and found.config["task"]["length"] == 10
    assert found.parameters.keys() == parameters.keys()
    assert all(torch.equal(found.parameters[name], p) for name, p in parameters.items())
    network = load_population(tmp_path / "first").network
    assert all(torch.equal(p, parameters[name]) for name, p in network.named_parameters())


def test_config_yaml_is_the_configuration_that_ran(tmp_path):
    train(tmp_path, "a", "optimizer.lr=0.02")
    saved = OmegaConf.load(tmp_path / "a" / "config.yaml")
    assert saved.optimizer.lr == 0.02 and saved.task.length == 10
    assert np.isfinite(pd.read_csv(tmp_path / "a" / "history.csv")["loss"]).all()


def test_a_neighbour_that_diverges_is_not_noticed(tmp_path):
    """Mid-block, at the same update: the others' history and results stay as they are alone."""
    cfg = compose("experiment=smoke", "replicas=3", "block=50", "optimizer=msgd_c")
    experiment = build(cfg)
    module = experiment.module
    module.population.settings["clip"][1] = float("inf")  # the second without clipping,
    module.population.settings["alpha"][1] = 1e25  # and with an Ω that explodes
    fit(experiment, cfg, tmp_path / "three")
    assert module.population.status == ["budget", "diverged", "budget"]
    for row in (0, 2):
        alone, parameters = train(tmp_path, f"{row}", "optimizer=msgd_c", "replicas=1", f"seed={row}")
        assert unequal(parameters, 0, module.population.parameters(), row) == []
        read = [pd.read_csv(tmp_path / name / "history.csv") for name in ("three", f"{row}")]
        columns = ["step", "loss", "grad_norm", "error"]
        mine = read[0].loc[read[0]["seed"] == row, columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, read[1][columns], check_exact=True)
        assert alone.last["best_error"][0] == module.population.last["best_error"][row]


@pytest.mark.parametrize("cell", ["smart_tanh", "lstm"])
def test_that_all_diverge_in_their_first_update_is_an_outcome(tmp_path, cell):
    """With measurements before and after."""
    keys = ["experiment=smoke", f"cell={cell}", "optimizer.clip=null", "optimizer.alpha=1e38", "replicas=3"]
    cfg = compose(*keys, "callbacks.diagnostics.every=1")
    population = run(cfg, tmp_path)
    assert population.status == ["diverged"] * 3 and population.updates.tolist() == [0] * 3
    with np.load(tmp_path / "diagnostics.npz") as found:
        assert found["updates"].tolist() == [[0] * 3]


def test_numbers_that_cannot_be_drawn_end_no_run(tmp_path):
    cfg = compose(
        "experiment=smoke", "optimizer=msgd", "optimizer.lr=3e38", "replicas=2", "callbacks.diagnostics.every=1"
    )
    cfg.logger = compose("logger=tensorboard").logger
    cfg.logger.save_dir = str(tmp_path)
    assert set(run(cfg, tmp_path).status) <= {"diverged", "budget"}
