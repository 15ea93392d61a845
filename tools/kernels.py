"""python -m tools.kernels: compiles the Triton kernels for GPUs that need not be there, and prints what they take.

One line a kernel, size and architecture: registers a thread; stack, bytes a thread, above 0 where registers were
spilled to memory; shared memory of a program. ``--json FILE`` writes the same; ``--check`` fails where a kernel spills
or takes more than there is.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ARCHITECTURES = (80, 89, 90, 100)
SHARED = {80: 163, 89: 99, 90: 227, 100: 227}
"""KB of shared memory that a program can have (CUDA C++ programming guide, compute capabilities)."""

POINTERS = {"length_R": "*i64", "code_R": "*i32", "symbols": "*i8", "target": "*i64", "faults": "*i8"}
SCALARS = {"x_next": "i64", "h_next": "i64", "W_next": "i64", "BOUND": "fp32"}
WAYS = {
    "forward": {"SYMBOLS": True, "STORE": True},
    "backward": {"DIRECT": False, "NORMS": True},
}
"""Each kernel as an update with Ω uses it, symbols in and a target at the last step."""
NUMBERS = ("T", "B", "H", "I", "N", "G", "O")


def kernels() -> dict[str, Any]:
    """All kernels, by name."""
    from src.recurrence.cuda.kernels import losses, lstm, simple, symbols

    return {
        "simple_forward": simple.simple_forward,
        "simple_backward": simple.simple_backward,
        "lstm_forward": lstm.lstm_forward,
        "lstm_backward": lstm.lstm_backward,
        "symbol_sums": symbols.symbol_sums,
        "losses": losses.losses,
        "omega": losses.omega,
    }


def cases(
    units: tuple[int, ...], sequences: tuple[int, ...], room: int
) -> list[tuple[str, int, int, dict[str, Any], int]]:
    """Kernel, units, sequences, constants and warps of everything that is compiled, as an update with Ω uses it.

    Args:
        room: KB of shared memory of a program.
    """
    from src.cells import LSTM
    from src.recurrence.cuda import products, update
    from src.recurrence.cuda.launch import PRECISIONS, tiles
    from src.recurrence.cuda.support import ACTIVATIONS, LARGEST

    found: list[tuple[str, int, int, dict[str, Any], int]] = []
    for H in units:
        for B in sequences:
            for cell, most in LARGEST.items():
                for way, constants in WAYS.items():
                    lstm = cell is LSTM
                    own = tiles(B, H, lstm, way == "backward", room)
                    constants = constants | own.constants | {"PRECISION": PRECISIONS[0]}
                    if not lstm:
                        constants["CODE"] = ACTIVATIONS["tanh"]
                    elif way == "forward":
                        constants["KEEP"] = True
                    if most >= H:
                        found.append((f"{'lstm' if lstm else 'simple'}_{way}", H, B, constants, own.warps))
    constants = {"EACH": products.PART, "ROWS": products.ROWS, "SYMBOLS": 16, "COLUMNS": products.COLUMNS}
    found.append(("symbol_sums", 64, 20, constants | {"PRECISION": PRECISIONS[0]}, 4))
    found.append(("losses", 64, 20, {"EVERY": True, "CLASSES": True, "ROWS": update.ROWS, "OUTPUTS": 16}, 4))
    found.append(("omega", 64, 20, {"SQUARED": True, "ROWS": products.PAIRS}, 4))
    return found


def resources(kernel: Any, constants: dict[str, Any], warps: int, architecture: int) -> dict[str, int]:
    """Registers a thread, bytes of stack a thread, bytes of shared memory a program."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from src.recurrence.cuda.launch import OPTIONS

    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in NUMBERS:
            signature[name] = "i32"
        elif name == "x":
            signature[name] = "*i8" if constants["SYMBOLS"] else "*fp32"
        else:
            signature[name] = SCALARS.get(name) or POINTERS.get(name, "*fp32")
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    options = {"num_warps": warps, **OPTIONS}
    compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    usage = _usage(compiled.asm["cubin"])
    return usage | {"shared": compiled.metadata.shared}


def _usage(cubin: bytes) -> dict[str, int]:
    """What the assembler says of a binary."""
    import triton.backends.nvidia as nvidia

    tool = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert found is not None, said
    return {"registers": int(found[1]), "stack": int(found[2])}


def table(units: tuple[int, ...], sequences: tuple[int, ...], architectures: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row of numbers for everything that is compiled."""
    rows = []
    known = kernels()
    for architecture in architectures:
        for name, H, B, constants, warps in cases(units, sequences, SHARED[architecture]):
            used = resources(known[name], constants, warps, architecture)
            rows.append({"kernel": name, "units": H, "batch": B, "arch": architecture, "warps": warps} | used)
            print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row of the table, in Markdown."""
    shown = row | {"arch": f"sm_{row['arch']}", "shared": f"{row['shared'] / 1024:.0f} KB"}
    return "| " + " | ".join(str(value) for value in shown.values()) + " |"


def problems(rows: list[dict[str, Any]]) -> list[str]:
    """Rows that spill or take more shared memory than there is."""
    return [line(row) for row in rows if row["stack"] or row["shared"] > SHARED[row["arch"]] * 1024]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, nargs="+", default=[16, 32, 50, 64, 100, 128, 256])
    parser.add_argument("--batch", type=int, nargs="+", default=[20])
    parser.add_argument("--arch", type=int, nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    os.environ.pop("TRITON_INTERPRET", None)
    print("| kernel | units | batch | arch | warps | registers | stack | shared |")
    print("|---|---|---|---|---|---|---|---|")
    rows = table(tuple(arguments.units), tuple(arguments.batch), tuple(arguments.arch))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows))
    wrong = problems(rows)
    if arguments.check and wrong:
        print("\nspills, or does not fit:", *wrong, sep="\n", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
