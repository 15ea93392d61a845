"""The Triton kernels compile for GPUs that are not there, as an update would launch them: what they take of them."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from src.recurrence.cuda import launch
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="there is no Triton: pip install 'triton>=3.4'")

FORWARD = {"symbols", "vectors", "symbols, no steps kept"}
BACKWARD = {"last step", "last step, norms", "every step", "every step, norms"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What simple cells of 32 and 50 units take on three GPUs. In a process of its own, for here Triton interprets."""
    file = tmp_path_factory.mktemp("kernels") / "rows.json"
    command = [sys.executable, "-m", "tools.kernels", "--units", "32", "50", "--arch", "80", "90", "100"]
    command += ["--only", "simple", "--json", str(file)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, env=os.environ | {"TRITON_INTERPRET": "0"})
    return json.loads(file.read_text())


def test_nothing_spills_or_is_too_large(rows):
    from tools.kernels import SHARED, problems

    for arch in (80, 90, 100):
        for units in (32, 50):
            found = {(row["kernel"], row["form"]) for row in rows if row["arch"] == arch and row["units"] == units}
            forward, backward = (
                {form for kernel, form in found if kernel == f"simple_{way}"} for way in ("forward", "backward")
            )
            assert (forward, backward) == (FORWARD, BACKWARD)
    assert all(row["stack"] == 0 and 0 < row["shared"] <= SHARED[row["arch"]] * 1024 for row in rows)
    assert problems(rows) == []
    assert len(problems([rows[0] | {"stack": 8}, rows[0] | {"shared": 2**20}])) == 2


def test_the_table_in_the_documents_is_what_the_compiler_says(rows):
    import triton

    from tools.kernels import line

    if f"triton=={triton.__version__}" not in (ROOT / "constraints.txt").read_text():
        pytest.skip(f"the table was made by another Triton than {triton.__version__}")
    kernels = {}
    for row in rows:
        kernels.setdefault((row["kernel"], row["units"], row["arch"]), []).append(row)
    page = (ROOT / "docs" / "cuda.md").read_text()
    assert [line(forms) for forms in kernels.values() if line(forms) not in page] == []


SPECIALISED = """
import json
from dataclasses import replace
from tools.kernels import launches, specialised

found = {}
for each in launches(False, 64, 20, "tanh", 227):
    source, _ = specialised(each, 90)
    other = {name: 1 if name in ("T", "B", "N", "I") else value for name, value in each.arguments.items()}
    other |= {name: 16 for name in ("x_next", "h_next") if name in other}
    again, _ = specialised(replace(each, arguments=other), 90)
    wide = [source.fn.arg_names[path[0]] for path, attributes in source.attrs.items() if attributes]
    found[each.name] = {"wide": wide, "once": source.hash() == again.hash()}
print(json.dumps(found))
"""


def test_what_changes_within_a_run_compiles_nothing_anew():
    """Triton knows of tensors, and of the units, whether they are divisible by 16; not of steps and sequences."""
    command = [sys.executable, "-W", "ignore", "-c", SPECIALISED]
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    said = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, env=environment).stdout
    found = json.loads(said)
    assert all(each["once"] for each in found.values()) and len(found) == 5
    assert found["simple_forward"]["wide"] == ["x", "table", "W", "h", "length_R", "code_R", "faults", "H"]
    assert found["omega"]["wide"] == ["d2", "v2", "alpha_R", "plain_R", "value_R", "coefficient"]


def test_a_kernel_runs_on_the_device_of_its_tensors(monkeypatch):
    """Triton launches on the current one."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    chosen = []

    class Device:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            chosen.append(self.device)

        def __exit__(self, *error):
            chosen.append(None)

    with FakeTensorMode():
        there = torch.empty(3, device="cuda:1")
    kernel = {8: lambda **arguments: chosen.append("launch")}
    monkeypatch.setattr(torch.cuda, "device", Device)
    for available, tensor, expected in (
        (True, there, [torch.device("cuda:1"), "launch", None]),
        (False, there, ["launch"]),
        (True, torch.empty(3), ["launch"]),
    ):
        chosen.clear()
        monkeypatch.setattr(torch.cuda, "is_available", lambda known=available: known)
        launch.launch(kernel, 8, {"T": 3, "x": tensor}, {}, warps=4)
        assert chosen == expected
