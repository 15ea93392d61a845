"""Explains overrides that Hydra refuses: every one of them, with near misses."""

import argparse
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.config import RULES, first_line, leaves, near

CONF = Path(__file__).resolve().parent.parent / "conf"
REFUSED_BY_HYDRA = (HydraException, OmegaConfBaseException)


def diagnose(overrides: list[str], error: Exception) -> list[str]:
    """Names every unknown group, choice and key among the overrides, with near misses; else what Hydra said."""
    parsed, problems = [], []
    for text in overrides:
        try:
            parsed.append(OverridesParser.create().parse_override(text))
        except HydraException as unreadable:
            problems.append(f"{text}: cannot be read: {first_line(unreadable)}")
    with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = {name: loader.get_group_options(name) for name in loader.list_groups("") if name != "hydra"}
        fixed: list[str] = []
        if (own := own_folder()) is not None:
            fixed.append(f"hydra.searchpath=['file://{own}']")
            for file in own.glob("*/*.yaml"):
                groups[file.parent.name] = [*groups.get(file.parent.name, []), file.stem]
        swept: list[str] = []
        for override in parsed:
            if override.key_or_group in groups:
                known = groups[override.key_or_group]
                for value in map(str, _values(override)):
                    if value in (*known, "null"):
                        chosen = swept if override.is_sweep_override() else fixed
                        chosen.append(f"{override.key_or_group}={value}")
                    else:
                        problems.append(
                            f"{override.key_or_group}={value}: no such choice{near(value, known)}; "
                            f"there are {', '.join(known)}"
                        )
        keys: set[str] = set()
        for alternative in [[c] for c in swept] or [[]]:  # a sweep's jobs have the keys of their own choices
            keys |= _keys(hydra.compose("train", overrides=fixed + alternative))
        for override in parsed:
            key = override.key_or_group
            plain = not (override.is_add() or override.is_delete() or override.is_force_add())
            if plain and key not in groups and key not in keys and not key.startswith("hydra"):
                hint = "; other choices have it" if key in RULES else near(key, [*keys, *groups])
                problems.append(f"{key}: no such key{hint}")
            elif key in RULES:
                problems += [p for value in _values(override) if (p := RULES[key].problem(key, value)) is not None]
    if not problems and str(error).startswith("Ambiguous value"):
        problems.append("several values for one key are a sweep: add -m")
    return problems or [first_line(error)]


def own_folder() -> Path | None:
    """The user's own folder of configuration: Hydra's --config-dir."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    folder: Path | None = parser.parse_known_args()[0].config_dir
    return None if folder is None else folder.resolve()


def _keys(cfg: DictConfig) -> set[str]:
    """All dotted keys, those of inner nodes too."""
    found = set()
    for key, _ in leaves(cfg):
        parts = key.split(".")
        found |= {".".join(parts[: n + 1]) for n in range(len(parts))}
    return found


def _values(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return list(override.sweep_iterator())
    return [override.value()]
