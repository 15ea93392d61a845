"""The process that runs commands, and what is left of a run, for comparison."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from src.population import checkpoint
from src.rundir import RunDirectory
from tests import commands
from tests.faults.server import Ended, Server


@pytest.fixture(scope="session")
def server():
    """One process for all tests; skipped where there is no C compiler for the shim."""
    found = commands.server()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def state(directory: Path) -> tuple[dict[str, torch.Tensor], list[pd.DataFrame]]:
    """Parameters and tables of a run, without its seconds."""
    run = RunDirectory(directory)
    tables = [pd.read_csv(file).drop(columns="seconds") for file in (run.results_file, run.history_file)]
    return checkpoint.read(run.checkpoint_file).parameters, tables


def differences(one: Path, other: Path) -> list[str]:
    """What two runs do not have in common, bit for bit."""
    parameters, tables = state(one)
    theirs, their_tables = state(other)
    found = [name for name in parameters if not torch.equal(parameters[name], theirs[name])]
    for name, mine, their in zip(("results", "history"), tables, their_tables, strict=True):
        if not mine.equals(their):
            found.append(name)
    return found


def go_on(server: Server, arguments: list[str], directory: Path, key: str = "hydra.run.dir") -> Ended:
    """Goes on with a run or a sweep, or starts it again where nothing was left to go on with."""
    left = RunDirectory(directory).has_checkpoint or (directory / "multirun.yaml").is_file()
    return server.run(f"resume={directory}") if left else server.run(*arguments, f"{key}={directory}")


def told(ended: Ended) -> list[str]:
    """Lines of errors, without what a run says of its progress."""
    return [line for line in ended.err.splitlines() if line.startswith("error: ")]
