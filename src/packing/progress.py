"""One line for a whole sweep: who has solved the task, by method; updates a second; packs; the time that is left."""

import sys
from collections.abc import Sequence
from time import perf_counter

from rich.console import Console
from rich.status import Status

from src.training.module import Training

QUIET = 60.0
"""Seconds between two lines where there is no terminal."""

REFRESH = 0.5
"""Seconds between two looks at the line of a terminal."""


class Display:
    """Says how far the packs of a sweep are.

    Args:
        works: replicas times steps times updates of each pack.
    """

    def __init__(self, works: Sequence[float]) -> None:
        self.works = list(works)
        self.number = 0  # of the pack that is trained
        self.shown = perf_counter()
        self.first = 0  # updates with which this pack began
        self.console = Console(stderr=True)
        self.status: Status | None = None

    def begin(self, number: int, line: str) -> None:
        """Says which pack begins."""
        self.number = number
        self.pack_begun = perf_counter()
        self.first = -1
        print(f"pack {number + 1} of {len(self.works)}: {line}", file=sys.stderr)

    def show(self, trainings: Sequence[Training]) -> None:
        """Shows the line, if it is time."""
        if self.first < 0:
            self.first = max(training.population.step for training in trainings)
        now = perf_counter()
        if now - self.shown < (REFRESH if self.console.is_terminal else QUIET):
            return
        self.shown = now
        line = self.line(trainings)
        if not self.console.is_terminal:
            print(line, file=sys.stderr)
            return
        if self.status is None:
            self.status = Status(line, console=self.console)
            self.status.start()
        self.status.update(line)

    def end(self) -> None:
        """Takes the line away."""
        if self.status is not None:
            self.status.stop()
            self.status = None

    def line(self, trainings: Sequence[Training]) -> str:
        """The line itself."""
        solved: dict[str, list[bool]] = {}
        for training in trainings:
            if training.task.graded:
                solved.setdefault(training.config["optimizer"]["name"], []).extend(training.population.solved_R)
        step = max(training.population.step for training in trainings)
        rate = (step - self.first) / max(perf_counter() - self.pack_begun, 1e-9)
        methods = ", ".join(f"{name} {sum(own)}/{len(own)}" for name, own in solved.items())
        said = f"  solved {methods}" if methods else ""
        left = self.left(step, max(training.max_steps for training in trainings), rate)
        place = f"pack {self.number + 1} of {len(self.works)}, {step:,} updates"
        return f"{place}{said}  {rate:.0f} updates/s{left}"

    def left(self, step: int, budget: int, rate: float) -> str:
        """The time that is left if nobody solves the task and all packs are as fast for their size."""
        if rate == 0:
            return ""
        here = (budget - step) / rate
        whole = budget / rate * sum(self.works[self.number + 1 :]) / self.works[self.number]
        seconds = here + whole
        return f"  at most {seconds / 60:.0f} min left" if seconds >= 100 else f"  at most {seconds:.0f} s left"
