"""Updates of a GPU that are recorded once and replayed.

An update is some tens of launches, and the host takes longer to ask for them than a GPU takes to do them. Where an
update does the same work as one before, for the same rows and of the same shapes, its launches are recorded as a CUDA
graph. From then on an update is a few copies and one launch.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from src import recurrence
from src.linalg import works_ahead
from src.population import Stack
from src.training.update import Method, Updated, is_plain, update
from tasks.batch import Batch
from tasks.task import Task

MOST = 64
"""Kinds of updates that are kept; where there are more, all are forgotten."""

Shape = tuple[tuple[torch.dtype, torch.Size], ...]
Work = Callable[[], None]
Recorder = Callable[[Work], Work]
"""Makes of some work what does it again, on the same tensors."""


class Replays:
    """The recorded updates of a stack, one for each shape of its mini-batches. They are forgotten when its rows move.

    Args:
        recorder: makes what records those that are kept together; None: CUDA graphs.
    """

    def __init__(self, recorder: Callable[[], Recorder] | None = None) -> None:
        self.recorder = recorder or _Graphs
        self.tight = False  # whether there was no memory for a recording
        self.forget()

    def forget(self) -> None:
        """Gives back the memory of what is recorded. To be called before others record for the same rows: a GPU's
        libraries keep memory of their own for all graphs, which does not outlive the first that goes."""
        self.known: dict[Shape, _Recorded | None] = {}  # None: made once, launch by launch
        self.rows: _Rows | None = None
        self.record = self.recorder()

    def update(self, stack: Stack, batch: Batch, task: Task, method: Method, lost_A: Tensor | None) -> Updated | None:
        """One update, as src.training.update makes it; None: it is not recorded, the caller is to make it.

        The first update of a kind is not recorded: kernels are compiled then, and an optimizer's memory is made.

        Args:
            lost_A: rows that have diverged before, and are still there.
        """
        if self.tight or not is_recordable(stack, task, method):
            return None
        shape: Shape = tuple((tensor.dtype, tensor.shape) for tensor in batch[:3])
        moved = self.rows is not None and not self.rows.are(stack)
        if moved or (len(self.known) == MOST and shape not in self.known):
            self.forget()
        self.rows = self.rows or _Rows(stack)
        if shape not in self.known:
            self.known[shape] = None
            return None
        self.rows.take(stack.settings, lost_A)
        recorded = self.known[shape]
        if recorded is None:
            try:
                recorded = _Recorded(self.rows, stack, batch, task, method, self.record)
            except torch.cuda.OutOfMemoryError:  # what is recorded keeps memory that other updates would share
                self.tight = True
                self.forget()
                return None
            self.known[shape] = recorded
        return recorded.again(batch)


def is_recordable(stack: Stack, task: Task, method: Method) -> bool:
    """Whether an update of these rows is a function of the mini-batch, the settings and the rows alone, by kernels."""
    theta_AP = stack.theta_AP
    network = stack.network
    cell = network.architecture.cell
    return (
        works_ahead(theta_AP)
        and network.is_plain
        and task.loss_form is not None
        and not network.architecture.noise
        and is_plain(stack, method)
        and recurrence.backend_of(cell, theta_AP).records(cell, theta_AP)
    )


class _Rows:
    """Where the rows of a stack lie, and its settings in tensors that stay.

    It holds the tensors, so that nothing else can come to lie where they were.
    """

    def __init__(self, stack: Stack) -> None:
        self.places = _places(stack)
        self.settings = {name: value.clone() for name, value in stack.settings.items()}
        self.taken: dict[str, tuple[Tensor, int]] = {}
        self.lost_A = torch.zeros(len(stack.theta_AP), dtype=torch.bool, device=stack.theta_AP.device)
        self.last: Tensor | None = None  # what lost_A holds, as it was handed out

    def are(self, stack: Stack) -> bool:
        """Whether they are the rows of this stack now."""
        there = _places(stack)
        if len(there) != len(self.places) or stack.settings.keys() != self.settings.keys():
            return False
        return all(
            one.data_ptr() == other.data_ptr() and one.shape == other.shape
            for one, other in zip(there, self.places, strict=True)
        )

    def take(self, settings: dict[str, Tensor], lost_A: Tensor | None) -> None:
        """Copies the settings that have changed, and who has diverged."""
        for name, value in settings.items():
            version = value._version
            if name not in self.taken or self.taken[name][0] is not value or self.taken[name][1] != version:
                self.settings[name].copy_(value)
                self.taken[name] = (value, version)
        if lost_A is None:
            self.lost_A.zero_()
        elif lost_A is not self.last:
            self.lost_A.copy_(lost_A)


class _Recorded:
    """An update of one kind.

    Args:
        rows: what all kinds share.
    """

    def __init__(
        self,
        rows: _Rows,
        stack: Stack,
        batch: Batch,
        task: Task,
        method: Method,
        record: Callable[[Work], Work],
    ) -> None:
        self.rows = rows
        self.batch = batch.each(torch.clone)
        self.flags = torch.zeros(8, dtype=torch.bool, device=stack.theta_AP.device)
        self.refused: list[tuple[Tensor, Exception]] = []
        self.names: tuple[str, ...] = ()
        self.found = rows.lost_A.new_zeros(0, dtype=torch.float32)

        def work() -> None:
            own = stack.settings
            stack.settings = rows.settings
            try:
                with recurrence.apart() as refused:
                    found = update(stack, self.batch, task, method, stack.optimizer.step, lost_A=rows.lost_A)
            finally:
                stack.settings = own
            assert found.diverged_A is not None and len(refused) <= len(self.flags)
            self.names = tuple(found.metrics)
            self.found = torch.stack([value.float() for value in found.metrics.values()])
            rows.lost_A.copy_(found.diverged_A)
            for place, (wrong, _) in zip(self.flags.split(1), refused, strict=False):
                place.logical_or_(wrong.any())
            self.refused = [(place, error) for place, (_, error) in zip(self.flags.split(1), refused, strict=False)]

        self.replay = record(work)

    def again(self, batch: Batch) -> Updated:
        """Makes the update with another mini-batch."""
        for own, given in zip(self.batch[:3], batch[:3], strict=True):
            own.copy_(given, non_blocking=True)
        self.replay()
        for wrong, error in self.refused:
            recurrence.refuse(wrong, error)
        diverged_A = self.rows.lost_A.clone()
        self.rows.last = diverged_A
        return Updated(dict(zip(self.names, self.found.clone(), strict=True)), diverged_A)


class _Graphs:
    """Records CUDA graphs. They share memory: one is replayed after the other. Recording waits for the GPU."""

    def __init__(self) -> None:
        self.pool: Any = None

    def __call__(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local")  # others may draw
        with torch.cuda.stream(torch.cuda.current_stream()), recording:  # back to this stream whatever happens
            work()
        self.pool = graph.pool()
        return graph.replay


def _places(stack: Stack) -> list[Tensor]:
    """What an update reads and writes besides the mini-batch and the settings."""
    memory = [value for value in stack.state.values() if torch.is_tensor(value)]
    return [stack.theta_AP, stack.grad_AP, *memory]


def rounded(batch: Batch, every_step: bool, varies: bool) -> Batch:
    """The mini-batch with steps of padding, where lengths differ: so many as make few shapes of many.

    Args:
        varies: whether those of other mini-batches differ.
    """
    longest = batch.inputs.shape[1]
    if batch.lengths is None or (min(batch.lengths) == longest and not varies):
        return batch
    unit = 1 << max(0, longest.bit_length() - 4)
    return batch.lengthened(-(-longest // unit) * unit, every_step)
