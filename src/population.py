"""R replicas trained in lockstep: who still learns, with which settings, what became of the others.

The parameters of the replicas that still learn lie in one tensor, ``theta_AP``, and their gradients in another; the
network's parameters are views of it. Clipping, divergence, the step and leaving are then single operations on rows.
A replica that leaves takes its row out: the rest get cheaper, and it stays as it was.
"""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from src.network import Network

METRICS = ("loss", "omega", "grad_norm", "clipped")
"""Per update and replica: the task's loss alone, Ω, the gradient's norm before clipping, 1 if it was clipped."""

RUNNING, SOLVED, BUDGET, DIVERGED, INTERRUPTED = "running", "solved", "budget", "diverged", "interrupted"


WAITING = 256
"""Most updates whose metrics wait to be summed."""


class Window:
    """Means of the metrics over the updates since it was last cleared.

    Values are kept as they come and summed when somebody asks: an update should not wait for its own record.
    """

    def __init__(self, replicas: int) -> None:
        self.sum_MA = torch.zeros(len(METRICS), replicas, dtype=torch.float64)
        self.updates = 0
        self._waiting: list[list[Tensor]] = []

    def add(self, values: list[Tensor]) -> None:
        """One tensor a metric, A each."""
        self._waiting.append(values)
        self.updates += 1
        if len(self._waiting) == WAITING:
            self.sum()

    def sum(self) -> Tensor:
        """Of all updates, MA; added one after the other, so that when one asks changes no bit."""
        if self._waiting:
            each_UMA = torch.stack([value.double() for values in self._waiting for value in values])
            each_UMA = each_UMA.view(len(self._waiting), len(METRICS), -1)
            self.sum_MA = torch.cat([self.sum_MA[None].to(each_UMA), each_UMA]).cumsum(0)[-1]
            self._waiting = []
        return self.sum_MA

    def keep(self, rows: Tensor) -> None:
        total_MA = self.sum()
        self.sum_MA = total_MA[:, rows.to(total_MA.device)]

    def mean(self) -> dict[str, np.ndarray]:
        """Of each metric, by row; NaN for a window without updates."""
        mean_MA = self.sum() / (self.updates or float("nan"))
        return dict(zip(METRICS, mean_MA.cpu().numpy(), strict=True))

    def clear(self) -> None:
        self.sum_MA = torch.zeros_like(self.sum())
        self.updates = 0


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
        self.settings = {name: torch.full((R,), value) for name, value in settings.items()}
        self.windows = {"log": Window(R), "check": Window(R)}
        self.status = [RUNNING] * R
        self.updates = np.zeros(R, dtype=int)  # applied to each replica
        self.solved_at = np.full(R, -1)
        columns = ("error", "best_error", "spectral_radius", "seconds")
        self.last = {column: np.full(R, np.nan) for column in columns}  # last known values
        self.means = {name: {metric: np.full(R, np.nan) for metric in METRICS} for name in self.windows}  # likewise
        self.noted: dict[str, Tensor] = {}  # metrics of the update under way, A each
        self.unreported: set[int] = set()  # replicas updated since the last row of the history
        self.diverged_A: Tensor | None = None  # rows to leave after the step under way
        self.interrupt: int | None = None  # the signal that asked to stop
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
            window.add(values)
        lost = [False] * len(self.live) if self.diverged_A is None else self.diverged_A.tolist()
        for replica, is_lost in zip(self.live, lost, strict=True):
            self.updates[replica] += not is_lost
        self.unreported.update(self.live)
        self.noted.clear()

    def _missing(self) -> Tensor:
        return self.theta_AP.new_full((len(self.live),), float("nan"))

    def read(self, name: str) -> dict[str, np.ndarray]:
        """Means of a window by metric and replica, those that left at their last value; the window starts anew."""
        self._read(name, range(len(self.live)))
        self.windows[name].clear()
        return self.means[name]

    def _read(self, name: str, rows: Iterable[int]) -> None:
        if self.windows[name].updates:
            for metric, mean_A in self.windows[name].mean().items():
                for row in rows:
                    self.means[name][metric][self.live[row]] = mean_A[row]

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
            self._read(name, gone)
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
        for window in self.windows.values():
            window.keep(rows)
        memory = {name: value[rows] for name, value in self._memory().items()}
        self.theta_AP.grad = None  # a gradient of another shape would be refused
        self.theta_AP.data = self.theta_AP.data[rows]
        self.network.cell = self.network.cell.select(stay)
        if self.optimizer is not None and memory:
            self.optimizer.state[self.theta_AP].update(memory)
        self._bind()

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
        """For people: updates, solved k/R, the best errors."""
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
            "windows": {name: (w.sum().cpu().tolist(), w.updates) for name, w in self.windows.items()},
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Outcomes of a checkpoint; :meth:`begin` then takes out who had left.

        Raises:
            ValueError: a checkpoint of other seeds.
        """
        if state["seeds"] != self.seeds:
            raise ValueError(f"the checkpoint holds the seeds {state['seeds']}, not {self.seeds}")
        self.status = [s if s in (SOLVED, DIVERGED) else RUNNING for s in state["status"]]
        self.updates = np.array(state["updates"])
        self.solved_at = np.array(state["solved_at"])
        self.unreported = set(state["unreported"])
        self.last = {name: np.array(values) for name, values in state["last"].items()}
        self.means = {name: {m: np.array(v) for m, v in means.items()} for name, means in state["means"].items()}
        self._seconds_before = state["seconds"]
        self._windows_before = state["windows"]

    def begin(self) -> None:
        """When training starts, parameters and optimizer hold all R: those that had left leave again, in silence."""
        self._started = time.perf_counter()
        self._bind()  # Lightning has unset the gradients since
        if not hasattr(self, "_windows_before"):
            return
        status, seconds, solved_at = list(self.status), self.last["seconds"].copy(), self.solved_at.copy()
        self.leave([s != RUNNING for s in status], "left")
        self.status, self.solved_at, self.last["seconds"] = status, solved_at, seconds
        for name, (sums, updates) in self._windows_before.items():
            window = self.windows[name]
            window.sum_MA = torch.tensor(sums, dtype=torch.float64).view(len(METRICS), len(self.live))
            window.updates = updates
        del self._windows_before
