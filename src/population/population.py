"""R replicas trained in lockstep: who still learns, and what became of the others.

A replica that leaves takes its row out of the stack: the rest get cheaper, and it stays as it was.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from src.linalg import works_ahead
from src.network import Network
from src.population.metrics import METRICS, Window
from src.population.stack import Optimizer, Rows, Stack
from src.rundir import BUDGET, INTERRUPTED, RUNNING

MEASURED = ("error", "best_error", "test_loss", "spectral_radius", "seconds", "length", "reached")
"""What is known of a replica besides its metrics, at its last value. ``length``: of the task in its last test;
``reached``: the longest length that it has passed, where lengths grow."""

OFF = {"alpha": 0.0, "alpha_decay": 0.0, "half_life": float("inf"), "l1": 0.0, "l2": 0.0}
"""Settings that change nothing at these values. A device, which would have to be asked, does not hold them then."""


class Population:
    """Outcomes of all R replicas, and the stacked state of the A that are alive.

    Args:
        seeds: one per replica.
        settings: of the method, by name; one number for all, held per replica (float32).
        metrics: names of the metrics that the method adds to METRICS.
    """

    def __init__(self, seeds: Sequence[int], settings: dict[str, float], metrics: Sequence[str] = ()) -> None:
        R = len(seeds)
        self.seeds = list(seeds)
        self.settings = {name: torch.full((R,), float(value)) for name, value in settings.items()}
        self.off = {name for name, value in OFF.items() if settings.get(name) == value}
        self.extra = tuple(metric for metric in metrics if metric not in METRICS)
        self.metrics = (*METRICS, *self.extra)
        self.noted: tuple[str, ...] = ()  # of MEASURED: what the history tells besides
        self.live = list(range(R))  # replica of each row
        self.windows = {name: Window(self.metrics, R) for name in ("log", "check")}
        self.status = [RUNNING] * R
        self.updates = np.zeros(R, dtype=int)  # applied to each replica
        self.epochs = np.zeros(R, dtype=int)  # through a fixed data set
        self.solved_at = np.full(R, -1)
        self.last = {column: np.full(R, np.nan) for column in MEASURED}
        self.means = {name: {metric: np.full(R, np.nan) for metric in self.metrics} for name in self.windows}
        self.unreported: set[int] = set()  # replicas updated since the last row of the history
        self.interrupt: int | None = None  # the signal that asked to stop
        self.counts: dict[str, Tensor] = {}  # by the optimizer, R each; only where replicas differ in them
        self.parked: dict[int, Rows] = {}  # one row of each replica that left
        self.seconds_before = 0.0  # of training, where a run is resumed
        self._started = time.perf_counter()

    def attach(self, network: Network, optimizer: Optimizer) -> torch.optim.Optimizer:
        """Stacks the network's parameters, where they are now, and makes an optimizer for them."""
        used = self.settings
        if works_ahead(network.W):
            used = {name: value for name, value in used.items() if name not in self.off}
        self.stack = Stack(network, used, optimizer)
        return self.stack.optimizer

    def begin(self) -> None:
        """Starts the clock. Parameters and optimizer hold all R then; those that had left leave again, in silence."""
        self._started = time.perf_counter()
        self.stack.bind()  # Lightning has unset the gradients since
        gone = [row for row, replica in enumerate(self.live) if self.status[replica] != RUNNING]
        if gone:
            self._park(gone)

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Updates of the replica that has most."""
        return int(self.updates.max())

    @property
    def seconds(self) -> float:
        """Seconds of training so far, earlier parts of a resumed run included."""
        return self.seconds_before + time.perf_counter() - self._started

    @property
    def learning(self) -> bool:
        """Whether anything is left to train, and nobody asked to stop."""
        return bool(self.live) and self.interrupt is None

    def draws(self, ahead: int = 0) -> list[tuple[int, int]]:
        """Each live replica's seed and updates so far: what draws of an update are functions of.

        Args:
            ahead: updates that were made and not yet recorded.
        """
        return [(self.seeds[replica], int(self.updates[replica]) + ahead) for replica in self.live]

    # -- metrics -------------------------------------------------------------------------------------------------

    def record(self, metrics: dict[str, Tensor], diverged_A: np.ndarray | Tensor | None = None) -> None:
        """Counts one update of every live replica that has not just diverged.

        Args:
            metrics: of the update, A each; one that is missing is NaN.
        """
        self._add(metrics, 1)
        lost = [False] * len(self.live) if diverged_A is None else diverged_A.tolist()
        for replica, is_lost in zip(self.live, lost, strict=True):
            self.updates[replica] += not is_lost

    def record_several(self, metrics: dict[str, Tensor], count: int) -> None:
        """Counts updates of every live replica, none of which has diverged.

        Args:
            metrics: of the updates, NA each; one that is missing is NaN.
            count: N.
        """
        self._add({name: value_NA.flatten() for name, value_NA in metrics.items()}, count)
        self.updates[self.live] += count

    def _add(self, metrics: dict[str, Tensor], count: int) -> None:
        """Hands metrics of so many updates, one after the other, to all windows."""
        values = [metrics[name] if name in metrics else self._missing(count) for name in self.metrics]
        for window in self.windows.values():
            window.add(values, count, self.live)
        self.unreported.update(self.live)

    def _missing(self, count: int) -> Tensor:
        """A metric that so many updates have not measured."""
        return self.stack.theta_AP.new_full((count * len(self.live),), float("nan"))

    def read(self, name: str) -> dict[str, np.ndarray]:
        """Means since the last read of a window, per metric and replica; resets it. Replicas that left keep theirs."""
        self._read(name, self.live)
        return self.means[name]

    def _read(self, name: str, replicas: Sequence[int]) -> None:
        """Reads a window for some replicas."""
        window = self.windows[name]
        for metric, mean_R in window.mean().items():
            for replica in replicas:
                if window.updates_R[replica]:
                    self.means[name][metric][replica] = mean_R[replica]
        window.clear(replicas)

    def tested(self, replicas: Sequence[int], errors: np.ndarray, lengths: Sequence[int]) -> None:
        """Notes the share of wrong sequences of these replicas; at a new length the best error begins anew."""
        before = self.last["length"][replicas]
        anew = ~np.isnan(before) & (before != lengths)
        self.last["best_error"][np.array(replicas)[anew]] = np.nan
        self.last["length"][replicas] = lengths
        self.last["error"][replicas] = errors
        self.last["best_error"] = np.fmin(self.last["best_error"], self.last["error"])
        self.last["seconds"][replicas] = self.seconds

    def solve(self, passed_A: Sequence[bool] | np.ndarray) -> None:
        """Notes who has passed the success test; ``solved_at`` is the first time."""
        for replica, passed in zip(self.live, passed_A, strict=True):
            if passed and not self.solved_R[replica]:
                self.solved_at[replica] = self.updates[replica]

    @property
    def solved_R(self) -> np.ndarray:
        """Which replicas have solved the task, whatever became of them afterwards."""
        return self.solved_at >= 0

    # -- leaving -------------------------------------------------------------------------------------------------

    def leave(self, leaving_A: Sequence[bool] | np.ndarray, status: str) -> None:
        """Takes rows out; their replicas are recorded with ``status`` and compute no more."""
        gone = [row for row, leaves in enumerate(leaving_A) if leaves]
        if not gone:
            return
        replicas = [self.live[row] for row in gone]
        for name in self.windows:
            self._read(name, replicas)
        for replica in replicas:
            self.status[replica] = status
            self.last["seconds"][replica] = self.seconds
        self._park(gone)

    def _park(self, gone: Sequence[int]) -> None:
        """Moves rows out of the stack."""
        rows = self.stack.rows()
        for row in gone:
            self.parked[rows.replicas[row]] = rows.take([row])
        self._hold(rows.take([row for row in range(len(rows.replicas)) if row not in gone]))

    def _hold(self, rows: Rows) -> None:
        """Makes these rows the living."""
        self.stack.hold(rows)
        self.live = rows.replicas

    @contextmanager
    def focus(self, replicas: Sequence[int]) -> Iterator[None]:
        """Only these replicas, of as many updates each, are trained inside; the others wait.

        What an optimizer counts (the ``step`` of torch's) is held per replica from then on.
        """
        before = self.stack.rows()
        self._recall(replicas[0])
        self._hold(before.take([before.replicas.index(replica) for replica in replicas]))
        try:
            yield
        finally:
            after = self.stack.rows()
            self._note(after.replicas)
            left = set(replicas) - set(after.replicas)
            together = before.take([row for row, replica in enumerate(before.replicas) if replica not in left])
            together.put(after)
            self._hold(together)

    def _recall(self, replica: int) -> None:
        """Gives the optimizer a replica's own counts."""
        for name, count in self.stack.counts().items():
            own = self.counts.get(name, count.expand(len(self.seeds)))
            self.stack.state[name] = own[replica].clone()

    def _note(self, replicas: list[int]) -> None:
        """Keeps the optimizer's counts as those of these replicas."""
        for name, count in self.stack.counts().items():
            if name not in self.counts:
                self.counts[name] = torch.zeros(len(self.seeds), dtype=count.dtype)
            self.counts[name][replicas] = count.cpu()

    def close(self, budget: int) -> None:
        """Names what those still alive ended with."""
        for replica in self.live:
            ended = self.updates[replica] >= budget
            self.status[replica] = BUDGET if ended else INTERRUPTED
            self.last["seconds"][replica] = self.seconds

    # -- all R -----------------------------------------------------------------------------------------------------

    def parameters(self) -> dict[str, Tensor]:
        """Parameters of all R replicas, by name, those that left as they were when they left."""
        theta_RP = self._all(self.stack.theta_AP, {r: rows.theta_AP for r, rows in self.parked.items()})
        names = [name for name, _ in self.stack.network.named_parameters()]
        return {name: part.clone() for name, part in zip(names, self.stack.split(theta_RP), strict=True)}

    def memory(self) -> dict[str, Tensor]:
        """The optimizer's memory of all R replicas, as far as it has a row per replica."""
        found = {}
        for name, live_AP in self.stack.rows().memory.items():
            found[name] = self._all(live_AP, {r: rows.memory[name] for r, rows in self.parked.items()})
        return found

    def _all(self, live_AP: Tensor, parked: dict[int, Tensor]) -> Tensor:
        """Rows of the living and of those that left, in the order of replicas."""
        rows = dict(zip(self.live, live_AP, strict=True))
        rows |= {replica: row_1P[0] for replica, row_1P in parked.items()}
        return torch.stack([rows[replica] for replica in range(len(self.seeds))])

    def everyone(self) -> Network:
        """A network of all R replicas as they are, or were when they left."""
        return Network(self.stack.everyone, self.parameters())
