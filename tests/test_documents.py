"""What README.md tells people to paste works as pasted."""

import os
import re
import shlex
import subprocess
import sys
import textwrap

import pandas as pd
import pytest
import torch

from src.run import run
from tests.conftest import ROOT, compose

TEXT = (ROOT / "README.md").read_text()


def test_a_task_a_cell_and_a_method_of_ones_own(tmp_path):
    """Files named in the text with the contents of the blocks that follow, outside the package; the command as printed,
    and each of the three alone."""
    blocks = re.findall(r"`(mine/[\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", TEXT, flags=re.DOTALL)
    names = ["my_task.py", "conf/task/my_task.yaml", "my_cell.py", "conf/cell/my_cell.yaml"]
    names += ["conf/optimizer/gentle.yaml"]
    assert [name for name, _ in blocks] == [f"mine/{name}" for name in names]
    for name, content in blocks:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (printed,) = re.findall("^PYTHONPATH=mine (.* --config-dir mine/conf .*)$", TEXT, flags=re.MULTILINE)
    printed = printed.replace("mine/conf", str(tmp_path / "mine" / "conf"))
    _, *arguments = shlex.split(printed)
    small = ["trainer.max_steps=20", "success.sequences=100", "cell.hidden_size=10", "task.length=10"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "mine")}
    (*common, my_task, my_cell, gentle) = arguments
    for chosen in ([my_task, my_cell, gentle], [my_task], [my_cell, "optimizer=msgd_c"], [gentle]):
        out = tmp_path / "-".join(chosen).replace("=", "-")
        command = [sys.executable, *common, *chosen, *small, f"hydra.run.dir={out}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        results = pd.read_csv(out / "results.csv")
        for column, value in (choice.split("=") for choice in chosen):
            assert set(results[column]) == {value} and results["updates"].max() == 20
    mistaken = [sys.executable, *common, my_task, "cell.hiden_size=10"]
    refused = subprocess.run(mistaken, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.strip() == "error: cell.hiden_size: no such key; did you mean cell.hidden_size?"


@pytest.mark.parametrize("function", ["load_replica", "initialize_"])
def test_a_trained_network(tmp_path, function):
    """The blocks that use src.trained, run."""
    run(compose("experiment=smoke"), tmp_path)
    (block,) = re.findall(
        rf"```python\n(import torch\nfrom src.trained import {function}\n.*?)```", TEXT, flags=re.DOTALL
    )
    names = {"symbols": torch.randint(0, 6, (10, 7))}
    exec(textwrap.dedent(block).replace("runs/DIR", str(tmp_path)), names)
    if function == "load_replica":
        assert names["answer"].shape == (7, 4)
    else:
        assert names["rnn"].weight_hh_l0.count_nonzero() == 1500
