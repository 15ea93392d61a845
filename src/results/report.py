"""Tables and figures of all runs under some directories, however they ended."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imread
from torch.utils.tensorboard import SummaryWriter

from src.config import ConfigurationError
from src.config.errors import first_line
from src.results import plots
from src.results.collect import Replica, collect
from src.results.learning_plot import learning, with_yardstick
from src.results.page import write_page
from src.results.rates import losses, success_rates
from src.results.reach import at_each_length, growing
from src.results.reach_plot import reach
from src.results.seeds import replica_table
from src.results.tables import show_losses, show_reach, show_success_rates
from src.rundir import (
    CURVES,
    ERROR,
    LEARNING,
    LOSS,
    PAGE,
    REACH,
    REPLICAS,
    SUCCESS_RATE,
    figure_files,
    replaced,
    runs_under,
    table_file,
    write_frame,
)

WIDEST = 3000
"""Most pixels of a figure's width: wider ones, of many lengths, are coarser, but for their SVG."""


def report(directories: Sequence[Path], out: Path | None = None, skipped: list[str] | None = None) -> pd.DataFrame:
    """Writes the tables and figures of a sweep, prints its table and returns it.

    Written are replicas.csv with one row per replica; success_rate.csv, success_rate and error as .png and .svg, and
    figures for TensorBoard; where lengths grow, reach.csv, reach.png and reach.svg; of tasks of which the loss of
    answers without memory is known, learning.png and learning.svg; of tasks whose answers are neither right nor wrong,
    loss.csv, loss.png and loss.svg; and report.html, which shows all of them.

    Args:
        directories: searched for runs at any depth.
        out: where to write; if not given, the directory, or ``curves`` for several.
        skipped: gets one line for each run that cannot be read; they are printed too.

    Raises:
        ConfigurationError: there are no results, or conflicting ones, or a directory is not there.
    """
    absent = [f"{directory}: no such directory" for directory in directories if not Path(directory).exists()]
    if absent:
        raise ConfigurationError(absent)
    skipped = [] if skipped is None else skipped
    replicas = collect(directories, skipped)
    for problem in skipped:
        print(f"skipped: {problem}", file=sys.stderr)
    if not replicas:
        raise ConfigurationError([f"no results under {', '.join(map(str, directories))}"])
    for directory in directories:
        if not runs_under([directory]):
            print(f"no results under {directory}", file=sys.stderr)
    if out is None:
        out = Path(directories[0] if len(directories) == 1 else CURVES)
    out.mkdir(parents=True, exist_ok=True)
    write_frame(replica_table(replicas), table_file(out, REPLICAS))
    graded = [replica for replica in replicas if replica.graded]
    others = [replica for replica in replicas if not replica.graded]
    table = pd.DataFrame()
    figures: dict[str, Figure] = {}
    if others:
        table = report_losses(others, out)
        figures[LOSS] = plots.loss(others)
    if graded:
        table = report_success_rates(graded, out)
        figures[SUCCESS_RATE] = plots.success_rate(graded)
        figures[ERROR] = plots.error(graded)
    measured = with_yardstick(graded)
    if measured:
        figures[LEARNING] = learning(measured)
    curricula = growing(graded)
    if curricula:
        report_reach(curricula, out)
        figures[REACH] = reach(curricula)
    drawn = save(figures, out)
    write_page(out, replicas, drawn, directories)
    print(f"in {out}: {PAGE}, all of it on one page")
    return table


def report_success_rates(replicas: Sequence[Replica], out: Path) -> pd.DataFrame:
    """Writes and prints success_rate.csv."""
    table = success_rates(replicas)
    write_frame(table, table_file(out, SUCCESS_RATE))
    show_success_rates(replicas, table, out)
    return table


def report_reach(replicas: Sequence[Replica], out: Path) -> None:
    """Writes reach.csv, success rates at each length of a curriculum, and prints how far each replica came."""
    table = success_rates(at_each_length(replicas))
    write_frame(table, table_file(out, REACH))
    show_reach(replicas, out)


def report_losses(replicas: Sequence[Replica], out: Path) -> pd.DataFrame:
    """Writes and prints loss.csv."""
    table = losses(replicas)
    write_frame(table, table_file(out, LOSS))
    show_losses(replicas, table, out)
    return table


def save(figures: dict[str, Figure], out: Path) -> list[str]:
    """Writes each figure as .png and .svg and for TensorBoard, instead of an earlier report's; returns those drawn."""
    drawn = []
    board_folder = out / CURVES
    for earlier in board_folder.glob("events.out.tfevents.*"):
        earlier.unlink()
    with SummaryWriter(str(board_folder)) as board:
        for name, figure in figures.items():
            try:
                files = figure_files(out, name)
                figure.draw_without_rendering()
                figure.set_layout_engine("none")  # places are settled: each file would settle them anew
                dpi = min(150, WIDEST / figure.get_figwidth())
                for file in files:
                    with replaced(file) as partial:
                        figure.savefig(partial, dpi=dpi, format=file.suffix[1:])
                board.add_image(f"sweep/{name}", imread(files[0]), dataformats="HWC")
                drawn.append(name)
            except (ArithmeticError, ValueError) as error:  # numbers that Matplotlib cannot draw
                print(f"{name}: cannot be drawn: {first_line(error)}", file=sys.stderr)
    return drawn
