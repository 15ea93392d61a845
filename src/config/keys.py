"""The table of configuration keys: everything that the program knows of a key is in its row.

A row without a rule stands for a key that only the class that takes it can judge, or for a whole part of the
configuration: what a row says of its part holds for the keys below it too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config.rules import (
    ABOVE_ONE,
    ABOVE_ONE_OR_NULL,
    BELOW_ONE,
    BELOW_ONE_OR_NULL,
    COUNTS,
    DIRECTORY,
    FILE,
    FLAG,
    FRACTION,
    FROM_ZERO,
    FROM_ZERO_OR_NULL,
    NAME,
    NUMBER_OR_NULL,
    ONE_DEVICE,
    PAIR,
    PATIENTS,
    SEED,
    SHARE,
    Rule,
    above_zero,
    choice,
    whole,
)


@dataclass(frozen=True)
class Key:
    """One row of the table.

    Args:
        name: dotted.
        rule: what it may hold; None: anything.
        required: whether no configuration may do without it.
        science: whether the result of a replica of a given seed depends on it.
        resumable: whether it may change when a run goes on.
        packable: whether it may differ between replicas that train as one population.
    """

    name: str
    rule: Rule | None = None
    required: bool = False
    science: bool = True
    resumable: bool = False
    packable: bool = False


def aside(name: str, rule: Rule | None = None, required: bool = False, packable: bool = False) -> Key:
    """A row of a key that no result depends on, so that it may change when a run goes on."""
    return Key(name, rule, required, science=False, resumable=True, packable=packable)


KEYS = (
    # the population
    Key("seed", SEED, required=True, science=False, packable=True),
    Key("replicas", whole(1), required=True, science=False, packable=True),
    aside("name", packable=True),
    aside("block", whole(1), required=True),
    aside("threads", whole(1, optional=True), required=True),
    aside("overwrite", FLAG),
    Key("recurrence", NAME, required=True, resumable=True),
    aside("resume", DIRECTORY, required=True),
    Key("success.max_error", FRACTION, required=True),
    Key("success.check_every", whole(1), required=True),
    Key("success.sequences", whole(1), required=True),
    Key("success.leave", FLAG),
    # what is learned
    Key("task._target_", required=True),
    Key("task.name", required=True),
    Key("task.length", whole(1), required=True, packable=True),
    Key("task.max_length", whole(1, optional=True), required=True, packable=True),
    Key("task.batch_size", whole(1), required=True),
    Key("task.stretch", FROM_ZERO),
    Key("task.loss", choice("cross_entropy", "hinge")),
    Key("task.positions", choice("pascanu", "galvan"), packable=True),
    Key("task.criterion", choice("squared", "absolute")),
    Key("task.window", whole(1)),
    Key("task.discount", BELOW_ONE),
    Key("task.target", choice("hold", "greedy")),
    Key("task.noise", FROM_ZERO),
    Key("task.drift", FROM_ZERO),
    Key("task.frequencies", PAIR),
    Key("task.signs", PAIR),
    Key("task.decimals", whole(0, optional=True)),
    Key("task.predict", choice("first", "every")),
    Key("task.values", whole(1)),
    Key("task.items", whole(1)),
    Key("task.path", FILE),
    Key("task.characters", whole(1, optional=True)),
    Key("task.symbols", whole(2)),
    Key("task.patient", NAME),
    Key("task.time", NAME),
    Key("task.outcome", NAME),
    Key("task.cohort", PATIENTS),
    Key("task.observation", above_zero(optional=True)),
    Key("task.prediction", above_zero(optional=True)),
    Key("task.weighted", FLAG),
    Key("task.folds", whole(2)),
    Key("task.fold", whole(0), packable=True),
    Key("task.data_seed", SEED),
    Key("task.shuffled", FLAG, packable=True),
    # what learns
    Key("cell._target_", required=True),
    Key("cell.name", required=True, packable=True),
    Key("cell.hidden_size", whole(1), required=True),
    Key("cell.activation", choice("tanh", "sigmoid", "relu", "elu", "identity"), packable=True),
    Key("cell.std", above_zero(), packable=True),
    Key("cell.connections", whole(1, optional=True), packable=True),
    Key("cell.side", choice("outgoing", "incoming"), packable=True),
    Key("cell.spectral_radius", above_zero(optional=True), packable=True),
    Key("cell.forget_bias", NUMBER_OR_NULL, packable=True),
    Key("cell.layers", whole(1)),
    Key("cell.dense", whole(0)),
    Key("cell.dense_size", whole(1, optional=True)),
    Key("cell.noise", FROM_ZERO),
    Key("cell.learned", choice("all", "readout")),
    Key("cell.start", packable=True),
    Key("cell.start.std", above_zero()),
    Key("cell.start.scale", above_zero()),
    Key("cell.start.gain", above_zero()),
    Key("cell.dropout", BELOW_ONE),
    # how it learns
    Key("optimizer.name", required=True, packable=True),
    Key("optimizer.lr", above_zero(), required=True, packable=True),
    Key("optimizer.half_life", above_zero(optional=True), packable=True),
    Key("optimizer.momentum", BELOW_ONE_OR_NULL),
    Key("optimizer.clip", above_zero(optional=True), required=True, packable=True),
    Key("optimizer.alpha", FROM_ZERO, required=True, packable=True),
    Key("optimizer.alpha_decay", FROM_ZERO_OR_NULL, packable=True),
    Key("optimizer.omega", choice("squared", "plain"), packable=True),
    Key("optimizer.l1", FROM_ZERO_OR_NULL, packable=True),
    Key("optimizer.l2", FROM_ZERO_OR_NULL, packable=True),
    Key("optimizer.penalised", choice("W", "all", optional=True)),
    Key("optimizer.psi", above_zero(optional=True), packable=True),
    Key("optimizer.tiny", above_zero(optional=True), packable=True),
    Key("optimizer.beta", choice("exponential", "uniform")),
    Key("optimizer.descent", FLAG),
    Key("optimizer.damping", above_zero()),
    Key("optimizer.structural", FROM_ZERO),
    Key("optimizer.curvature", whole(1)),
    Key("optimizer.iterations", whole(1)),
    Key("optimizer.progress", above_zero()),
    Key("optimizer.decay", BELOW_ONE),
    Key("optimizer.direction", required=True),
    Key("optimizer.solver"),
    # Lightning's Trainer
    Key("trainer.max_steps", whole(1), required=True, resumable=True),
    Key("trainer.max_epochs", whole(1, optional=True), required=True, resumable=True),
    aside("trainer.accelerator", choice("cpu", "gpu", "cuda", "auto"), required=True),
    Key("trainer.devices", ONE_DEVICE),
    Key("trainer.precision", choice("32-true")),
    # what happens around the updates
    Key("callbacks.clipping", required=True),
    Key("callbacks.success", required=True),
    aside("callbacks.recorder", required=True),
    aside("callbacks.recorder.seconds", FROM_ZERO),
    aside("callbacks.interrupt", required=True),
    aside("callbacks.progress"),
    aside("callbacks.figure"),
    aside("callbacks.metrics"),
    aside("callbacks.metrics.every", whole(1)),
    aside("callbacks.metrics.curves", whole(0)),
    aside("callbacks.diagnostics"),
    aside("callbacks.diagnostics.every", whole(1, optional=True)),
    aside("callbacks.diagnostics.sequences", whole(1)),
    aside("callbacks.diagnostics.seconds", FROM_ZERO),
    Key("callbacks.truncated_bptt", packable=True),
    Key("callbacks.truncated_bptt.parts", COUNTS),
    Key("callbacks.truncated_bptt.patience", whole(1, optional=True)),
    Key("callbacks.truncated_bptt.steps", whole(1, optional=True)),
    # how lengths grow
    Key("curriculum", packable=True),
    Key("curriculum.first", whole(1, optional=True)),
    Key("curriculum.growth", ABOVE_ONE),
    Key("curriculum.search", ABOVE_ONE_OR_NULL),
    Key("curriculum.patience", whole(1)),
    Key("curriculum.fallback", choice("back", "stay")),
    Key("curriculum.mixing", SHARE),
    Key("curriculum.exponent", FROM_ZERO),
    Key("curriculum.reference", whole(1, optional=True)),
    aside("logger"),
)
"""Every key that the program knows. A key that is not here is the user's own: a result depends on it."""

TABLE = {key.name: key for key in KEYS}
RULES = {key.name: key.rule for key in KEYS if key.rule is not None}
REQUIRED = [key.name for key in KEYS if key.required]


def leaves(cfg: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a configuration without Hydra's own part.

    Args:
        cfg: a configuration, or the plain dictionary of one. Interpolations stay as they are written.
        prefix: what the keys begin with.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=False) if isinstance(cfg, DictConfig) else cfg
    for key, value in plain.items():
        if not prefix and key == "hydra" and value:
            continue
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def belongs(key: str, part: str) -> bool:
    """Whether a dotted key is this part of the configuration or lies below it."""
    return key == part or key.startswith(f"{part}.")


def rows(key: str) -> list[Key]:
    """Rows of the table that hold for a dotted key: its own and those of the parts that it lies in."""
    parts = key.split(".")
    names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return [TABLE[name] for name in names if name in TABLE]


@cache
def is_science(key: str) -> bool:
    """Whether the result of a replica of a given seed depends on this key."""
    return all(row.science for row in rows(key))


def is_resumable(key: str) -> bool:
    """Whether this key may change when a run goes on."""
    return any(row.resumable for row in rows(key))


def is_packable(key: str) -> bool:
    """Whether this key may differ between replicas that train as one population."""
    return any(row.packable for row in rows(key))


OWN = ("src.", "tasks.")
"""What the names of this program's classes begin with: they may move, and other keys say which is meant."""


def science(cfg: Any) -> dict[str, Any]:
    """Keys and values that the result of a replica of a given seed depends on, sorted by key.

    This program's own class names are left out, and so is what only repeats another key. Lists become text, so that
    values can be compared and counted.
    """
    found: dict[str, Any] = {}
    for key, value in leaves(cfg):
        own_class = key.endswith("_partial_") or (key.endswith("_target_") and str(value).startswith(OWN))
        repeats = str(value).startswith("${")
        if is_science(key) and not own_class and not repeats:
            found[key] = str(value) if isinstance(value, list) else value
    return dict(sorted(found.items()))
