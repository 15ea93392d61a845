"""What README.md tells people to paste works as pasted."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd

from tests.conftest import ROOT


def test_a_task_and_a_method_of_ones_own(tmp_path):
    """Files named in the text, contents of the block that follows; in a copy of the package."""
    text = (ROOT / "README.md").read_text()
    for folder in ("src", "conf", "tasks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    blocks = re.findall(r"`((?:tasks|conf)/[\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", text, flags=re.DOTALL)
    assert [name for name, _ in blocks] == ["tasks/my_task.py", "conf/task/my_task.yaml", "conf/optimizer/gentle.yaml"]
    for name, content in blocks:
        (tmp_path / name).write_text(content)
    small = ["trainer.max_steps=20", "success.sequences=100", "cell.hidden_size=10", "hydra.run.dir=out"]
    command = [sys.executable, "-m", "src.train", "task=my_task", "optimizer=gentle", *small]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(results["task"]) == {"my_task"} and set(results["optimizer"]) == {"gentle"}
