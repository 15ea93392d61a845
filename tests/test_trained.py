"""Trained networks handed on: torch's own modules with their weights, starts for one's own, and evaluation."""

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from src import evaluate, storage
from src.config import ConfigurationError
from src.config.trusted import import_modules, untrusted
from src.network import Network
from src.results.rates import YARDSTICKS, yardsticks
from src.results.report import report
from src.run import run
from src.trained import initialize_, load_population, load_replica
from tasks.batch import Batch, collate
from tasks.draws import Stream, generator
from tasks.task import Split
from tests.commands import ended
from tests.conftest import compose, make_architecture, make_task


def trained(path, *overrides):
    run(compose("experiment=smoke", "replicas=3", "seed=5", "optimizer.alpha=0", *overrides), path)
    return path


def one_hot(inputs, symbols):
    return inputs if inputs.is_floating_point() else nn.functional.one_hot(inputs.long(), symbols).float()


@pytest.mark.parametrize("task", ["temporal_order", "addition"])
@pytest.mark.parametrize("cell", ["smart_tanh", "lstm", "gru", "relu"])
def test_a_replica_is_the_same_network_in_torch(tmp_path, cell, task):
    keys = ["cell=basic_tanh", "cell.activation=relu"] if cell == "relu" else [f"cell={cell}"]
    trained(tmp_path, *keys, f"task={task}")
    population, (rnn, readout) = load_population(tmp_path), load_replica(tmp_path, seed=6)
    draws = np.random.default_rng(0)
    batch = collate([population.task.draw(30, 8, draws)] * 3)
    with torch.no_grad():
        mine = population.network(batch.inputs, batch.length)[1]
        h, _ = rnn(one_hot(batch.inputs[1], population.task.inputs))
        torch.testing.assert_close(readout(h[-1]), mine, rtol=1e-4, atol=1e-5)


def rename(directory, part, name):
    """Has what a run left name another class."""
    file = directory / "checkpoints" / "last.ckpt"
    content, _ = storage.read(file)
    config = OmegaConf.create(content["config"])
    OmegaConf.update(config, f"{part}._target_", name)
    storage.write(file, content | {"config": OmegaConf.to_container(config)})
    OmegaConf.save(config, directory / "config.yaml")


def test_what_cannot_be_handed_on_is_said(tmp_path):
    trained(tmp_path, "cell=sigmoid")
    with pytest.raises(ValueError, match="no module for sigmoid"):
        load_replica(tmp_path, seed=5)
    with pytest.raises(ConfigurationError, match="no replica of seed 8; there are"):
        load_replica(tmp_path, seed=8)
    for part in ("task", "cell"):
        trained(tmp_path / part, "cell=sigmoid")
        rename(tmp_path / part, part, "mine.Own")
        with pytest.raises(ConfigurationError, match=r"names mine\.\w+, which is none of ours"):
            load_population(tmp_path / part)
        rename(tmp_path / part, part, "src.cells.gone.Own")
        with pytest.raises(ConfigurationError, match="cannot be found"):
            load_population(tmp_path / part)
    with pytest.raises(ConfigurationError, match="no trained population there"):
        load_population(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="smart_tanh starts RNN"):
        initialize_(nn.LSTM(6, 50), nn.Linear(50, 4), "smart_tanh")
    with pytest.raises(ValueError, match="smart_tanh starts RNN"):
        initialize_(nn.RNN(6, 50, num_layers=2), nn.Linear(50, 4), "smart_tanh")


def test_ones_own_module_starts_as_the_replica_of_that_seed():
    task = make_task()
    for start, module, keys in (("smart_tanh", nn.RNN, {}), ("spectral", nn.RNN, {"spectral_radius": 1.1})):
        network = Network.start(make_architecture(start, 30, **keys), task, [0, 3])
        rnn, readout = module(task.inputs, 30), nn.Linear(30, task.outputs)
        initialize_(rnn, readout, start, seed=3, **keys)
        assert torch.equal(rnn.weight_hh_l0, network.W[1].T) and torch.equal(rnn.weight_ih_l0, network.W_in[1].T)
        assert torch.equal(readout.weight, network.W_out[1].T) and not rnn.bias_ih_l0.any()
    for start, module in (("lstm", nn.LSTM), ("gru", nn.GRU)):
        rnn, readout = module(2, 30), nn.Linear(30, 1)
        initialize_(rnn, readout, start, seed=1)
        assert rnn.weight_hh_l0.abs().max() <= 30**-0.5 and rnn.bias_ih_l0.any()


@pytest.mark.parametrize("task", ["temporal_order", "addition", "memorization_5bit"])
def test_evaluation_equals_a_hand_loop_and_chunks_change_nothing(tmp_path, monkeypatch, task):
    """One sequence at a time; those answered rightly are made to be about half, or the comparison would be idle."""
    trained(tmp_path, f"task={task}", "task.length=12")
    population = load_population(tmp_path)
    monkeypatch.setattr(evaluate, "PART_STEPS", 700)  # several parts
    it = make_task(task, length=15)
    network, plain = population.network, it.draw

    def answered(length, size, draws, split=Split.TRAIN):
        """Every other sequence's target is what the second replica answers."""
        inputs, target = plain(length, size, draws, split)
        batch = collate([(inputs, target)])
        with torch.no_grad():
            output = network.select([1])(batch.inputs, batch.length, every_step=it.every_step)[0]
        right = output[..., 0] if task == "addition" else output.argmax(-1)
        target[..., ::2] = right.numpy()[..., ::2]
        return inputs, target

    monkeypatch.setattr(it, "draw", answered)
    mine = evaluate.error(population, it, 6, 100)
    wrong = seen = 0
    for part, size in enumerate(evaluate.parts(15, 100)):
        draws = generator(6, Stream.EVALUATION, 15, part)
        batch = collate([it.draw(it.draw_length(draws), size, draws, Split.EVALUATION)])
        for b in range(size):
            one = Batch(batch.inputs[:, :, b : b + 1], batch.target[..., b : b + 1], batch.length)
            with torch.no_grad():
                output = network.select([1])(one.inputs, one.length, every_step=it.every_step)
            wrong += bool(it.wrong(output, one.target).any())
            seen += 1
    assert seen == 100 and part > 0 and mine == wrong / 100 and 0.2 < mine < 0.8
    monkeypatch.setattr("src.network.network.CHUNK", 4)
    assert evaluate.error(population, it, 6, 100) == mine


def test_lengths_are_independent_of_each_other_and_of_neighbours(tmp_path):
    trained(tmp_path)
    both = evaluate.run(tmp_path, ["task.length=20,12", "success.sequences=300"], tmp_path / "both")
    alone = evaluate.run(tmp_path, ["task.length=20", "success.sequences=300"], tmp_path)
    assert list(both["length"].unique()) == [12, 20] and len(both) == 6
    twenty = both[both["length"] == 20].reset_index(drop=True)
    pd.testing.assert_frame_equal(twenty, alone)
    assert twenty["error"].nunique() > 1 and twenty["seed"].tolist() == [5, 6, 7]
    written = pd.read_csv(tmp_path / "both" / "evaluation.csv")
    assert written.columns.tolist() == ["task", "cell", "optimizer", "seed", "status", "length", "sequences", "error"]
    assert (tmp_path / "evaluation.png").stat().st_size > 5000 and (tmp_path / "evaluation.svg").is_file()


def test_parts_bound_the_memory():
    assert list(evaluate.parts(50, 10_000)) == [1000] * 10
    assert list(evaluate.parts(5000, 900)) == [200] * 4 + [100]
    assert list(evaluate.parts(10**7, 3)) == [1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["task.length=9,50"], ["task.length=9: temporal_order needs 10 steps"]),
        (["task.lengths=50"], ["task.lengths: no such key here; did you mean task.length?"]),
        (["task.length=fifty"], ["task.length=fifty: must be a whole number"]),
        (["task.length=50", "task.positions=pascanu,galvan"], ["only task.length takes several values"]),
        (["task.length=50", "optimizer.lr=1"], ["optimizer.lr: no such key here"]),
        (["task.length=50", "success.sequences=0"], ["success.sequences=0"]),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, words):
    trained(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        evaluate.run(tmp_path, arguments, tmp_path)
    assert len(refused.value.problems) == len(words)
    assert all(word in problem for word, problem in zip(words, refused.value.problems, strict=True))


def test_the_command(tmp_path):
    trained(tmp_path)
    done = ended(tmp_path, "task.length=20,30", "success.sequences=100", "threads=1", module="src.evaluate")
    assert done.status == 0 and "evaluation.csv" in done.out, done.err
    for wrong in ([tmp_path / "nowhere"], [tmp_path, "task.length=1"]):
        refused = ended(*wrong, module="src.evaluate")
        assert refused.status == 2 and "Traceback" not in refused.err
        assert refused.err.startswith("error: ")


MINE = '''
from tasks.temporal_order import TemporalOrder

class Mine(TemporalOrder):
    """Temporal order by another name."""

def harmful(**keys):
    raise SystemExit("this was run")
'''


def test_what_a_saved_configuration_names_is_run_only_if_it_can_be_trusted(tmp_path, monkeypatch):
    (tmp_path / "mine_of_trust.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    assert untrusted({"task": {"_target_": "mine_of_trust.Mine"}}) == ["mine_of_trust.Mine"]
    import_modules(["mine_of_trust"])
    assert untrusted({"task": {"_target_": "mine_of_trust.Mine"}}) == []
    bad = [
        "mine_of_trust.harmful",
        "os.system",
        "subprocess.Popen",
        "src.jobs.sys.exit",
        "src.curves.argparse.FileType",
    ]
    keys = {"a": [{"b": {"_target_": bad[0]}}], "c": {"_target_": bad[1], "d": {"_target_": bad[2]}}}
    assert untrusted({**keys, "e": {"_target_": bad[3]}, "f": [{"_target_": name} for name in bad[4:]]}) == sorted(bad)
    with pytest.raises(ConfigurationError, match="--module gone_for_good: No module"):
        import_modules(["gone_for_good"])


def test_a_run_that_names_what_is_harmful_is_only_read(tmp_path, capsys):
    trained(tmp_path, "cell=sigmoid")
    rename(tmp_path, "optimizer.direction", "sys.exit")
    with pytest.raises(ConfigurationError, match=r"names sys\.exit"):
        load_population(tmp_path)
    assert len(report([tmp_path])) == 1  # tables need none of the classes
    assert yardsticks({"_target_": "sys.exit", "length": 5}) == dict.fromkeys(
        YARDSTICKS, pytest.approx(np.nan, nan_ok=True)
    )
