"""Character text: streams that go on, bits per character, dropout, texts that a network writes, files that are none."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from src import recurrence
from src.config import ConfigurationError, check
from src.config.need import estimate
from src.config.sampling import Sampling, sampling
from src.directions import Direction
from src.network import Network, build_architecture
from src.recurrence import FUSED, REFERENCE, cpu
from src.results import rates
from src.results.collect import by_config, collect
from src.results.report import report
from src.run import run
from src.rundir import RunDirectory
from src.sample import continuation, sample, shares
from tasks.batch import Batch, collate
from tasks.corpus import standard_library
from tasks.data import TrainingData, evaluation_batch
from tasks.draws import Stream, generator, kept
from tasks.task import Split
from tasks.text import Text
from tests.conftest import compose, make_architecture

RECURRENCES = [pytest.param(FUSED, marks=pytest.mark.skipif(not cpu.available(), reason="no compiler")), REFERENCE]
TWO_LAYERS = ["cell.layers=2", "cell.hidden_size=7", "optimizer=msgd_c", "optimizer.lr=0.5", "replicas=2"]

pytestmark = pytest.mark.usefixtures("as_before")


def words(count, seed=0):
    """A text of so many characters in which some follow others."""
    draws = np.random.default_rng(seed)
    return "".join(draws.choice(["the ", "cat ", "sat ", "on ", "a mat. "], count))[:count]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(words(600))
    return path


def text(path, length=10, batch_size=4, **keys):
    return Text("text", length, batch_size, path=str(path), **keys)


# -- the task ----------------------------------------------------------------------------------------------------------


def test_streams_are_the_text_in_order_and_targets_the_next_character(file):
    task = text(file, length=17, batch_size=4)
    whole = words(600)
    steps = (570 - 1) // 4  # the last 5 % are the test
    names = "\0" + task.alphabet
    epochs = [task.epoch(number, None) for number in range(task.rounds)]
    assert [len(inputs) for inputs, _ in epochs] == [17] * 8 + [6] and steps == 17 * 8 + 6
    for b in range(4):
        own = whole[b * steps : (b + 1) * steps + 1]
        assert "".join(names[s] for inputs, _ in epochs for s in inputs[:, b]) == own[:-1]
        assert "".join(names[s] for _, target in epochs for s in target[:, b]) == own[1:]
    again = task.epoch(task.rounds + 2, None)
    assert all(np.array_equal(one, other) for one, other in zip(again, epochs[2], strict=True))
    assert [task.continues(number) for number in range(11)] == [False] + [True] * 8 + [False, True]
    inputs, target = task.draw(17, 4, None, Split.EVALUATION)
    assert "".join(names[s] for s in inputs[:, 0]) == whole[570:-1]
    assert "".join(names[s] for s in target[:, 0]) == whole[571:]


def test_what_is_not_known_is_one_symbol(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abacad" * 100 + "éa" * 10)  # é only in the test part
    task = text(path)
    assert (task.alphabet, task.inputs, task.outputs) == ("abcd", 5, 5)
    assert task.test[-4:].tolist() == [0, 1, 0, 1] and (task.training > 0).all()
    few = text(path, symbols=3)  # a, and the first of three that are as frequent
    assert few.alphabet == "ab" and few.training[:6].tolist() == [1, 2, 1, 0, 1, 0]
    many = tmp_path / "many.txt"
    many.write_text("".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 20)
    assert text(many).inputs == 128 and text(many, symbols=1000).training.max() == 300


def test_the_text_without_a_download_is_the_same_and_of_the_size_that_is_said():
    whole = standard_library()
    assert len(whole) == 2_000_000 and "\r" not in whole
    assert whole.startswith('"""Record of phased-in incompatible language changes.')  # __future__ is the first name
    assert compose("task=text").task.path is None


FAULTS = {
    "there is none": (None, "No such file or directory"),
    "empty": (b"", "is empty"),
    "binary": (b"\x7fELF\x00\x01" * 50, "is no text, byte 4 is 0"),
    "latin": ("é".encode("latin-1") * 500, "is no UTF-8 text, byte 0 fits nowhere"),
    "short": (b"abcdef", "6 characters are too few for 32 streams; 70 are needed, or a smaller batch_size"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_cannot_be_learned_are_named(fault, tmp_path):
    content, words = FAULTS[fault]
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    assert check(compose("setting=text_lstm", f"task.path={path}")) == [f"task: path={path}: {words}"]


def test_the_shortest_text_can_be_learned(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("ab" * 35)
    cfg = compose("setting=text_lstm", f"task.path={path}", "cell.hidden_size=3", "trainer.max_epochs=1", "replicas=1")
    assert check(cfg) == [] and run(cfg, tmp_path / "run").last["test_loss"][0] > 0


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["task.length=50", "task.max_length=60"], "max_length and stretch: a text is read as it stands"),
        (["task.symbols=1"], "task.symbols=1: must be a whole number, 2 or more"),
        (["cell.dropout=1"], "cell.dropout=1: must be a number, 0 or more, below 1"),
        (["task.path=3"], "task.path=3: must be a file, or null"),
    ],
)
def test_wrong_keys_are_named(keys, words):
    assert any(words in problem for problem in check(compose("setting=text_lstm", *keys)))


def test_yardsticks_are_those_of_texts_whose_cost_is_known(tmp_path):
    path = tmp_path / "text.txt"
    draws = np.random.default_rng(0)
    path.write_text("".join(draws.choice(list("abcdefghijklmnop"), 40_000)))  # 4 bits each, whoever looks
    bits = {name: loss / math.log(2) for name, loss in text(path).yardsticks().items()}
    assert bits["unigram"] == pytest.approx(4, abs=0.01) and 4 <= bits["lzma"] < 4.3 and 4 <= bits["zlib"] < 4.8
    path.write_text("".join(draws.choice(list("abcdefghijklmnop"), 1_000)) * 40)  # after a while nothing new
    bits = {name: loss / math.log(2) for name, loss in text(path).yardsticks().items()}
    assert bits["unigram"] > 3.9 and bits["lzma"] < 0.3 and bits["zlib"] < 0.3


# -- bits per character ------------------------------------------------------------------------------------------------

CHAIN = np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.05, 0.05, 0.9]])


def markov(count):
    """A text in which each of a, b, c follows another with a probability that is known."""
    draws = np.random.default_rng(1)
    state, found = 0, []
    for number in draws.random(count):
        state = min(int(np.searchsorted(CHAIN[state].cumsum(), number)), 2)
        found.append("abc"[state])
    return "".join(found)


def knowing(task):
    """A network whose outputs are the logarithms of the chain: h is the symbol, one-hot."""
    keys = {"_target_": "src.cells.Vanilla", "name": "vanilla", "hidden_size": 4, "activation": "identity"}
    network = Network.start(build_architecture(keys), task, [0])
    with torch.no_grad():
        network.W_in[0] = torch.eye(4)
        network.W.zero_()
        network.b.zero_()
        network.W_out[0] = torch.full((4, 4), -30.0)
        network.W_out[0, 1:, 1:] = torch.from_numpy(np.log(CHAIN)).float()
        network.b_out.zero_()
    return network


@pytest.mark.parametrize("name", RECURRENCES)
def test_bits_of_a_chain_are_its_entropy(name, tmp_path):
    """A network that knows the chain's probabilities costs what they say, and on average their entropy."""
    recurrence.use(name)
    path = tmp_path / "text.txt"
    path.write_text(markov(60_000))
    task = text(path)
    loss = float(knowing(task).loss(evaluation_batch(task, 0, 0, 4), task))
    states = ["abc".index(character) for character in markov(60_000)[57_000:]]
    exact = -np.log(CHAIN)[states[:-1], states[1:]].mean()
    assert loss == pytest.approx(exact, rel=1e-5)
    values, vectors = np.linalg.eig(CHAIN.T)
    share = vectors[:, values.real.argmax()].real
    share /= share.sum()
    entropy = -(share[:, None] * CHAIN * np.log(CHAIN)).sum()
    assert loss == pytest.approx(entropy, rel=0.03)


def test_a_network_writes_the_chain_that_it_knows(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(markov(2000))
    network = knowing(text(path))
    how = Sampling(length=3000, seed=5)
    written = continuation(network, [1], how)
    assert written == continuation(network, [1], how) != continuation(network, [1], Sampling(length=3000, seed=6))
    assert continuation(network, [1], Sampling(length=7, seed=5)) == written[:7]
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (np.array([1, *written[:-1]]) - 1, np.array(written) - 1), 1)
    assert np.abs(pairs / pairs.sum(1, keepdims=True) - CHAIN).max() < 0.06  # three times the largest deviation or more
    assert continuation(network, [3], Sampling(length=4, temperature=0)) == [3, 3, 3, 3]  # c after c is likeliest
    cold = shares(np.log(np.array([0.5, 0.1, 0.2, 0.2])), 0.5)
    assert cold == pytest.approx([0, 1 / 9, 4 / 9, 4 / 9])  # squares of what is known, the unknown one left out


# -- streams that go on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECURRENCES)
@pytest.mark.parametrize("keys", [["cell=lstm"], ["cell=basic_tanh", "optimizer=msgd_cr"], ["cell=gru"]])
def test_many_short_epochs_are_one_long_one(name, keys, file, tmp_path):
    """The state is carried over from epoch to epoch to the end of the stream, and is zero where it begins again."""
    common = ["task=text", f"task.path={file}", "task.batch_size=4", *TWO_LAYERS, "callbacks.truncated_bptt.steps=10"]
    common += [*keys, f"recurrence={name}"]
    whole = run(compose(*common, "task.length=200", "trainer.max_epochs=2"), tmp_path / "whole")
    parts = run(compose(*common, "task.length=30", "trainer.max_epochs=10"), tmp_path / "parts")  # streams of 142 steps
    assert whole.updates.tolist() == parts.updates.tolist() == [30, 30]
    for n, p in whole.parameters().items():
        assert torch.equal(p, parts.parameters()[n]), n
    cut = run(compose(*common, "task.length=142", "task.characters=598", "trainer.max_epochs=2"), tmp_path / "cut")
    assert any(not torch.equal(p, cut.parameters()[n]) for n, p in whole.parameters().items())  # another text


def test_a_resumed_run_is_the_same_run_and_wants_the_same_text(file, tmp_path):
    keys = ["task=text", f"task.path={file}", "task.batch_size=4", "task.length=30", *TWO_LAYERS, "+cell.dropout=0.2"]
    keys += ["cell=lstm", "optimizer=adam", "callbacks.truncated_bptt.steps=10", "optimizer.lr=0.01"]
    run(compose(*keys, "trainer.max_epochs=3"), tmp_path / "first")  # in the midst of the streams
    resumed = run(compose(*keys, "trainer.max_epochs=7", f"resume={tmp_path / 'first'}"), tmp_path / "second")
    whole = run(compose(*keys, "trainer.max_epochs=7"), tmp_path / "whole")
    for n, p in whole.parameters().items():
        assert torch.equal(p, resumed.parameters()[n]), n
    tables = [pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds") for name in ("second", "whole")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    alone = run(compose(*keys, "trainer.max_epochs=7", "seed=1", "replicas=1"), tmp_path / "alone")
    assert all(torch.equal(p[0], whole.parameters()[n][1]) for n, p in alone.parameters().items())
    file.write_text(words(600, seed=1))
    with pytest.raises(ConfigurationError) as caught:
        run(compose(*keys, "trainer.max_epochs=9", f"resume={tmp_path / 'first'}"), tmp_path / "third")
    (problem,) = caught.value.problems
    assert problem.endswith("what is learned has changed since the checkpoint was written: its text")
    first = RunDirectory(tmp_path / "first")
    left = (first.config_file.read_text(), first.results_file.read_text())
    with pytest.raises(ConfigurationError):
        run(compose(*keys, "trainer.max_epochs=9", f"resume={tmp_path / 'first'}"), tmp_path / "first")
    assert left == (first.config_file.read_text(), first.results_file.read_text()) and first.is_closed
    run(compose(*keys, "trainer.max_epochs=3", "seed=5"), tmp_path / "other")
    run(compose(*keys, "trainer.max_epochs=3", "seed=8"), tmp_path / "other too")
    both = collect([tmp_path / "other", tmp_path / "other too"])
    assert len(by_config(both)) == 1
    assert len(by_config([*both, *collect([first.path])])) == 2, "not pooled, though the file's name is the same"


@pytest.mark.parametrize("method", ["msgd", "msgd_c", "msgd_cr", "simplex", "simplex_switching", "rmsprop"])
def test_every_method_learns_text(method, file, tmp_path):
    keys = ["task=text", f"task.path={file}", "task.batch_size=4", "cell=basic_tanh", "cell.activation=elu"]
    keys += ["cell.layers=2", "cell.hidden_size=7", "callbacks.truncated_bptt.steps=16", "+cell.dropout=0.1"]
    population = run(compose(*keys, f"optimizer={method}", "replicas=2", "trainer.max_epochs=6"), tmp_path)
    assert population.updates.tolist() == [54, 54] and np.isfinite(population.last["test_loss"]).all()
    first, last = pd.read_csv(tmp_path / "history.csv").groupby("step")["loss"].mean().iloc[[0, -1]]
    assert last < first


def test_memory_is_that_of_a_part_and_not_of_an_epoch(file):
    def need(*keys):
        cfg = compose("setting=text_lstm", f"task.path={file}", "task.batch_size=2", *keys)
        task = text(file, length=cfg.task.length, batch_size=2)
        return estimate(cfg, task, build_architecture(cfg.cell)).each

    long, short, whole = need("task.length=280"), need("task.length=140"), need("callbacks.truncated_bptt.steps=280")
    assert 0 < long - short <= 140 * 2 * 2  # symbols and targets
    assert whole - long > 4 * (280 - 16) * 2 * 2 * 4 * 128  # what two layers of 4 · 128 columns keep


# -- dropout -----------------------------------------------------------------------------------------------------------


def test_masks_drop_their_share_and_keep_the_mean():
    mask = kept(generator(3, Stream.DROPOUT, 7, 1), 100_000, 0.3)
    assert set(np.unique(mask)) == {0.0, np.float32(1 / 0.7)}
    assert (mask == 0).mean() == pytest.approx(0.3, abs=0.006) and mask.mean() == pytest.approx(1, abs=0.01)
    assert np.array_equal(kept(generator(3, Stream.DROPOUT, 7, 1), 777, 0.3), mask[:777])
    assert not np.array_equal(kept(generator(4, Stream.DROPOUT, 7, 1), 777, 0.3), mask[:777])


@pytest.fixture
def batch(file):
    return TrainingData(text(file, length=13, batch_size=4)).fixed([0, 1])


@pytest.mark.parametrize("name", RECURRENCES)
def test_dropout_leaves_recurrent_links_alone(name, file, batch):
    """Loss and gradients are those of torch's LSTM layers with a mask on what goes up, and none on what goes on."""
    recurrence.use(name)
    task = text(file, length=13, batch_size=4)
    architecture = build_architecture(
        {**compose("cell=lstm", "cell.hidden_size=9", "cell.layers=2").cell, "dropout": 0.4}
    )
    network = Network.start(architecture, task, [0, 1])
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    draws = [(5, 11), (6, 12)]
    loss_R = network.learn(batch, task, Direction(), {}, draws)["loss"]
    own = dict(network.named_parameters())
    for r, (seed, update) in enumerate(draws):
        below, above, readout = nn.LSTM(task.inputs, 9), nn.LSTM(9, 9), nn.Linear(9, task.outputs)
        pairs = [(below.weight_ih_l0, "W_in"), (below.weight_hh_l0, "W"), (below.bias_ih_l0, "b")]
        pairs += [(above.weight_ih_l0, "W_in_2"), (above.weight_hh_l0, "W_2"), (above.bias_ih_l0, "b_2")]
        pairs += [(readout.weight, "W_out"), (readout.bias, "b_out")]
        with torch.no_grad():
            for theirs, mine in pairs:
                theirs.copy_(own[mine][r].T if theirs.ndim == 2 else own[mine][r])
            below.bias_hh_l0.zero_()
            above.bias_hh_l0.zero_()
        masks = [kept(generator(seed, Stream.DROPOUT, update, layer), 13 * 4 * 9, 0.4) for layer in range(2)]
        low, high = (torch.from_numpy(mask).view(13, 4, 9) for mask in masks)
        x = nn.functional.one_hot(batch.inputs[r].long(), task.inputs).float()
        answer = readout(high * above(low * below(x)[0])[0])
        loss = nn.functional.cross_entropy(answer.flatten(0, 1), batch.target[r].flatten())
        loss.backward()
        assert float(loss_R[r]) == pytest.approx(loss.item(), rel=1e-5)
        for theirs, mine in pairs:
            wanted = theirs.grad.T if theirs.ndim == 2 else theirs.grad
            torch.testing.assert_close(own[mine].grad[r], wanted, rtol=1e-3, atol=1e-6, msg=mine)


@pytest.mark.parametrize("every_step", [True, False])
def test_padding_and_other_replicas_change_no_bit_of_dropout(every_step, file, batch):
    task = text(file, length=13, batch_size=4)
    task.every_step = every_step
    target = batch.target if every_step else batch.target[:, -1]
    keys = {**compose("cell=basic_tanh", "cell.hidden_size=9").cell, "dropout": 0.4}

    def learned(rows, further):
        network = Network.start(build_architecture(keys), task, [0, 1]).select(rows)
        for p in network.parameters():
            p.requires_grad_().grad = torch.zeros_like(p)
        pad = torch.ones(len(rows), further, 4, dtype=batch.inputs.dtype)
        longer = torch.cat([batch.inputs[rows], pad], 1)
        answers = torch.cat([target[rows], pad.long()], 1) if every_step else target[rows]
        given = Batch(longer, answers, torch.full((len(rows),), 13))
        draws = [[(5, 11), (6, 12)][row] for row in rows]
        loss_R = network.learn(given, task, Direction(), {}, draws)["loss"]
        return [loss_R, *(p.grad for p in network.parameters())]

    both, padded, alone = learned([0, 1], 0), learned([0, 1], 6), learned([1], 2)
    assert all(torch.equal(one, other) for one, other in zip(both, padded, strict=True))
    assert all(torch.equal(one[1:], other) for one, other in zip(both, alone, strict=True))


def test_dropout_is_off_in_evaluation(file):
    task = text(file)
    start = Network.start(make_architecture("lstm", 9), task, [0])
    keys = {**compose("cell=lstm", "cell.hidden_size=9").cell, "dropout": 0.9}
    dropped = Network.start(build_architecture(keys), task, [0])
    test = evaluation_batch(task, 0, 0, 4)
    assert torch.equal(start.loss(test, task), dropped.loss(test, task))
    x = collate([task.epoch(0, None)])
    assert torch.equal(start(x.inputs, x.length), dropped(x.inputs, x.length))


# -- what a run leaves, and what a network writes ----------------------------------------------------------------------


def test_a_run_ends_in_bits_and_its_network_writes(file, tmp_path, capsys):
    keys = ["setting=text_tanh", f"task.path={file}", "task.batch_size=4", "cell.hidden_size=9", "replicas=2"]
    run(compose(*keys, "trainer.max_epochs=1", "seed=3"), tmp_path / "run")
    out, err = capsys.readouterr()
    assert "test bits" in out and "bits per character of the test part without a network: unigram" in out
    assert f"600 characters of {file}" in err
    table = rates.losses(collect([tmp_path / "run"]))
    assert table["test_bits"][0] == pytest.approx(table["test_loss"][0] / math.log(2))
    assert table["unigram"][0] == pytest.approx(text(file).yardsticks()["unigram"])
    file.unlink()  # who writes needs no text
    how = sampling(["length=40", "temperature=0.8", "prime=the c", "seed=2"])
    written = sample(tmp_path / "run", how)
    assert written == sample(tmp_path / "run", how) and written.startswith("the c") and len(written) == 45
    assert set(written) <= set(words(600))
    assert written != sample(tmp_path / "run", sampling(["length=40", "temperature=.8", "prime=the c", "replica=4"]))
    refused = {
        "prime=Q=\n": "prime='Q=\\n': the network has never seen '\\n', '=', 'Q'",
        "replica=5": "replica=5: not in the run; there are 3, 4",
    }
    for word, words_of_it in refused.items():
        with pytest.raises(ConfigurationError) as caught:
            sample(tmp_path / "run", sampling([word, *(["prime=the"] if "prime" not in word else [])]))
        assert caught.value.problems == [words_of_it]


def test_a_loss_that_is_no_number_counts_as_larger_than_any(file, tmp_path):
    keys = ["setting=text_tanh", f"task.path={file}", "task.batch_size=4", "cell.hidden_size=9", "replicas=3"]
    run(compose(*keys, "trainer.max_epochs=1"), tmp_path / "run")
    results = tmp_path / "run" / "results.csv"
    table = pd.read_csv(results)
    table.loc[[0, 2], "loss"] = np.nan
    table.to_csv(results, index=False)
    (row,) = rates.losses(collect([tmp_path / "run"])).to_dict("records")
    assert row["loss"] == row["loss_high"] == math.inf and row["loss_low"] == table["loss"][1]


def test_a_table_of_runs_that_have_not_ended(file, tmp_path, capsys):
    keys = ["setting=text_tanh", f"task.path={file}", "task.batch_size=4", "cell.hidden_size=9", "replicas=1"]
    run(compose(*keys, "trainer.max_epochs=1"), tmp_path / "run")
    results = tmp_path / "run" / "results.csv"
    results.write_text(results.read_text().replace("budget", "interrupted"))
    capsys.readouterr()
    report([tmp_path / "run"])
    assert "without a network: unigram" in capsys.readouterr().out
    file.unlink()  # then nobody knows what the text would cost
    rates._yardsticks.cache_clear()
    report([tmp_path / "run"])
    assert "unigram" not in capsys.readouterr().out


def test_requests_that_cannot_be_are_named():
    with pytest.raises(ConfigurationError) as caught:
        sampling(["length=0", "temperature=hot", "prime=", "tmperature=1", "seed=-1"])
    length, temperature, unknown, seed, prime = caught.value.problems
    assert length.startswith("length=0: must be") and temperature.startswith("temperature=hot: must be")
    assert unknown.startswith("tmperature=1: no such key; did you mean temperature?")
    assert seed.startswith("seed=-1: must be") and prime == "prime=: must hold a character or more"


def test_a_network_of_another_task_writes_nothing(tmp_path):
    run(compose("experiment=smoke", "replicas=1", "trainer.max_steps=2"), tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        sample(tmp_path, Sampling())
    assert caught.value.problems == [f"{tmp_path}: temporal_order is no text; train with task=text"]
