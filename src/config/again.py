"""The command line that goes on with what ``resume=DIR`` names: Hydra left the overrides of runs and sweeps there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from src.config.errors import ConfigurationError, first_line
from src.rundir import RunDirectory

RUN_OVERRIDES = Path(".hydra") / "overrides.yaml"
RUN_SETTINGS = Path(".hydra") / "hydra.yaml"
SWEEP_SETTINGS = Path("multirun.yaml")
ONCE = ("hydra.run.dir", "hydra.sweep.dir", "hydra.mode", "resume", "overwrite")
"""Keys that are not repeated: where a run writes comes from DIR."""

KEPT = ("hydra/launcher", "hydra/sweeper", "hydra.launcher.", "hydra.sweeper.", "hydra.searchpath", "hydra.job.")
"""What is repeated of Hydra's own keys: nothing by which a directory of somebody else's could run its own code."""

LAUNCHER = "hydra/launcher"
"""The group that says where the jobs of a sweep run."""


def is_override(argument: str) -> bool:
    """Whether a word of the command line is an override, and not a flag of Hydra's or its value."""
    return ("=" in argument or argument[:1] in ("+", "~")) and not argument.startswith("--")


def key_of(override: str) -> str:
    """The key or group that an override sets."""
    return override.split("=", 1)[0].lstrip("+~")


def quoted(path: str | Path) -> str:
    """A path as the value of an override, whatever characters it has."""
    text = str(path).replace("'", "\\'")
    return f"'{text}'"


def continued(arguments: Sequence[str]) -> list[str]:
    """The arguments with the overrides that the run or sweep in ``resume=DIR`` had, so that they need not be repeated.

    Overrides that are given win; :mod:`src.config.resume` refuses those that may not change. A run goes on in DIR. Of a
    sweep finished jobs are passed over, others go on or begin. Without ``resume``, or where nothing is in DIR, the
    arguments are returned as they are.
    """
    given = {key_of(argument): argument for argument in arguments if is_override(argument)}
    directory = _directory(given.get("resume", "resume=null"))
    if directory is None:
        return list(arguments)
    arguments = [f"resume={quoted(directory)}" if text == given["resume"] else text for text in arguments]
    run = RunDirectory(directory)
    sweep = not ((directory / RUN_SETTINGS.parent).is_dir() or run.config_file.is_file() or run.has_checkpoint)
    left = [run.command_file, directory / RUN_SETTINGS, directory / SWEEP_SETTINGS]
    if not any(file.is_file() for file in left):
        return list(arguments)
    if given.get("overwrite") is not None:
        raise ConfigurationError([f"{given['overwrite']}: resume goes on with what is there; leave it out"])
    task, of_hydra, own_folder = _left(directory, sweep)
    if sweep:
        where = [f"hydra.sweep.dir={quoted(directory)}", "hydra.mode=MULTIRUN"]
        rest = [argument for argument in arguments if key_of(argument) != "resume"]
    else:
        where = [f"hydra.run.dir={quoted(directory)}", "hydra.mode=RUN"]
        rest = list(arguments)
    of_hydra = [text for text in of_hydra if text.startswith(KEPT) and "_target_" not in text]
    before = [text for text in (*task, *of_hydra) if key_of(text) not in ONCE]
    if LAUNCHER in given and given[LAUNCHER] not in before:  # keys of another launcher mean nothing to it
        before = [text for text in before if not key_of(text).startswith("hydra.launcher.")]
    placed = [given.get(key_of(text), text) for text in before]  # in its place: the order of a sweep's jobs is theirs
    known = {key_of(text) for text in placed}
    rest = [argument for argument in rest if not (is_override(argument) and key_of(argument) in known)]
    if any(argument.split("=")[0] in ("--config-dir", "-cd") for argument in arguments):
        own_folder = []
    return [*own_folder, *placed, *rest, *where]


def _left(directory: Path, sweep: bool) -> tuple[list[str], list[str], list[str]]:
    """What Hydra left of a run or a sweep: overrides, those of its own keys, the flag for the user's own folder.

    Raises:
        ConfigurationError: it cannot be read.
    """
    file = RunDirectory(directory).command_file
    try:
        if file.is_file():
            known = OmegaConf.load(file)
            return _texts(known.overrides), _texts(known.hydra), _texts(known.own_folder)
        file = directory / (SWEEP_SETTINGS if sweep else RUN_SETTINGS)
        command = command_of(OmegaConf.load(file).hydra)
        if not sweep:
            file = directory / RUN_OVERRIDES
            command["overrides"] = _texts(OmegaConf.load(file))
    except Exception as error:  # whatever a damaged file leads to
        problem = f"resume={directory}: {file} cannot be read: {first_line(error)}"
        raise ConfigurationError([f"{problem}; restore it from a copy"]) from error
    return command["overrides"], command["hydra"], command["own_folder"]


def command_of(settings: Any) -> dict[str, list[str]]:
    """What must be repeated to go on: overrides, those of Hydra's own keys, the flag for the user's own folder.

    Args:
        settings: Hydra's own part of a configuration.
    """
    found = {part: _texts(settings.overrides[part]) if part in settings.overrides else [] for part in ("task", "hydra")}
    return {"overrides": found["task"], "hydra": found["hydra"], "own_folder": _own_folder(settings)}


def _directory(override: str) -> Path | None:
    """The value of ``resume=DIR``; None where there is none or it cannot be read: Hydra will say why.

    A directory that is there need not be quoted, though its name has characters that mean something to Hydra.
    """
    typed = override.split("=", 1)[1]
    if typed and Path(typed).is_dir():
        return Path(typed)
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException:
        return None
    return Path(value) if isinstance(value, str) else None


def _own_folder(settings: Any) -> list[str]:
    """The flag for the user's own folder of configuration, if there was one."""
    for source in settings.runtime.config_sources:
        if source.provider == "command-line":
            return ["--config-dir", str(source.path)]
    return []


def _texts(node: Any) -> list[str]:
    """A list of overrides as plain text."""
    texts: Any = OmegaConf.to_container(node, resolve=False)
    if not isinstance(texts, list):
        raise ValueError("no list of overrides")
    return [str(text) for text in texts]
