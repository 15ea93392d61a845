"""Generated configurations: every one is refused in one line a problem, or trains."""

import math
import random
import re
import resource
import signal

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src.config import KEYS, ConfigurationError, check, leaves
from src.run import run
from tests.conftest import CELLS, METHODS, SIMPLEX, TASKS, TORCH, compose
from tests.faults.counts import FULL, note

SMALL = ["replicas=2", "threads=1", "task.length=20", "task.batch_size=2", "cell.hidden_size=5", "success.sequences=10"]
LARGEST = {"trainer.max_steps": 3, "trainer.max_epochs": 1, "success.sequences": 20, "replicas": 3, "block": 3}
"""What an accepted configuration is cut down to before it trains."""

PARTS = 5 if FULL else 1
"""Into which the configurations are divided, for several processes."""

MEMORY = 16 * 2**30
"""Bytes of address space that a configuration may take."""

HANGS = 30
"""Seconds after which a configuration is said to hang."""

NUMBERS = [0, 1, 2, 3, -1, 7, 0.5, 1.5, 1e-3, 0.01, 1e39, 10**12, 1e-50, 2**63, 2**70, math.nan, math.inf, -math.inf]
WORDS = ["", "x", "tanh", "msgd", "null", "1e3", "${seed}", "${nope}", "${oc.env:NOPE}", "???", "日本", "a\nb", "[b]"]
REST = [None, True, False, [], [1], [1, 2], [0.1, 2.5], ["a"], [None], {}, {"a": 1}, {"_target_": "os.getcwd"}, [[1]]]
TARGETS = ["src.cells.LSTM", "src.callbacks.Success", "tasks.addition.Addition", "os.getcwd", "nowhere.Class", "src"]
UNKNOWN = ["cell.layer", "task.lenght", "extra", "extra.deep.key", "trainer.fast_dev_run", "callbacks.mine"]


def names():
    """Every key of the table and of the files, and some that there are not."""
    found = {key.name for key in KEYS}
    for group, choices in (
        ("task", [*TASKS, "price", "records"]),
        ("cell", CELLS),
        ("optimizer", [*METHODS, *SIMPLEX, *TORCH]),
    ):
        for choice in choices:
            found |= {name for name, _ in leaves(compose(f"{group}={choice}"))}
    return sorted({*found, *UNKNOWN} - {"resume"})


CHANGES = st.lists(
    st.tuples(st.sampled_from(names()), st.sampled_from([*NUMBERS, *WORDS, *REST, *TARGETS])), max_size=4
)


class Hanging(Exception):
    """A configuration took too long."""


def _hang(*_):
    raise Hanging


@pytest.fixture(scope="module")
def bases():
    """Configurations of each task, cell and method, composed once."""
    known = {}

    def base(task, cell, method):
        if (task, cell, method) not in known:
            own = ["task.window=3", "task.length=120", "trainer.max_epochs=1"] if task == "price" else []
            known[task, cell, method] = compose(f"task={task}", f"cell={cell}", f"optimizer={method}", *SMALL, *own)
        return known[task, cell, method].copy()

    return base


@pytest.fixture
def bounded():
    """Memory has an end: a configuration that wants more than it was said to need fails, and ends no other process."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("part", range(PARTS))
def test_generated_configurations_are_refused_or_train(part, bases, tmp_path_factory, as_before, bounded):
    counts = {"configurations": 0, "refused": 0, "trained": 0}
    before = signal.signal(signal.SIGALRM, _hang)

    @seed(part)
    @settings(
        max_examples=5000 // PARTS if FULL else 60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],
    )
    @given(
        st.sampled_from([*TASKS, "price", "records"]),
        st.sampled_from(CELLS),
        st.sampled_from([*METHODS, *SIMPLEX, *TORCH]),
        CHANGES,
    )
    def each(task, cell, method, changes):
        cfg = bases(task, cell, method)
        for name, value in changes:
            try:
                OmegaConf.update(cfg, name, value, force_add=True)
            except Exception:  # no such place: a list, or a key below a number
                continue
        counts["configurations"] += 1
        signal.alarm(HANGS)
        try:
            problems = check(cfg)
            for problem in problems:
                assert isinstance(problem, str) and problem and "\n" not in problem
                assert not re.search(r"Traceback|object at 0x", problem), problem
            if problems:
                counts["refused"] += 1
                return
            for name, most in LARGEST.items():
                value = OmegaConf.select(cfg, name)
                OmegaConf.update(cfg, name, most if value is None or value > most else value)
            if cfg.task.name != "price":
                cfg.trainer.max_epochs = None
            try:
                run(cfg, tmp_path_factory.mktemp("run"))
            except ConfigurationError as error:  # what changed by cutting down
                raise AssertionError(f"accepted, then refused: {error}") from error
            counts["trained"] += 1
        finally:
            signal.alarm(0)

    try:
        each()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert counts["refused"] and counts["trained"]
    note("generated configurations", **counts, tracebacks=0, hanging=0)


TYPED_KEYS = [
    "task.length",
    "optimizer.lr",
    "cell.hidden_size",
    "replicas",
    "trainer.max_steps",
    "seed",
    "threads",
    "resume",
]
TYPED_KEYS += [
    "callbacks.clipping",
    "logger",
    "+trainer.fast_dev_run",
    "~success",
    "lr",
    "optimizer.step",
    "hydra.run.dir",
]
TYPED = [
    "",
    "1",
    "-1",
    "1e3",
    "0.5",
    "null",
    "true",
    "[1,2]",
    "1,2",
    "{a:1}",
    "'x'",
    "${nope}",
    "???",
    "range(1,3)",
    "(",
    "é",
]
GROUPS = {"task": "temporal_ordr", "cell": "lstm", "optimizer": "msgd_x", "experiment": "smoke", "+nothing": "x"}
FLAGS = ["-m", "--cfg=job", "--help", "--multirun", "--info", "--config-dir=nowhere"]


def typed(draws):
    """A command line that somebody might type."""
    words = ["experiment=smoke", "replicas=1", "threads=1", "task.length=10"]
    for _ in range(draws.randint(1, 3)):
        key = draws.choice([*TYPED_KEYS, *GROUPS])
        words.append(f"{key}={GROUPS.get(key) or draws.choice(TYPED)}")
    if draws.random() < 0.3:
        words.append(draws.choice(FLAGS))
    return words


def test_whatever_is_typed_ends_in_lines(server, tmp_path):
    draws = random.Random(0)
    counts = {"refused": 0, "done": 0}
    for number in range(300 if FULL else 6):
        words = typed(draws)
        where = [f"hydra.run.dir={tmp_path}/run/{number}", f"hydra.sweep.dir={tmp_path}/sweep/{number}"]
        ended = server.run(*words, *where)
        assert ended.status in (0, 1, 2), (words, ended)
        assert "Traceback" not in ended.err, (words, ended.err)
        assert ended.status == 0 or "error: " in ended.err or "usage: " in ended.err, (words, ended.err)
        counts["refused" if ended.status else "done"] += 1
    assert counts["refused"] and (counts["done"] or not FULL)
    note("typed command lines", tried=sum(counts.values()), **counts, tracebacks=0, hanging=0)
