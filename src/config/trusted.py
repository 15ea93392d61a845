"""Which classes a *saved* configuration may name: whoever reads a directory that others made runs no code of theirs."""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

from src.config.errors import ConfigurationError, first_line

OURS = ("src", "tasks", "torch.optim", "pytorch_lightning.loggers", "pytorch_lightning.callbacks")
"""Packages whose classes may be named."""


_imported: set[str] = set()
"""Modules that the user named."""


def import_modules(names: Iterable[str]) -> None:
    """Imports modules that the user named: all classes there may be named too.

    Raises:
        ConfigurationError: a module that cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
            _imported.add(name)
        except Exception as error:  # whatever a user's module raises
            problem = f"--module {name}: {first_line(error)}; a module of your own needs PYTHONPATH"
            raise ConfigurationError([problem]) from error


def untrusted(config: Any, importing: bool = False) -> list[str]:
    """Classes in a saved configuration that are neither ours nor made from ours in a module that is imported already.

    Args:
        config: the configuration or a part of it.
        importing: whether modules may be imported to see what is there; all classes but Python's own are then right.
    """
    plain = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    return sorted(name for name in set(_named(plain)) if not _is_trusted(name, importing))


def _named(node: Any) -> Iterator[str]:
    """Every class that is named anywhere in plain dictionaries and lists."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _named(part)


def distrust(name: str) -> str:
    """What may be done about a class of this name, if it can be trusted."""
    module = name.rpartition(".")[0]
    return f", which is none of ours; if you trust it, name its module (src.evaluate: --module {module})"


def _is_trusted(name: str, importing: bool) -> bool:
    module = name.rpartition(".")[0]
    is_name = re.fullmatch(r"[A-Za-z_][\w.]*", name) is not None  # and no reference to another key
    if not is_name or not (importing or _is_ours(module) or module in sys.modules):
        return False
    try:
        found = get_object(name)
    except Exception:  # it is not there: whoever asks for it says so
        return importing or _is_ours(module)
    if not isinstance(found, type):
        return False
    of_python = found.__module__.partition(".")[0] in sys.stdlib_module_names
    if found.__module__ in _imported or (importing and not of_python):
        return True
    return any(_is_ours(base.__module__) for base in found.__mro__)


def _is_ours(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in OURS)
