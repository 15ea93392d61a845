"""What differs between configurations, and what the ones that are compared are called."""

from collections.abc import Iterable, Sequence
from typing import Any

from src.results.collect import Config, Replica, by_config

NAMED = ("task.name", "task.length", "task.max_length", "cell.name", "optimizer.name")
"""Keys that have a column of their own."""

BUDGETS = ("trainer.max_steps", "trainer.max_epochs")
"""Keys without which methods cannot be compared: where they differ they are always said."""

CURRICULUM = "curriculum."
"""What the keys of a curriculum begin with."""


def differing(configs: Iterable[Config]) -> list[str]:
    """Keys that differ between these configurations and have no column of their own, sorted."""
    known = [dict(config) for config in configs]
    keys: set[str] = set()
    for config in known:
        keys.update(config)
    found = []
    for key in sorted(keys - set(NAMED)):
        values = {config.get(key) for config in known}
        if len(values) > 1 and not _follows(key, known):
            found.append(key)
    return found


def _follows(key: str, configs: Sequence[dict[str, Any]]) -> bool:
    """Whether a class is what the names of cell and method stand for, so that it says nothing more."""
    if not key.endswith("_target_"):
        return False
    named = {tuple(config.get(name) for name in NAMED) for config in configs}
    return len(named) == len({(*(config.get(name) for name in NAMED), config.get(key)) for config in configs})


def labels(replicas: Sequence[Replica]) -> dict[Config, str]:
    """Names for the lines of configurations: the method, and what differs among those of its task and cell."""
    groups: dict[tuple[Any, ...], list[Config]] = {}
    for config in by_config(replicas):
        values = dict(config)
        group = values["task.name"], values["cell.name"], values["optimizer.name"]
        groups.setdefault(group, []).append(config)
    names = {}
    for (task, cell, method), configs in groups.items():
        compared = [config for group, own in groups.items() if group[:2] == (task, cell) for config in own]
        budgets = [key for key in differing(compared) if key in BUDGETS]
        keys = sorted({*differing(configs), *budgets})
        curricula = [config for config in configs if _has_curriculum(config)]
        if len(curricula) < len(configs):  # what a run without a curriculum lacks is said in a word
            of_curricula = differing(curricula)
            keys = [key for key in keys if not key.startswith(CURRICULUM) or key in of_curricula]
        lasts = {dict(config)["task.length"] for config in curricula if has_stages(config)}
        for config in configs:
            values = dict(config)
            name = " ".join([method, *_differences(values, keys)])
            if config in curricula and not has_stages(config) and len(curricula) < len(configs):
                name += " one stage"
            elif has_stages(config) and len(lasts) > 1:
                name += f" growing to {values['task.length']}"
            elif has_stages(config) and len(curricula) < len(configs):
                name += " growing"
            names[config] = name
    return names


def _has_curriculum(config: Config) -> bool:
    """Whether a configuration has one, of one stage or more."""
    return any(key.startswith(CURRICULUM) for key, _ in config)


def has_stages(config: Config) -> bool:
    """Whether the lengths of a configuration grow: its curriculum begins below the last length."""
    values = dict(config)
    first = values.get("curriculum.first")
    return first is not None and first != values.get("task.length")


def _differences(values: dict[str, Any], keys: Sequence[str]) -> list[str]:
    """The values of these keys in words, and the largest length if there is one."""
    told = [key for key in keys if key in values or not key.startswith(CURRICULUM)]
    words = [f"{key.split('.')[-1]}={_words(values.get(key))}" for key in told]
    if values.get("task.max_length") is not None:
        words.append(f"to {values['task.max_length']}")
    return words


def _words(value: Any) -> str:
    """A value as text; 4 and 4.0 are one value."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def paired(replicas: Sequence[Replica]) -> str:
    """What may be said of a comparison: that methods saw the same seeds on each task, length and cell, or nothing."""
    settings: dict[Config, list[set[int]]] = {}
    for config, alike in by_config(replicas).items():
        setting = Config((key, value) for key, value in config if key.startswith(("task.", "cell.")))
        seeds = {replica.outcome["seed"] for replica in alike}
        settings.setdefault(setting, []).append(seeds)
    for methods in settings.values():
        if len(methods) < 2 or any(seeds != methods[0] for seeds in methods):
            return ""
    seen = "starts" if any(has_stages(config) for config in by_config(replicas)) else "starts and data"
    return f"paired: for each task, length and cell, all methods saw the same {seen}"
