"""The Triton kernels compile for GPUs that are not there, without spilling, and take what docs/cuda.md says."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="there is no Triton: pip install 'triton>=3.4'")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What 50 units take on an A100 and an H100. In a process of its own, for here Triton interprets."""
    file = tmp_path_factory.mktemp("kernels") / "rows.json"
    command = [sys.executable, "-m", "tools.kernels", "--units", "50", "--arch", "80", "90", "--json", str(file)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, env=os.environ | {"TRITON_INTERPRET": "0"})
    return json.loads(file.read_text())


def test_nothing_spills_or_is_too_large(rows):
    from tools.kernels import SHARED, problems

    names = {row["kernel"] for row in rows}
    assert names >= {"simple_forward", "simple_backward", "lstm_forward", "lstm_backward", "symbol_sums"}
    assert {row["arch"] for row in rows} == {80, 90} <= SHARED.keys()
    assert problems(rows) == []
    assert len(problems([rows[0] | {"stack": 8}, rows[0] | {"shared": 2**20}])) == 2


def test_the_table_in_the_documents_is_what_the_compiler_says(rows):
    import triton

    from tools.kernels import line

    if f"triton=={triton.__version__}" not in (ROOT / "constraints.txt").read_text():
        pytest.skip(f"the table was made by another Triton than {triton.__version__}")
    page = (ROOT / "docs" / "cuda.md").read_text()
    assert [line(row) for row in rows if line(row) not in page] == []
