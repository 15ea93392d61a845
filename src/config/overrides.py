"""Explains overrides that Hydra refuses: every one of them, with near misses."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.config.errors import first_line, near
from src.config.keys import RULES, leaves

CONF = Path(__file__).resolve().parents[2] / "conf"
REFUSED_BY_HYDRA = (HydraException, OmegaConfBaseException)


def diagnose(texts: Iterable[str], error: Exception) -> list[str]:
    """Names every unknown group, choice and key among the overrides, with near misses; else what Hydra said.

    Args:
        texts: overrides as they were typed.
        error: what Hydra raised.
    """
    overrides, problems = parse(texts)
    with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        groups = known_groups()
        chosen = Choices(overrides, groups)
        keys = chosen.keys()
    problems += chosen.problems
    for override in overrides:
        problems += key_problems(override, keys, groups)
    if not problems and str(error).startswith("Ambiguous value"):
        problems.append("several values for one key are a sweep: add -m")
    return problems or [first_line(error)]


def parse(texts: Iterable[str]) -> tuple[list[Override], list[str]]:
    """The overrides that can be read, and one problem for each of the others."""
    parser = OverridesParser.create()
    overrides = []
    problems = []
    for text in texts:
        try:
            overrides.append(parser.parse_override(text))
        except HydraException as unreadable:
            problems.append(f"{text}: cannot be read: {first_line(unreadable)}")
    return overrides, problems


def own_folder() -> Path | None:
    """The user's own folder of configuration: Hydra's --config-dir."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    folder: Path | None = parser.parse_known_args()[0].config_dir
    return None if folder is None else folder.resolve()


def known_groups() -> dict[str, list[str]]:
    """Choices of each configuration group, the user's own included. Hydra must be set up."""
    loader: ConfigLoader = GlobalHydra.instance().config_loader()
    groups = {name: loader.get_group_options(name) for name in loader.list_groups("") if name != "hydra"}
    folder = own_folder()
    if folder is not None:
        for file in folder.glob("*/*.yaml"):
            groups[file.parent.name] = [*groups.get(file.parent.name, []), file.stem]
    return groups


class Choices:
    """Which files of the configuration groups some overrides choose.

    Args:
        overrides: as Hydra reads them.
        groups: choices of each group.
    """

    def __init__(self, overrides: Iterable[Override], groups: dict[str, list[str]]) -> None:
        folder = own_folder()
        self.fixed = [] if folder is None else [f"hydra.searchpath=['file://{folder}']"]
        self.swept: list[str] = []
        self.problems: list[str] = []
        for override in overrides:
            if override.key_or_group in groups:
                self._choose(override, groups[override.key_or_group])

    def _choose(self, override: Override, known: list[str]) -> None:
        chosen = self.swept if override.is_sweep_override() else self.fixed
        for value in values(override):
            choice = f"{override.key_or_group}={value}"
            if value is None:
                self.problems.append(f"{override.key_or_group}=null: a group needs a choice")
            elif str(value) in known:
                chosen.append(choice)
            else:
                hint = near(str(value), known)
                self.problems.append(f"{choice}: no such choice{hint}; there are {', '.join(known)}")

    def keys(self) -> set[str]:
        """All dotted keys of what is chosen; a sweep's jobs have those of their own choices too."""
        if not self.swept:
            return all_keys(hydra.compose("train", overrides=self.fixed))
        found: set[str] = set()
        for choice in self.swept:
            found |= all_keys(hydra.compose("train", overrides=[*self.fixed, choice]))
        return found


def all_keys(cfg: DictConfig) -> set[str]:
    """All dotted keys of a configuration, those of inner nodes too."""
    found = set()
    for key, _ in leaves(cfg):
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            found.add(".".join(parts[:count]))
    return found


def key_problems(override: Override, keys: set[str], groups: dict[str, list[str]]) -> list[str]:
    """What is wrong with the key of an override, or with its values."""
    key = override.key_or_group
    adds_or_removes = override.is_add() or override.is_delete() or override.is_force_add()
    known = adds_or_removes or key in groups or key in keys or key.startswith("hydra")
    if not known:
        hint = "; other choices have it" if key in RULES else _hint(key, [*keys, *groups])
        return [f"{key}: no such key{hint}"]
    if key not in RULES:
        return []
    found = [RULES[key].problem(key, value) for value in values(override)]
    return [problem for problem in found if problem is not None]


def _hint(key: str, known: Sequence[str]) -> str:
    """A hint at the key that ends like this one, or is most like it."""
    longer = sorted(name for name in known if name.endswith(f".{key}"))
    return f"; did you mean {' or '.join(longer)}?" if longer else near(key, known)


def values(override: Override) -> list[Any]:
    """All values that an override gives its key: several in a sweep."""
    if override.is_sweep_override():
        return list(override.sweep_iterator())
    return [override.value()]
