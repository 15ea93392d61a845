"""python -m tools.kernels: compiles the Triton kernels for GPUs that need not be there, and prints what they take.

Whole updates are made of tensors that hold no numbers, and every launch is written down instead of made. So the
arguments, their types, and what Triton's launcher specialises them for are those of a real update. Each is compiled.

One line a kernel, size and architecture: shared memory of a program; registers a thread; stack, bytes a thread, above
0 where registers were spilled to memory. Where a kernel is compiled in several forms, there is a number for each.
``--json FILE`` writes the forms one by one; ``--check`` fails where something spills or does not fit, or where the
table in docs/cuda.md says otherwise.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

ARCHITECTURES = (80, 89, 90, 100)
SHARED = {80: 163, 89: 99, 90: 227, 100: 227}
"""KB of shared memory that a program can have (CUDA C++ programming guide, compute capabilities)."""

UNITS = (16, 32, 50, 64, 100, 128, 256)
REPLICAS, STEPS, SEQUENCES, SYMBOLS, CLASSES = 405, 100, 20, 6, 4
"""Of the update that is compiled: the published one, of temporal order."""

MIXED = "mixed"
"""Activations: each replica has its own."""

PAGE = Path(__file__).parent.parent / "docs" / "cuda.md"


@dataclass(frozen=True)
class Launch:
    """One launch of an update."""

    kernel: Any
    arguments: dict[str, Any]
    constants: dict[str, Any]
    warps: int

    @property
    def name(self) -> str:
        return str(self.kernel.fn.__name__)

    @property
    def form(self) -> str:
        """Which of the binaries of this kernel it is, in words."""
        own = self.constants
        if self.name.endswith("forward"):
            return ("symbols" if own["SYMBOLS"] else "vectors") + ("" if own["STORE"] else ", no steps kept")
        if self.name.endswith("backward"):
            each = "every step" if own["DIRECT"] else "last step"
            return each + (", norms" if own["NORMS"] else "")
        if self.name == "losses":
            return "every step" if own["EVERY"] else "last step"
        return ""


def launches(lstm: bool, H: int, B: int, activation: str, room: int) -> list[Launch]:
    """Every launch of some updates of a layer of H units, and of its success test.

    Args:
        room: KB of shared memory of a program.
    """
    from src.recurrence.cuda import products, run, update

    found: list[Launch] = []

    def note(kernel: Any, grid: Any, arguments: dict[str, Any], constants: dict[str, Any], warps: int) -> None:
        found.append(Launch(kernel, arguments, constants, warps))

    with ExitStack() as stack:
        for module in (run, products, update):
            stack.enter_context(patch.object(module, "launch", note))
        stack.enter_context(patch.object(run, "room", lambda device: room))
        _updates(lstm, H, B, activation)
    return found


def _updates(lstm: bool, H: int, B: int, activation: str) -> None:
    """Updates with and without Ω, of symbols and of vectors, with a target at the last step and at each."""
    import torch

    from src.cells import LSTM, Vanilla, Weights
    from src.directions import OmegaTerm, Tape
    from src.network.architecture import Architecture
    from src.recurrence import checks
    from src.recurrence.backend import Pass, Target
    from src.recurrence.cuda.launch import PRECISIONS
    from src.recurrence.cuda.run import Run
    from src.recurrence.cuda.update import learn

    R, T = REPLICAS, STEPS
    names = activation if activation != MIXED else ["tanh", *["relu"] * (R - 1)]
    cell = LSTM("lstm", H) if lstm else Vanilla("simple", H, names, std=0.01)
    shapes = {name: value.shape for name, value in Architecture(cell).start(SYMBOLS, CLASSES, 0).items()}
    sizes = [int(torch.Size(shape).numel()) for shape in shapes.values()]

    def views() -> Weights:
        parts = torch.empty(R, sum(sizes), device="meta").split(sizes, 1)  # as in src/population/stack.py
        return Weights(**{n: part.view(R, *shape) for (n, shape), part in zip(shapes.items(), parts, strict=True)})

    def new(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    weights, gradients, length_R = views(), views(), new(R, dtype=torch.int64)
    symbols = Pass(cell, new(R, T, B, dtype=torch.int8), weights, None, length_R)
    vectors = Pass(cell, new(R, T, B, SYMBOLS), weights, None, length_R)
    last = Target(new(R, B, dtype=torch.int64), "cross_entropy")
    every = Target(new(R, T, B, dtype=torch.int64), "cross_entropy")
    with patch.object(checks, "_waiting", []), torch.no_grad():
        for given, target in ((symbols, last), (vectors, every)):
            for terms in ({}, {"omega": OmegaTerm("squared", new(R))}):
                learn(given, target, gradients, Tape(terms), PRECISIONS[0])
        Run(symbols, keep=False, every_step=False, precision=PRECISIONS[0])


def specialised(launch: Launch, architecture: int) -> tuple[Any, Any]:
    """What Triton's launcher would compile for a launch, and with which options."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler.compiler import make_backend
    from triton.runtime.jit import create_function_from_signature

    from src.recurrence.cuda.launch import options as options_of

    kernel = launch.kernel
    backend = make_backend(GPUTarget("cuda", architecture, 32))
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    options = options_of(kernel, launch.arguments, launch.constants, launch.warps)
    bound, specialization, options = bind(**launch.arguments, **launch.constants, **options)
    _, signature, constants, attributes = kernel._pack_args(backend, options, bound, specialization, options)
    return ASTSource(kernel, signature, constants, attributes), options


def resources(launch: Launch, architecture: int) -> dict[str, int]:
    """Bytes of shared memory a program, registers a thread, bytes of stack a thread."""
    import triton
    from triton.backends.compiler import GPUTarget

    source, options = specialised(launch, architecture)
    compiled = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    return {"shared": compiled.metadata.shared} | _usage(compiled.asm["cubin"])


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


def rows(
    units: tuple[int, ...], batches: tuple[int, ...], architectures: tuple[int, ...], activation: str, only: str = ""
) -> Iterator[list[dict[str, Any]]]:
    """What every form of a kernel takes, kernel after kernel.

    Args:
        only: what the names of the kernels begin with.
    """
    from src.cells import LSTM, Vanilla
    from src.recurrence.cuda.support import LARGEST

    for architecture in architectures:
        rest: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        for H in units:
            for B in batches:
                for cell in (Vanilla, LSTM):
                    if LARGEST[cell] < H:
                        continue
                    found: dict[str, dict[str, dict[str, Any]]] = {}
                    for launch in launches(cell is LSTM, H, B, activation, SHARED[architecture]):
                        if not launch.name.startswith(only):
                            continue
                        own = launch.name.startswith(("simple", "lstm"))
                        of_kernel = found.setdefault(launch.name, {}) if own else rest.setdefault(_small(launch), {})
                        if launch.form not in of_kernel:
                            size = {"units": H, "batch": B} if own else {"units": _small(launch)[1], "batch": "any"}
                            row = {"kernel": launch.name, "form": launch.form} | size | {"arch": architecture}
                            row |= {"activation": activation, "warps": launch.warps}
                            of_kernel[launch.form] = row | resources(launch, architecture)
                    yield from (list(forms.values()) for forms in found.values())
        yield from (list(forms.values()) for forms in rest.values())


def _small(launch: Launch) -> tuple[str, str]:
    """The name of a kernel that does not depend on the units, and what it knows of them."""
    if launch.name != "symbol_sums":
        return launch.name, "any"
    return launch.name, "16 n" if launch.arguments["G"] % 16 == 0 else "any"


def line(forms: list[dict[str, Any]]) -> str:
    """A row of the table, in Markdown: a kernel in all its forms."""
    first = forms[0]
    shared = max(row["shared"] for row in forms)
    shown = [first[key] for key in ("kernel", "units", "batch")]
    shown += [f"sm_{first['arch']}", first["warps"], f"{shared / 1024:.0f} KB"]
    for key in ("registers", "stack"):
        numbers = [str(row[key]) for row in forms]
        shown.append(" / ".join(numbers) if any(row[key] for row in forms) else "0")
    return "| " + " | ".join(str(value) for value in shown) + " |"


def problems(forms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Forms that spill, or take more shared memory than there is."""
    return [row for row in forms if row["stack"] or row["shared"] > SHARED[row["arch"]] * 1024]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, nargs="+", default=list(UNITS))
    parser.add_argument("--batch", type=int, nargs="+", default=[SEQUENCES])
    parser.add_argument("--arch", type=int, nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--activation", default="tanh", help=f"of simple cells; {MIXED}: each replica has its own")
    parser.add_argument("--only", default="", help="what the names of the kernels begin with")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    os.environ.pop("TRITON_INTERPRET", None)
    print("| kernel | units | batch | arch | warps | shared | registers | stack |")
    print("|---|---|---|---|---|---|---|---|")
    found, lines = [], []
    sizes = tuple(arguments.units), tuple(arguments.batch), tuple(arguments.arch)
    for forms in rows(*sizes, arguments.activation, arguments.only):
        found += forms
        lines.append(line(forms))
        print(lines[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    if not arguments.check:
        return
    wrong = [" ".join(str(value) for value in row.values()) for row in problems(found)]
    if arguments.activation == "tanh" and arguments.batch == [SEQUENCES]:
        page = PAGE.read_text()
        wrong += [f"not in {PAGE.name}: {each}" for each in lines if each not in page]
    if wrong:
        print("\nspills, does not fit, or is not in the table:", *wrong, sep="\n", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
