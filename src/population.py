"""R replicas trained in lockstep: who still learns, with which settings, what became of the others.

The parameters of the replicas that still learn lie in one tensor, ``theta_AP``, and their gradients in another; the
network's parameters are views of it. Clipping, divergence, the step and leaving are then single operations on rows.
A replica that leaves takes its row out: the rest get cheaper, and it stays as it was.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from src.rundir import BUDGET, ENDED, INTERRUPTED, RUNNING, SOLVED

if TYPE_CHECKING:
    from src.cells import Cell
    from src.network import Network

METRICS = ("loss", "omega", "grad_norm", "clipped")
"""Per update and replica: the task's loss alone, Ω, the gradient's norm before clipping, 1 if it was clipped."""

WAITING = 256
"""Most updates whose metrics wait to be summed."""


class Window:
    """Means of the metrics over the updates since it was last cleared.

    Values are kept as they come and summed when somebody asks: an update should not wait for its own record.
    """

    def __init__(self, replicas: int) -> None:
        self.sum_MR = torch.zeros(len(METRICS), replicas, dtype=torch.float64)
        self.updates_R = torch.zeros(replicas, dtype=torch.int64)
        self._waiting: list[list[Tensor]] = []
        self._live: list[int] = []

    def add(self, values: list[Tensor], live: list[int]) -> None:
        """One tensor a metric, with an entry for each of these replicas."""
        if live is not self._live or len(self._waiting) == WAITING:
            self.sum()
            self._live = live
        self._waiting.append(values)

    def sum(self) -> Tensor:
        """Of all updates, MR; added one after the other, so that when one asks changes no bit."""
        if self._waiting:
            each_UMA = torch.stack([value.double() for values in self._waiting for value in values])
            each_UMA = each_UMA.view(len(self._waiting), len(METRICS), -1).cpu()
            self.sum_MR[:, self._live] = torch.cat([self.sum_MR[None, :, self._live], each_UMA]).cumsum(0)[-1]
            self.updates_R[self._live] += len(self._waiting)
            self._waiting = []
        return self.sum_MR

    def mean(self) -> dict[str, np.ndarray]:
        """Of each metric, by replica; NaN for a replica without updates."""
        mean_MR = self.sum() / self.updates_R
        return dict(zip(METRICS, mean_MR.numpy(), strict=True))

    def clear(self, replicas: Sequence[int]) -> None:
        self.sum()[:, list(replicas)] = 0
        self.updates_R[list(replicas)] = 0


class Population:
    """Outcomes of all R replicas, and the stacked state of the A that are alive.

    Args:
        seeds: one a replica.
        settings: of the method, by name; one number for all, held per replica (``settings[name]``, float32, A).
    """

    def __init__(self, seeds: Sequence[int], settings: dict[str, float]) -> None:
        R = len(seeds)
        self.seeds = list(seeds)
        self.live = list(range(R))  # replica of each row
        self.settings = {name: torch.full((R,), float(value)) for name, value in settings.items()}
        self.windows = {"log": Window(R), "check": Window(R)}
        self.status = [RUNNING] * R
        self.updates = np.zeros(R, dtype=int)  # applied to each replica
        self.epochs = np.zeros(R, dtype=int)  # through a fixed data set
        self.graded = True  # whether answers are right or wrong, so that a replica can solve the task
        self.solved_at = np.full(R, -1)
        columns = ("error", "best_error", "test_loss", "spectral_radius", "seconds")
        self.last = {column: np.full(R, np.nan) for column in columns}  # last known values
        self.means = {name: {metric: np.full(R, np.nan) for metric in METRICS} for name in self.windows}  # likewise
        self.noted: dict[str, Tensor] = {}  # metrics of the update under way, A each
        self.unreported: set[int] = set()  # replicas updated since the last row of the history
        self.diverged_A: Tensor | None = None  # rows to leave after the step under way
        self.interrupt: int | None = None  # the signal that asked to stop
        self.counts: dict[str, Tensor] = {}  # by the optimizer, R each; only where replicas differ in them
        self.parked: dict[int, tuple[Tensor, dict[str, Tensor]]] = {}  # replica: its parameters, its optimizer's state
        self._seconds_before, self._started = 0.0, time.perf_counter()

    # -- the stacked state ---------------------------------------------------------------------------------------

    def attach(self, network: "Network") -> nn.Parameter:
        """Moves the network's parameters into one tensor; returns it, for an optimizer."""
        self.network = network
        stacked = torch.cat([p.detach().flatten(1) for p in network.parameters()], dim=1)
        self.theta_AP = nn.Parameter(stacked)
        self.settings = {name: value.to(stacked.device) for name, value in self.settings.items()}
        self.optimizer: torch.optim.Optimizer | None = None
        self._bind()
        return self.theta_AP

    def _bind(self) -> None:
        """Makes the network's parameters and gradients views of the rows."""
        self.theta_AP.grad = torch.zeros_like(self.theta_AP)
        for p, view, grad in zip(
            self._parameters(), *map(self._split, (self.theta_AP.data, self.grad_AP)), strict=True
        ):
            p.data, p.grad = view, grad

    def _parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    def _split(self, rows_NP: Tensor) -> list[Tensor]:
        """Views of the columns of each parameter, in its shape."""
        shapes = [p.shape[1:] for p in self._parameters()]
        parts = rows_NP.split([shape.numel() for shape in shapes], dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]

    @property
    def grad_AP(self) -> Tensor:
        assert self.theta_AP.grad is not None
        return self.theta_AP.grad

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Updates of the replica that has most."""
        return int(self.updates.max())

    @property
    def seconds(self) -> float:
        """Of training so far, earlier parts of a resumed run included."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def learning(self) -> bool:
        """Whether anything is left to train, and nobody asked to stop."""
        return bool(self.live) and self.interrupt is None

    # -- what happens to replicas --------------------------------------------------------------------------------

    def record(self) -> None:
        """Counts one update of every live replica that has not just diverged; what was noted goes into the windows."""
        values = [self.noted[metric] if metric in self.noted else self._missing() for metric in METRICS]
        for window in self.windows.values():
            window.add(values, self.live)
        lost = [False] * len(self.live) if self.diverged_A is None else self.diverged_A.tolist()
        for replica, is_lost in zip(self.live, lost, strict=True):
            self.updates[replica] += not is_lost
        self.unreported.update(self.live)
        self.noted.clear()

    def _missing(self) -> Tensor:
        return self.theta_AP.new_full((len(self.live),), float("nan"))

    def read(self, name: str) -> dict[str, np.ndarray]:
        """Means of a window by metric and replica, those that left at their last value; the window starts anew."""
        self._read(name, self.live)
        return self.means[name]

    def _read(self, name: str, replicas: Sequence[int]) -> None:
        window = self.windows[name]
        for metric, mean_R in window.mean().items():
            for replica in replicas:
                if window.updates_R[replica]:
                    self.means[name][metric][replica] = mean_R[replica]
        window.clear(replicas)

    def tested(self, replicas: Sequence[int], errors: np.ndarray) -> None:
        """Notes the share of wrong sequences of these replicas."""
        self.last["error"][replicas] = errors
        self.last["best_error"] = np.fmin(self.last["best_error"], self.last["error"])
        self.last["seconds"][replicas] = self.seconds

    def leave(self, leaving_A: Sequence[bool] | np.ndarray, status: str) -> None:
        """Takes rows out; their replicas are recorded with ``status`` and compute no more."""
        gone = [row for row, leaves in enumerate(leaving_A) if leaves]
        if not gone:
            return
        for name in self.windows:
            self._read(name, [self.live[row] for row in gone])
        for row in gone:
            replica = self.live[row]
            self.status[replica] = status
            self.last["seconds"][replica] = self.seconds
            if status == SOLVED:
                self.solved_at[replica] = self.updates[replica]
            memory = {name: value[row].clone() for name, value in self._memory().items()}
            self.parked[replica] = (self.theta_AP.data[row].clone(), memory)
        stay = [row for row in range(len(self.live)) if row not in set(gone)]
        rows = torch.tensor(stay, dtype=torch.long, device=self.theta_AP.device)
        self.live = [self.live[row] for row in stay]
        self.settings = {name: value[rows] for name, value in self.settings.items()}
        memory = {name: value[rows] for name, value in self._memory().items()}
        self._hold(self.theta_AP.data[rows], memory, self.network.cell.select(stay))

    def _hold(self, theta_AP: Tensor, memory: dict[str, Tensor], cell: "Cell") -> None:
        """Makes these rows the stacked state."""
        self.theta_AP.grad = None  # a gradient of another shape would be refused
        self.theta_AP.data, self.network.cell = theta_AP, cell
        if self.optimizer is not None and memory:
            self.optimizer.state[self.theta_AP].update(memory)
        self._bind()

    @contextmanager
    def focus(self, replicas: Sequence[int]) -> Iterator[None]:
        """Only these replicas, of as many updates each, are trained inside; the others wait.

        What an optimizer counts (the ``step`` of torch's) is held per replica from then on.
        """
        live, settings, theta_AP, cell = self.live, self.settings, self.theta_AP.data, self.network.cell
        chosen = [live.index(replica) for replica in replicas]
        state = {} if self.optimizer is None else self.optimizer.state[self.theta_AP]
        rows = torch.tensor(chosen, device=theta_AP.device)
        before = self._memory()
        for name, count in self._counts(state).items():
            state[name] = self.counts.get(name, count.expand(len(self.seeds)))[replicas[0]].clone()
        self.live, self.settings = list(replicas), {name: value[rows] for name, value in settings.items()}
        self._hold(theta_AP[rows], {name: value[rows] for name, value in before.items()}, cell.select(chosen))
        try:
            yield
        finally:
            inside, after = self.live, self._memory()
            for name, count in self._counts(state).items():
                self.counts.setdefault(name, torch.zeros(len(self.seeds), dtype=count.dtype))[inside] = count.cpu()
            stay = [row for row, replica in enumerate(live) if replica in inside or row not in chosen]
            self.live = [live[row] for row in stay]
            own = [self.live.index(replica) for replica in inside]
            everyone = torch.tensor(stay, dtype=torch.long, device=theta_AP.device)
            whole = theta_AP[everyone]
            whole[own] = self.theta_AP.data
            memory = {name: before.get(name, torch.zeros_like(theta_AP))[everyone] for name in after}
            for name, value in after.items():
                memory[name][own] = value
            self.settings = {name: value[everyone] for name, value in settings.items()}
            self._hold(whole, memory, cell.select(stay))

    @staticmethod
    def _counts(state: dict[str, Any]) -> dict[str, Tensor]:
        """What an optimizer keeps as one number for all rows."""
        return {name: value for name, value in state.items() if torch.is_tensor(value) and value.ndim == 0}

    def _memory(self) -> dict[str, Tensor]:
        """The optimizer's state that has a row a replica."""
        state = self.optimizer.state[self.theta_AP] if self.optimizer is not None else {}
        return {k: v for k, v in state.items() if torch.is_tensor(v) and v.shape == self.theta_AP.shape}

    def close(self, budget: int) -> None:
        """Names what those still alive ended with."""
        for replica in self.live:
            ended = self.updates[replica] >= budget
            self.status[replica] = BUDGET if ended else INTERRUPTED
            self.last["seconds"][replica] = self.seconds

    def __str__(self) -> str:
        """For people: updates, solved k/R, the best errors; of a task without right and wrong, epochs and losses."""
        if not self.graded:
            losses = " ".join(f"{loss:.3g}" for loss in sorted(self.means["check"]["loss"])[:5])
            return f"{self.epochs.max():>7,} epochs, {self.step:,} updates  losses {losses}"
        solved = self.status.count(SOLVED)
        errors = sorted(error for error in self.last["best_error"] if not np.isnan(error))
        best = " ".join(f"{100 * error:.2g}" for error in errors[:5]) or "-"
        return f"{self.step:>7,} updates  solved {solved}/{len(self.seeds)}  best errors {best} %"

    # -- checkpoints: all R --------------------------------------------------------------------------------------

    def parameters(self) -> dict[str, Tensor]:
        """Of all R replicas, by name, those that left as they were when they left."""
        theta_RP = self._all(self.theta_AP.data, {r: theta for r, (theta, _) in self.parked.items()})
        names = [name for name, _ in self.network.named_parameters()]
        return {name: part.clone() for name, part in zip(names, self._split(theta_RP), strict=True)}

    def memory(self) -> dict[str, Tensor]:
        """The optimizer's state of all R replicas, as far as it has a row a replica."""
        return {
            name: self._all(live, {r: memory[name] for r, (_, memory) in self.parked.items()})
            for name, live in self._memory().items()
        }

    def _all(self, live_AP: Tensor, parked: dict[int, Tensor]) -> Tensor:
        rows = dict(zip(self.live, live_AP, strict=True)) | parked
        return torch.stack([rows[replica] for replica in range(len(self.seeds))])

    def state_dict(self) -> dict[str, Any]:
        """Outcomes as plain numbers and strings."""
        return {
            "seeds": self.seeds,
            "status": self.status,
            "updates": self.updates.tolist(),
            "solved_at": self.solved_at.tolist(),
            "unreported": sorted(self.unreported),
            "last": {name: values.tolist() for name, values in self.last.items()},
            "means": {name: {m: v.tolist() for m, v in means.items()} for name, means in self.means.items()},
            "windows": {name: (w.sum().tolist(), w.updates_R.tolist()) for name, w in self.windows.items()},
            "epochs": self.epochs.tolist(),
            "counts": {name: count.tolist() for name, count in self.counts.items()},
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Outcomes of a checkpoint; :meth:`begin` then takes out who had left.

        Raises:
            ValueError: a checkpoint of other seeds.
        """
        if state["seeds"] != self.seeds:
            raise ValueError(f"the checkpoint holds the seeds {state['seeds']}, not {self.seeds}")
        self.status = [s if s in ENDED else RUNNING for s in state["status"]]
        self.updates, self.epochs = np.array(state["updates"]), np.array(state["epochs"])
        self.counts = {name: torch.tensor(count) for name, count in state["counts"].items()}
        self.solved_at = np.array(state["solved_at"])
        self.unreported = set(state["unreported"])
        self.last = {name: np.array(values) for name, values in state["last"].items()}
        self.means = {name: {m: np.array(v) for m, v in means.items()} for name, means in state["means"].items()}
        self._seconds_before = state["seconds"]
        for name, (sums, updates) in state["windows"].items():
            self.windows[name].sum_MR = torch.tensor(sums, dtype=torch.float64)
            self.windows[name].updates_R = torch.tensor(updates)

    def begin(self) -> None:
        """When training starts, parameters and optimizer hold all R: those that had left leave again, in silence."""
        self._started = time.perf_counter()
        self._bind()  # Lightning has unset the gradients since
        if all(s == RUNNING for s in self.status):
            return
        status, seconds, solved_at = list(self.status), self.last["seconds"].copy(), self.solved_at.copy()
        self.leave([s != RUNNING for s in status], "left")
        self.status, self.solved_at, self.last["seconds"] = status, solved_at, seconds
