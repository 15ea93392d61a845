"""report.html: what a sweep or a run has shown, on one page that needs no network."""

import base64
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from omegaconf import OmegaConf

from src.config.again import ONCE, key_of
from src.results.collect import Replica, by_config
from src.results.comparison import NAMED, differing, labels, paired
from src.results.missing import missing
from src.results.plots import against_length
from src.results.rates import middle_losses, success_rate
from src.results.reach import furthest, growing
from src.results.style import words
from src.rundir import DIVERGED, JOBS, PAGE, RunDirectory, figure_files, replaced, table_file

LARGE = 500_000
"""Bytes from which on a figure is shown as PNG: a browser would draw its lines for too long."""

PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy")

CAPTIONS = {
    "reach": "Left: the longest length that each replica has passed. Right: the share of them that passed each length.",
    "success_rate": "Share of replicas that learned the task, with Wilson's 95 % interval, against {against}.",
    "error": "Wrong sequences in each test against updates: a line per replica, a circle where it learned the task.",
    "learning": "Training loss against updates: a line per replica. Dotted: the loss of answers without memory.",
    "loss": "Training loss of each epoch: the median over replicas, and their range.",
}


def write_page(
    directory: Path, replicas: Sequence[Replica], figures: Sequence[str], sources: Sequence[Path] = ()
) -> None:
    """Writes report.html into the directory of a sweep, or of a run.

    Args:
        directory: where its tables and figures are.
        replicas: all of them.
        figures: stems of the figures that were drawn.
        sources: the directories that the replicas are from, if it is another one.

    Raises:
        OSError: it cannot be written.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    configs = [dict(config) for config in by_config(replicas)]
    table = rows(replicas)
    text = environment.get_template("page.html.jinja").render(
        title=directory.resolve().name,
        question=question(replicas),
        paired=paired(replicas),
        figures=[(name, caption(name, replicas), picture(directory, name)) for name in CAPTIONS if name in figures],
        rows=table,
        columns=[name for name in ("task", "cell", "length", "method") if len({row[name] for row in table}) > 1],
        graded=any(replica.graded for replica in replicas),
        losses=not all(replica.graded for replica in replicas),
        grow=bool(growing(replicas)),
        same=same(configs),
        commands=commands(directory, sources or [directory]),
        missing=missing(sources or [directory]),
        versions=versions(),
        written=f"{datetime.now():%Y-%m-%d %H:%M}",
    )
    with replaced(directory / PAGE) as partial:
        partial.write_text(text)


def caption(name: str, replicas: Sequence[Replica]) -> str:
    """What a figure shows."""
    return CAPTIONS[name].format(against="length in steps" if against_length(replicas) else "updates")


def question(replicas: Sequence[Replica]) -> str:
    """What was asked, in a sentence."""
    found = {name: _values(replicas, name) for name in ("task", "length", "cell", "optimizer")}
    tasks = " and ".join(words(name) for name in found["task"])
    lengths = _listed([f"{length:,}" for length in found["length"]])
    cells = _listed([words(name) for name in found["cell"]])
    methods = _listed(found["optimizer"])
    counts = sorted({len(alike) for alike in by_config(replicas).values()})
    each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if not any(replica.graded for replica in replicas):
        return (
            f"How small does the loss become on {tasks} of {lengths} steps? {cells}; {methods}; {each} replicas each."
        )
    asked = f"How often does a recurrent network learn {tasks} over {lengths} steps?"
    return f"{asked} Start or cell: {cells}. Method: {methods}. {each} replicas of each."


def _values(replicas: Sequence[Replica], column: str) -> list[Any]:
    """The different values of a column, sorted."""
    return sorted({replica.outcome[column] for replica in replicas})


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    if len(names) < 3:
        return " and ".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def picture(directory: Path, name: str) -> str:
    """A figure as a part of the page: its SVG, or its PNG where that would be too much for a browser."""
    png, svg = figure_files(directory, name)
    if svg.stat().st_size <= LARGE:
        text = svg.read_text()
        drawing = text[text.index("<svg") :]
        return _own_names(re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL), name)
    code = base64.b64encode(png.read_bytes()).decode()
    return f'<img alt="{name}" src="data:image/png;base64,{code}">'


def _own_names(drawing: str, name: str) -> str:
    """The drawing with names of its parts that no other drawing of the page has."""
    for attribute in ('id="', 'xlink:href="#', "url(#"):
        drawing = drawing.replace(attribute, f"{attribute}{name}-")
    return drawing


def rows(replicas: Sequence[Replica]) -> list[dict[str, Any]]:
    """One row per configuration: what came of its replicas, and what is known of their networks."""
    names = labels(replicas)
    found = []
    for config, alike in by_config(replicas).items():
        outcomes = [replica.outcome for replica in alike]
        first = outcomes[0]
        row = {"task": words(first["task"]), "cell": words(first["cell"]), "length": first["length"]}
        row |= {"method": names[config], "graded": alike[0].graded, "all": len(alike)}
        row |= success_rate(alike) if alike[0].graded else {"test_loss": middle_losses(alike)["test_loss"]}
        row["diverged"] = sum(outcome["status"] == DIVERGED for outcome in outcomes)
        row["reached"] = reached(growing(alike))
        for column in ("updates", "spectral_radius"):
            row[column] = _median([outcome.get(column) for outcome in outcomes])
        found.append(row)
    return sorted(found, key=lambda row: (row["task"], row["cell"], row["method"], row["length"]))


def reached(replicas: Sequence[Replica]) -> str:
    """The longest length that each replica passed: the median, the least and the largest; empty where none grow."""
    lengths = [furthest(replica, replica.outcome["updates"]) for replica in replicas]
    return f"{np.median(lengths):,.0f} ({min(lengths):,}–{max(lengths):,})" if lengths else ""


def _median(values: Sequence[Any]) -> float:
    """Of those that are known; NaN: none is."""
    known = [float(value) for value in values if value is not None and not pd.isna(value)]
    return float(np.median(known)) if known else float("nan")


def same(configs: Sequence[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Keys that have one value in all configurations."""
    different = {*differing([tuple(config.items()) for config in configs]), *NAMED}  # type: ignore[misc]
    return [(key, "null" if value is None else value) for key, value in configs[0].items() if key not in different]


def commands(directory: Path, sources: Sequence[Path]) -> list[tuple[str, str]]:
    """How to make it again, where that is known, and the tables alone."""
    found = []
    try:
        known = OmegaConf.load(RunDirectory(directory).command_file)
        flags = ["-m"] if table_file(directory, JOBS).is_file() else []
        typed = [*known.own_folder, *flags, *known.overrides, *known.hydra]
        kept = [text for text in typed if key_of(text) not in ONCE]
        found.append(("the same again", shlex.join(["python", "-m", "src.train", *kept])))
    except Exception:  # a folder of several sweeps, or of files that others wrote
        pass
    anew = ["python", "-m", "src.curves", *map(str, sources)]
    if list(sources) != [directory]:
        anew += ["--out", str(directory)]
    found.append(("tables, figures and this page anew", shlex.join(anew)))
    return found


def versions() -> list[tuple[str, str]]:
    """Of what wrote the page: this program's commit, where it is a checkout, and what it is built on."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = ""
    packages = [("Python", platform.python_version()), *((name, version(name)) for name in PACKAGES)]
    return [("commit", commit), *packages] if commit else packages
