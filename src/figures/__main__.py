"""python -m src.figures NAME|all: the figures that explain, computed anew, as PNG and SVG."""

import argparse
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from src.config import refuse
from src.figures.after_training import gradients_after_training
from src.figures.copy_adding import copy_adding
from src.figures.leaving import replicas_leaving
from src.figures.lengths import success_by_length
from src.figures.one_unit import bifurcation, error_surface
from src.figures.pairs import reach_settings
from src.figures.price import price_losses
from src.figures.reach import clocks, mixed_lengths, own_length_only, reach, reach_many
from src.figures.rivals import rivals
from src.figures.sequence import input_sequence
from src.figures.starts import gradients_at_the_start, success_by_radius

FIGURES: dict[str, Callable[..., Figure]] = {
    "input_sequence": input_sequence,
    "success_by_length": success_by_length,
    "bifurcation": bifurcation,
    "error_surface": error_surface,
    "gradients_at_the_start": gradients_at_the_start,
    "success_by_radius": success_by_radius,
    "gradients_after_training": gradients_after_training,
    "replicas_leaving": replicas_leaving,
    "price_losses": price_losses,
    "reach": reach,
    "own_length_only": own_length_only,
    "mixed_lengths": mixed_lengths,
    "clocks": clocks,
    "reach_many": reach_many,
    "reach_settings": reach_settings,
    "rivals": rivals,
    "copy_adding": copy_adding,
}
"""What draws each figure. Each is called with the command that its caption names."""

TABLE = Path("results/galvan_rho/success_rate.csv")


def draw(name: str, table: Path) -> Figure:
    """Draws one figure; only success_by_radius reads the table."""
    command = f"python -m src.figures {name}"
    if name != "success_by_radius":
        return FIGURES[name](command)
    if not table.is_file():
        refuse([f"--table={table}: no such file; run experiment=galvan_rho, or name a sweep's table"])
    return FIGURES[name](f"{command}\n    --table {table}", table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m src.figures", description=__doc__)
    parser.add_argument("name", choices=[*FIGURES, "all"])
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder to write to (default: docs)")
    parser.add_argument("--table", type=Path, default=TABLE, help=f"success_by_radius: of a sweep (default: {TABLE})")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in FIGURES if args.name == "all" else [args.name]:
        figure = draw(name, args.table)
        for kind in ("png", "svg"):
            figure.savefig(args.out / f"{name}.{kind}", dpi=150)
        print(args.out / f"{name}.png")


if __name__ == "__main__":
    main()
