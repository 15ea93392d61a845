"""What the documents print works as printed: Python, commands, links; and they keep to their lengths."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import hydra
import pandas as pd
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from src import curves
from src.config import check
from src.config.evaluation import evaluation_configuration
from src.figures import __main__ as figures
from src.run import run
from src.trained import load_population
from tests.conftest import ROOT, compose
from tools.notebook import run_cells

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [
        *(ROOT / name for name in ("README.md", "REPRODUCTION.md", "CONTRIBUTING.md", "results/README.md")),
        *(ROOT / "docs").glob("*.md"),
    ]
)
TODAY = [page for page in PAGES if page == "README.md" or page.startswith("docs/")]
"""Pages whose commands are those of today's code; the others name the commit of each."""

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: .+? -->\s*$")
OWN_FILE = re.compile(r"`(mine/[\w/]+\.(?:py|yaml))`[^`\n]*:\s*$")
"""The end of a text whose next block holds the contents of that file."""

SMALL = ["trainer.max_steps=20", "success.sequences=100", "success.check_every=10", "cell.hidden_size=10"]


def read(page):
    return (ROOT / page).read_text()


def fenced(page):
    """Language, contents and the text before of each fenced block."""
    text = read(page)
    return [(found[1], found[2], text[: found.start()]) for found in FENCED.finditer(text)]


def prose(page):
    """A page without its fenced blocks."""
    return FENCED.sub("", read(page))


@pytest.fixture(scope="module")
def beside_a_run(tmp_path_factory):
    """A directory with a small trained run in runs/DIR."""
    folder = tmp_path_factory.mktemp("beside_a_run")
    run(compose("experiment=smoke"), folder / "runs" / "DIR")
    return folder


def commands(page):
    """Command lines of a page that begin with python -m or make, as words: of shell blocks and of code in the text."""
    lines = [line for language, code, _ in fenced(page) if language == "sh" for line in code.splitlines()]
    lines += [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose(page))]
    start = re.compile(r"(PYTHONPATH=mine )?(\.venv/bin/)?(python -m (src|bench)\.|python tools/|make\b)")
    return [shlex.split(line, comments=True) for line in lines if start.match(line)]


# -- Python ------------------------------------------------------------------------------------------------------------


def own_files(page):
    return {found[1]: code for _, code, before in fenced(page) if (found := OWN_FILE.search(before))}


def python_blocks(page):
    """Those that are run: neither contents of a file nor marked."""
    blocks = [(code, before) for language, code, before in fenced(page) if language == "python"]
    return [code for code, before in blocks if not (NOT_RUN.search(before) or OWN_FILE.search(before))]


@pytest.mark.parametrize("page", [page for page in TODAY if python_blocks(page)])
def test_python_runs_as_printed(page, beside_a_run, monkeypatch):
    """The blocks of a page one after the other, in one namespace, beside a trained run."""
    monkeypatch.chdir(beside_a_run)
    names = {"__name__": page}
    for number, code in enumerate(python_blocks(page), start=1):
        exec(compile(textwrap.dedent(code), f"{page}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", TODAY)
def test_no_block_is_left_out_without_a_reason(page):
    for language, code, before in fenced(page):
        if language == "python" and NOT_RUN.search(before):
            assert len(NOT_RUN.search(before)[0]) > len("<!-- not run: -->") + 10, code


# -- one's own files ---------------------------------------------------------------------------------------------------

EXTENDING = "docs/extending.md"


@cache
def own_choices():
    """The choices of group=choice of each printed command that uses mine/."""
    lines = [command for command in commands(EXTENDING) if "--config-dir" in command]
    chosen = [[word for word in command if re.fullmatch(r"(task|cell|optimizer)=\w+", word)] for command in lines]
    return [choice for choice in chosen if choice]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The files of the page, outside the package, where Python finds them."""
    for name, content in own_files(EXTENDING).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_the_listing_of_ones_own_files_is_right():
    (listing,) = (code for language, code, _ in fenced(EXTENDING) if language == "text")
    assert set(listing.split()) == set(own_files(EXTENDING))


@pytest.mark.parametrize("choice", own_choices(), ids=" ".join)
def test_a_task_a_cell_a_start_and_a_method_of_ones_own(choice, mine, tmp_path):
    """Each trains a few updates under its own name."""
    own = [f"hydra.searchpath=[file://{mine}/conf]", *choice, *SMALL, "callbacks.metrics.every=10"]
    cfg = compose(*own)
    assert check(cfg) == []
    run(cfg, tmp_path / "run")
    results = pd.read_csv(tmp_path / "run" / "results.csv")
    for column, value in (word.split("=") for word in choice):
        assert set(results[column]) == {value} and results["updates"].max() == 20
    if "optimizer=log_norm" in choice:
        history = pd.read_csv(tmp_path / "run" / "history.csv")
        assert history["log_norm"].gt(0).all() and history["omega"].notna().all()


def test_the_command_finds_ones_own_files_and_names_mistakes(mine, tmp_path):
    """As printed, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(mine)}
    command = [sys.executable, "-m", "src.train", "--config-dir", str(mine / "conf"), "task=my_task"]
    right = [*command, *SMALL, f"hydra.run.dir={tmp_path / 'out'}"]
    done = subprocess.run(right, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wrong = [*command, "cell.hiden_size=10"]
    refused = subprocess.run(wrong, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.strip() == "error: cell.hiden_size: no such key; did you mean cell.hidden_size?"


# -- commands ----------------------------------------------------------------------------------------------------------


def printed(module):
    """(page, words) of each command of a module, or of make."""
    found = []
    for page in TODAY:
        for words in commands(page):
            words = words[1:] if words[0] == "PYTHONPATH=mine" else words
            if (words[:3] if words[0] != "make" else words[:1])[-1] == module:
                found.append((page, tuple(words[1:] if words[0] == "make" else words[3:])))
    return sorted(set(found))


def jobs(cfg, words, loader):
    """Overrides of jobs in which each value of each swept key comes at least once; not every combination."""
    swept = {key: str(value) for key, value in (cfg.hydra.sweeper.params or {}).items()}
    texts = [f"{key}={value}" for key, value in swept.items()] + list(words)
    values = {}
    for override in OverridesParser.create(config_loader=loader).parse_overrides(texts):
        key, text = override.input_line.split("=", 1)
        if override.is_interval_sweep():
            values[key] = [override.value().start, override.value().end]
        else:
            values[key] = list(override.sweep_string_iterator()) if override.is_sweep_override() else [text]
    most = max(map(len, values.values()), default=1)
    return [[f"{key}={each}" for key, each in zip(values, row, strict=True)] for row in _rows(values, most)]


def _rows(values, most):
    return zip(*(islice(cycle(own), most) for own in values.values()), strict=True) if values else [()]


def overrides(words):
    """Of a printed src.train; what a placeholder stands for is left out."""
    rest = [word for word in words if word not in ("-m", "--multirun", "--config-dir", "mine/conf")]
    assert all("=" in word for word in rest), rest
    resumed = [word for word in rest if word.startswith("resume=")]
    assert all(word in ("resume=runs/DIR", "resume=sweeps/DIR") for word in resumed)
    return [word for word in rest if word not in resumed and not word.startswith("hydra")]


@cache
def problems(job):
    """What the configuration checker says of a job's overrides."""
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose("train", overrides=["logger=none", *job])
    return check(cfg)


@pytest.mark.parametrize(
    ("page", "words"), [pytest.param(*found, id=" ".join(found[1])[:60]) for found in printed("src.train")]
)
def test_train(page, words, mine):
    """Printed src.train commands compose, and every job of them could run."""
    if words == ("--help",):
        return
    own = [f"hydra.searchpath=[file://{mine}/conf]"] if "--config-dir" in words else []
    wanted = overrides(words)
    with hydra.initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        known = [word for word in wanted if word.startswith("experiment=")]
        cfg = hydra.compose("train", overrides=known, return_hydra_config=True)
        loader = hydra.core.global_hydra.GlobalHydra.instance().config_loader()
        each = jobs(cfg, wanted, loader)
    assert len(each) == 1 or "-m" in words or known, f"{page}: several values without -m"
    for job in each:
        assert problems((*own, *job)) == [], page


def plugin_keys(group, choice):
    """Keys and values of a file of conf/hydra/, those of the file that it builds upon included."""
    own = yaml.safe_load(read(f"conf/hydra/{group}/{choice}.yaml"))
    below = plugin_keys(group, own["defaults"][0]) if choice.endswith("_gpu") else {}
    return below | own


def test_printed_launchers_and_sweepers_have_the_printed_keys():
    found = []
    for _, words in printed("src.train"):
        given = dict(word.split("=", 1) for word in words if word.startswith("hydra"))
        for name, choice in given.items():
            group = name.removeprefix("hydra/")
            if group != name and choice != "basic":
                keys = [key.split(".")[2] for key in given if key.startswith(f"hydra.{group}.")]
                assert set(keys) <= set(plugin_keys(group, choice)), words
                found += keys
    assert {"n_jobs", "partition", "n_trials"} <= set(found)


def test_the_defaults_of_slurm_are_those_of_its_file():
    rows = re.findall(r"^\| (`.*?) \| (\w+)(?: \(GPU: (\d)\))? \|", read("docs/many-machines.md"), re.MULTILINE)
    slurm, gpu = (plugin_keys("launcher", choice) for choice in ("submitit_slurm", "submitit_slurm_gpu"))
    assert len(rows) == 8
    for keys, default, on_gpu in rows:
        for key in re.findall(r"`(\w+)`", keys):
            assert slurm[key] == yaml.safe_load(default) and gpu[key] == yaml.safe_load(on_gpu or default), key


@pytest.mark.parametrize(("page", "words"), printed("src.evaluate"))
def test_evaluate(page, words, beside_a_run):
    directory, *keys = words
    assert directory in ("runs/DIR", "RUN_DIR"), page
    evaluation_configuration(load_population(beside_a_run / "runs" / "DIR").config, keys)  # raises if it could not run


@pytest.mark.parametrize(("page", "words"), printed("src.curves"))
def test_curves(page, words, monkeypatch):
    asked = []
    monkeypatch.setattr(curves, "report", lambda directories, *_: asked.append(directories))
    monkeypatch.setattr(sys, "argv", ["src.curves", *(words or ["sweeps"])])
    curves.main()
    assert asked


@pytest.mark.parametrize(("page", "words"), printed("src.figures"))
def test_figures(page, words):
    assert words[0] in (*figures.FIGURES, "all"), page


@pytest.mark.parametrize(("page", "words"), printed("make"))
def test_make(page, words):
    """The target exists, and variables are those of the Makefile; make train's ARGS could run."""
    makefile = read("Makefile")
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("words", nargs="*")
    for word in parser.parse_args(list(words)).words:
        name = word.split("=")[0]
        assert re.search(rf"^{name} \?=" if "=" in word else rf"^{name}:", makefile, flags=re.MULTILINE), page
        if name == "ARGS" and words[0] == "train":
            assert problems(tuple(overrides(shlex.split(word.split("=", 1)[1])))) == []


def test_every_other_command_has_its_file():
    """bench and tools; and no module is printed that this file does not know."""
    known = {"src.train", "src.evaluate", "src.curves", "src.figures"}
    for page in PAGES:
        for words in commands(page):
            if words[0] == "python" and words[1] == "-m" and words[2] not in known:
                assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file(), (page, words)
            elif words[0] == "python" and words[1] != "-m":
                assert (ROOT / words[1]).is_file(), (page, words)


# -- links and lengths -------------------------------------------------------------------------------------------------


def anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_are_there(page):
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = []
    for target in targets:
        if re.match(r"\w+:", target):
            continue
        name, _, part = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE) if part and path.is_file() else []
        if not path.exists() or (part and part not in map(anchor, headings)):
            missing.append(target)
    assert missing == []


def test_every_page_can_be_reached_from_the_readme():
    linked = set(re.findall(r"\]\((docs/\w[\w-]*\.md)", read("README.md")))
    assert linked == {page for page in PAGES if page.startswith("docs/")}


def test_the_readme_is_short():
    assert 120 <= len(read("README.md").splitlines()) <= 160


def test_cells_of_reproduction_are_short():
    rows = [line for line in prose("REPRODUCTION.md").splitlines() if line.startswith("|")]
    cells = [cell for row in rows for cell in row.strip("|").split("|")]
    assert cells and max((len(cell.split()), cell) for cell in cells)[0] <= 25


def test_reproduction_begins_with_its_verdict():
    verdict = read("REPRODUCTION.md").split("\n## ")[1]
    assert verdict.startswith("Verdict\n") and len(re.findall(r"^\d+\. .+\*\*", verdict, flags=re.MULTILINE)) == 10


def keys(node):
    """Names of all keys of a yaml file but those of Hydra, of directions and of torch's optimizers."""
    for name, value in node.items() if isinstance(node, dict) else ():
        if name in ("step", "direction", "hydra", "defaults") or name.startswith("_") or name == "name":
            continue
        yield name
        yield from keys(value)


@pytest.mark.parametrize("group", ["task", "cell", "optimizer", "curriculum", "callbacks", "trainer", "train.yaml"])
def test_every_key_and_choice_is_documented(group):
    text = read("docs/configuration.md")
    files = [ROOT / "conf" / group] if group.endswith(".yaml") else sorted(Path(ROOT / "conf" / group).glob("*.yaml"))
    wanted = {key for file in files for key in keys(yaml.safe_load(file.read_text()))}
    wanted |= set() if group.endswith(".yaml") else {file.stem for file in files}
    assert {key for key in wanted if not re.search(rf"[`.]{key}[`.]", text)} == set()


def test_the_notebook_runs(monkeypatch):
    """Each cell of code, in order, with a small budget; and the outputs that it is shown with are there."""
    notebook = json.loads(read("docs/a-trained-network.ipynb"))
    codes = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sum(len(cell["outputs"]) for cell in codes) == 9
    assert "".join(codes[0]["source"]).count("trainer.max_steps=8000") == 1
    codes[0]["source"] = [line.replace("max_steps=8000", "max_steps=20") for line in codes[0]["source"]]
    monkeypatch.chdir(ROOT / "docs")
    run_cells(notebook, {"__name__": "__main__"})
    assert [sorted(output["output_type"] for output in cell["outputs"]) for cell in codes] == [
        ["stream"],
        ["stream"],
        ["display_data"],
        ["display_data"],
        ["display_data", "stream"],
        ["display_data"],
        ["display_data", "stream"],
    ]
