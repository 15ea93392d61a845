"""python tools/golden.py OUT.json [--recurrence fused] [--threads 1]: a digest of what small runs compute.

Run it in two checkouts and compare the files: `python tools/golden.py --compare OLD.json NEW.json`. Equal digests prove
that a change of the code changed no bit of any result. Every cell, method and task is combined with every other; then
come the settings in which replicas leave, diverge, are resumed or have lengths of their own.

A digest covers the parameters of all replicas, results.csv and history.csv without their seconds, and the diagnostics.
"""

import argparse
import hashlib
import itertools
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

sys.path.insert(0, os.getcwd())  # the checkout in which this is run, wherever this file lies

SMALL = [
    "replicas=3",
    "seed=5",
    "block=4",
    "cell.hidden_size=13",
    "task.batch_size=6",
    "success.check_every=5",
    "success.sequences=60",
    "logger=none",
    "callbacks.metrics.every=3",
    "callbacks.diagnostics.every=1",
    "callbacks.diagnostics.sequences=2",
]
STREAM = ["task.length=12", "trainer.max_steps=12"]
EPOCHS = [
    "task.length=40",
    "trainer.max_epochs=4",
    "callbacks.truncated_bptt.parts=[3,1]",
    "callbacks.truncated_bptt.patience=1",
]

SPECIAL = {
    "leave": ["success.max_error=0.7", "trainer.max_steps=40"],
    "leave, adam": ["optimizer=adam", "success.max_error=0.7", "trainer.max_steps=40"],
    "leave, lstm": ["cell=lstm", "success.max_error=0.7", "trainer.max_steps=40"],
    "lengths": ["task.max_length=31", "trainer.max_steps=20"],
    "lengths, lstm": ["task.max_length=31", "cell=lstm", "trainer.max_steps=20"],
    "lengths, simplex": ["task.max_length=31", "optimizer=simplex", "trainer.max_steps=20"],
    "lengths, layers": ["task.max_length=31", "cell.layers=2", "++cell.dense=1", "++cell.noise=0.1"],
    "lengths, gru": ["task.max_length=31", "cell=gru", "optimizer=msgd_c", "trainer.max_steps=20"],
    "stretch": ["task=addition", "task.stretch=0.5", "task.length=20"],
    "hessian-free": ["optimizer=hessian_free", "optimizer.curvature=4", "task.max_length=31"],
    "plain": ["optimizer.omega=plain", "trainer.max_steps=30"],
    "diverge": ["optimizer=msgd", "optimizer.lr=1e9", "trainer.max_steps=40"],
    "diverge, adam": ["optimizer=adam", "optimizer.clip=null", "optimizer.lr=1e12", "trainer.max_steps=40"],
    "shrink": ["cell.activation=identity", "cell.spectral_radius=40", "trainer.max_steps=30"],
    "relu": ["cell.activation=relu", "trainer.max_steps=30"],
    "elu": ["cell.activation=elu", "trainer.max_steps=30"],
    "one replica": ["replicas=1", "trainer.max_steps=30"],
    "eight replicas": ["replicas=8", "trainer.max_steps=30"],
    "37 units": ["cell.hidden_size=37", "task.length=50", "task.batch_size=20"],
    "50 units": ["cell.hidden_size=50", "task.length=50", "task.batch_size=20"],
    "every symbol": ["task=permutation", "++task.predict=every"],
    "simplex, descent": ["optimizer=simplex_switching", "optimizer.descent=true", "optimizer.beta=uniform"],
    "long blocks": ["block=50", "trainer.max_steps=120", "success.check_every=50"],
}
FIXED = {
    "whole": ["callbacks.truncated_bptt.parts=[1]", "callbacks.truncated_bptt.patience=null"],
    "steps": ["callbacks.truncated_bptt.steps=7", "callbacks.truncated_bptt.patience=null"],
    "stages": ["callbacks.truncated_bptt.parts=[8,4,1]", "trainer.max_epochs=12"],
    "stages, adam": ["optimizer=adam", "callbacks.truncated_bptt.parts=[8,4,1]", "trainer.max_epochs=12"],
    "diverge": ["optimizer=msgd", "optimizer.lr=1e9"],
    "layers": ["cell=dense_lstm", "optimizer=adam", "optimizer.clip=1", "cell.dense_size=9"],
}
RESUMED = {
    "resumed": [],
    "resumed, adam": ["optimizer=adam"],
    "resumed, leaving": ["success.max_error=0.7"],
    "resumed, simplex": ["optimizer=simplex"],
    "resumed, lstm": ["cell=lstm"],
}


def names(group: str) -> list[str]:
    """Choices of a group of configuration."""
    return sorted(file.stem for file in Path("conf", group).glob("*.yaml"))


def settings() -> dict[str, list[list[str]]]:
    """Overrides by name; of two lists the second one goes on with the first one's run."""
    found = {}
    for task, cell, optimizer in itertools.product(*map(names, ("task", "cell", "optimizer"))):
        own = EPOCHS if task.startswith("price") else STREAM
        found[f"{task} {cell} {optimizer}"] = [[*SMALL, f"task={task}", f"cell={cell}", f"optimizer={optimizer}", *own]]
    for name, overrides in SPECIAL.items():
        found[name] = [[*SMALL, *STREAM, *overrides]]
    for name, overrides in FIXED.items():
        found[f"price, {name}"] = [[*SMALL, "task=price", *EPOCHS, *overrides]]
    for name, overrides in RESUMED.items():
        found[name] = [[*SMALL, *STREAM, *overrides, f"trainer.max_steps={steps}"] for steps in (13, 40)]
    return found


def digest(directory: Path) -> str:
    """Of a run's parameters, tables and diagnostics; columns in which nothing stands may have come later."""
    import numpy as np
    import pandas as pd

    from src.trained import load_population

    found = hashlib.sha256()
    for name, p in sorted(load_population(directory).network.named_parameters()):
        found.update(name.encode() + p.detach().numpy().tobytes())
    for table in ("results.csv", "history.csv"):
        columns = pd.read_csv(directory / table, dtype=str).drop(columns="seconds").dropna(axis="columns", how="all")
        found.update(columns.to_csv(index=False).encode())
    if (directory / "diagnostics.npz").exists():
        for name, array in sorted(np.load(directory / "diagnostics.npz").items()):
            found.update(name.encode() + array.tobytes())
    return found.hexdigest()[:24]


def outcome(stages: list[list[str]], common: list[str]) -> str:
    """Digest of one setting, or the problems for which it is refused."""
    import hydra

    from src.config import ConfigurationError
    from src.run import run

    with tempfile.TemporaryDirectory() as folder:
        before: list[str] = []
        for number, overrides in enumerate(stages):
            directory = Path(folder) / str(number)
            try:
                run(hydra.compose("train", [*overrides, *common, *before]), directory)
            except ConfigurationError as problem:
                return f"refused: {problem}"
            before = [f"resume={directory}"]
        return digest(directory)


def compare(old: dict[str, str], new: dict[str, str]) -> int:
    """Prints the settings that differ; returns how many there are."""
    different = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    for name in sorted(different):
        print(f"{name}: {old.get(name)} / {new.get(name)}")
    refused = sum(value.startswith("refused") for value in new.values())
    print(f"{len(new) - len(different)} of {len(old.keys() | new.keys())} equal, {refused} of them refused")
    return len(different)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="completed, if it is there")
    parser.add_argument("--recurrence", default="fused")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--every", type=int, default=1, help="each so many-th setting only")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"))
    arguments = parser.parse_args()
    if arguments.compare:
        raise SystemExit(compare(*(json.loads(file.read_text()) for file in arguments.compare)) > 0)
    import hydra

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    common = [f"recurrence={arguments.recurrence}", f"threads={arguments.threads}"]
    chosen = [(name, stages) for name, stages in settings().items() if arguments.only in name][:: arguments.every]
    known = arguments.out is not None and arguments.out.exists()  # of a run that did not come to its end
    found: dict[str, str] = json.loads(arguments.out.read_text()) if known else {}
    started = time.perf_counter()
    with hydra.initialize_config_dir(str(Path("conf").resolve()), version_base="1.3"):
        for name, stages in chosen:
            if name in found:
                continue
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                found[name] = outcome(stages, common)
            if arguments.out:
                arguments.out.write_text(json.dumps(found, indent=0))
    print(f"{len(found)} settings in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
