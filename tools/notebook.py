"""python tools/notebook.py docs/a-trained-network.ipynb: runs the cells of a notebook, and writes what they gave.

Text that a cell prints, and figures that it leaves open, become its outputs. Nothing else of Jupyter is needed.
"""

import base64
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot


def run_cells(notebook: dict[str, Any], namespace: dict[str, Any]) -> None:
    """Runs the cells of code, one after the other, and puts what they gave into the notebook.

    Args:
        notebook: as its file holds it.
        namespace: in which they run.
    """
    number = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        number += 1
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), namespace)
        cell["execution_count"] = number
        cell["outputs"] = [*texts(printed.getvalue()), *figures()]


def texts(printed: str) -> list[dict[str, Any]]:
    """What was printed, as outputs."""
    if not printed:
        return []
    return [{"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)}]


def figures() -> list[dict[str, Any]]:
    """The figures that are open, as outputs; closes them."""
    found = []
    for number in pyplot.get_fignums():
        picture = io.BytesIO()
        pyplot.figure(number).savefig(picture, dpi=80, format="png")
        data = {"image/png": base64.b64encode(picture.getvalue()).decode() + "\n"}
        found.append({"output_type": "display_data", "data": data, "metadata": {}})
    pyplot.close("all")
    return found


def main() -> None:
    file = Path(sys.argv[1]).resolve()
    notebook = json.loads(file.read_text())
    os.chdir(file.parent)
    sys.path.insert(0, str(file.parent.parent))
    run_cells(notebook, {"__name__": "__main__"})
    file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
