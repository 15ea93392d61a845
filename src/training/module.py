"""The LightningModule: a block of updates of a population, by manual optimization."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src import recurrence
from src.linalg import works_ahead
from src.network import Carry, Network
from src.population import Population, checkpoint
from src.rundir import BUDGET, DIVERGED
from src.training.carried import Carried
from src.training.pace import Pace
from src.training.replay import Replays, rounded
from src.training.stages import OneStage, Stages
from src.training.success import SuccessTest
from src.training.update import Method, Several, Updated, advance, update
from tasks.batch import Batch
from tasks.block import Block
from tasks.task import Task

Borders = Callable[[int, int], list[int]]
"""Where a replica's sequences of this length are cut, from 0 to the length."""


Work = Callable[["Training", Block], None]
"""Makes the updates of a block."""


def uncut(replica: int, length: int) -> list[int]:
    """Sequences are left whole."""
    return [0, length]


class Training(pl.LightningModule):
    """Trains a population on a task. Lightning sees a block of updates as one batch.

    Args:
        task: what is learned.
        network: of all replicas, at their start.
        population: what becomes of them.
        success: the test of a replica.
        method: how a gradient becomes a step.
        max_steps: updates of each replica.
        max_epochs: through a fixed data set.
        config: kept in checkpoints; plain numbers, strings, lists and dictionaries.
        borders: where a replica's sequences are cut (truncated BPTT).
        stages: which task each replica learns and is tested on; None: ``task``, all of them.
    """

    def __init__(
        self,
        task: Task,
        network: Network,
        population: Population,
        success: SuccessTest,
        method: Method,
        max_steps: int,
        config: dict[str, Any],
        max_epochs: int | None = None,
        borders: Borders = uncut,
        stages: Stages | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task = task
        self.network = network
        self.population = population
        self.success = success
        self.method = method
        self.max_steps = max_steps
        self.max_epochs = max_epochs
        self.config = config
        self.borders = borders
        self.stages = stages or OneStage(task)
        self.waiting: list[Updated] = []  # updates that were made and not yet recorded
        self.carried = Carried()  # between epochs
        self.work: Work = by_itself  # or together with other populations, see src/packing
        self.pace = Pace()
        self.replays = Replays()
        self.watched = False  # whether somebody wants to see each step
        self.moved = False  # whether the last block made updates: a run that is stopped may end with one that does not

    @property
    def varies(self) -> bool:
        """Whether mini-batches differ in length."""
        return self.task.varies or not isinstance(self.stages, OneStage)

    # -- training ----------------------------------------------------------------------------------------------------

    def training_step(self, block: Block, _: int) -> None:
        population = self.population
        before = (population.updates.sum(), len(population.live))
        self.work(self, block)
        self.settle()
        self.moved = before != (population.updates.sum(), len(population.live))

    def epoch(self, data: Batch, present: list[int]) -> None:
        """Goes once through the data: each replica's sequences part after part, in order, an update a part.

        Replicas whose sequences are cut alike, and that have made as many updates, are trained together. An epoch is
        always finished: budgets and signals wait for its end.
        """
        population = self.population
        together: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for replica in population.live:
            borders = self.borders(replica, data.inputs.shape[1])
            together[(*borders, int(population.updates[replica]))].append(replica)
        for (*borders, _), replicas in together.items():
            with population.focus(replicas):
                self.parts(part_of(data, present, replicas), borders, replicas)
                self.settle()
                population.epochs[population.live] += 1
        diverged_A = ~population.stack.theta_AP.isfinite().all(1)  # by the last update itself
        population.leave(recurrence.ask(diverged_A).tolist(), DIVERGED)

    def parts(self, data: Batch, borders: list[int], replicas: list[int]) -> None:
        """Makes an update of each part of these replicas' sequences. The state is carried over from part to part, and
        from the epoch before where the sequences go on."""
        population = self.population
        goes_on = self.task.continues(int(population.epochs[replicas[0]]))
        carry = self.carried.take(replicas, self.network.W.device) if goes_on else Carry()
        for part in data.cut(borders, self.task.every_step):
            live = population.live
            if not live:
                break
            self.update(part_of(part, replicas, live), carry)
            if population.live is not live:  # somebody diverged
                carry.select([live.index(replica) for replica in population.live])
        if self.task.rounds > 1:
            self.carried.put(population.live, carry)

    def update(self, batch: Batch, carry: Carry | None = None, borders: list[list[int]] | None = None) -> None:
        """Makes one update; then whoever diverged leaves: at once on the CPU, elsewhere at the end of a block or epoch.

        Args:
            carry: states to begin with, which an epoch hands on from part to part.
            borders: where fresh sequences are cut.
        """
        population = self.population
        lost_A = self.waiting[-1].diverged_A if self.waiting else None
        if works_ahead(population.stack.theta_AP):
            batch = rounded(batch, self.task.every_step, self.varies)
            if carry is None and borders is None and not self.watched:
                again = self.replays.update(population.stack, batch, self.task, self.method, lost_A)
                if again is not None:
                    self.take(again)
                    return
        step = self.optimizers().step  # type: ignore[union-attr]
        draws = population.draws(ahead=len(self.waiting))
        found = update(population.stack, batch, self.task, self.method, step, draws, carry, borders, lost_A)
        self.waiting.append(found)
        if not works_ahead(population.stack.theta_AP):
            self.settle()

    def advance(self, block: Block) -> int:
        """Makes updates in one call, as many as can be made so; returns how many.

        Args:
            block: the next updates' mini-batches, of the living.
        """
        if self.watched or self.is_cut(block):
            return 0
        found = advance(self.population.stack, block, self.task, self.method)
        self.take_several(found)
        return len(found)

    def take(self, found: Updated) -> None:
        """Notes an update whose step Lightning has not seen."""
        self.count(1)
        self.waiting.append(found)
        if not works_ahead(self.population.stack.theta_AP):
            self.settle()

    def take_several(self, found: Several) -> None:
        """Notes updates, none of which diverged, whose steps Lightning has not seen."""
        if len(found) == 0:
            return
        self.count(len(found))
        self.settle()
        self.population.record_several(found.metrics, len(found))

    def count(self, updates: int) -> None:
        """Tells Lightning how many steps were made without it."""
        self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.increment_by(updates)

    @property
    def pending(self) -> Tensor | None:
        """Who diverged in the updates that wait to be recorded, one row per update; None: no row is in doubt."""
        flags = [found.diverged_A for found in self.waiting if found.diverged_A is not None]
        return torch.stack(flags) if flags else None

    def settle(self, lost: Tensor | None = None) -> None:
        """Records the updates that wait for it. A device is asked once for all of them who diverged, and when.

        Args:
            lost: the answer, where somebody has asked already: ``pending``, on the host.
        """
        waiting = list(self.waiting)
        if not waiting:
            return
        pending = self.pending
        self.waiting.clear()  # setting an attribute of a module takes as long as a small update
        if pending is None:
            for found in waiting:
                self.population.record(found.metrics)
            return
        lost = recurrence.ask(pending) if lost is None else lost
        rows = list(range(lost.shape[1]))  # of those who have not diverged yet
        for found, diverged_A in zip(waiting, lost.numpy(), strict=True):
            everybody = len(rows) == len(diverged_A)
            metrics = found.metrics
            if not everybody:
                metrics = {name: value_A[rows] for name, value_A in metrics.items()}
            self.note(metrics, diverged_A[rows])
            rows = [row for row in rows if not diverged_A[row]]

    def note(self, metrics: dict[str, Tensor], diverged_A: np.ndarray) -> None:
        """Records one update of the living; whoever diverged in it is tested once more, and leaves."""
        population = self.population
        population.record(metrics, diverged_A)
        if not diverged_A.any():
            return
        if self.task.graded:
            self.test(np.flatnonzero(diverged_A).tolist(), full=True)
        population.leave(diverged_A, DIVERGED)

    def is_cut(self, block: Block) -> bool:
        """Whether some of these sequences are cut."""
        return self.may_cut(block.inputs.shape[2]) and any(self.cuts(batch) is not None for batch in block)

    def may_cut(self, longest: int) -> bool:
        """Whether some sequences of the living are cut, if they are as long as that."""
        return self.borders is not uncut and any(len(self.borders(r, longest)) > 2 for r in self.population.live)

    def cuts(self, batch: Batch) -> list[list[int]] | None:
        """Where the fresh sequences of each row are cut; None: nowhere.

        Where the only target is at the last step the parts are counted from there, so that the gradient reaches back
        one whole part.
        """
        if not self.may_cut(batch.inputs.shape[1]):
            return None
        lengths = batch.length.tolist() if batch.lengths is None else batch.lengths
        found = []
        for replica, length in zip(self.population.live, lengths, strict=True):
            borders = self.borders(replica, length)
            found.append(borders if self.task.every_step else [length - border for border in reversed(borders)])
        return found if any(len(borders) > 2 for borders in found) else None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.population.attach(self.network, self.method.make_optimizer)

    def on_train_end(self) -> None:
        self.replays.forget()

    def on_train_start(self) -> None:
        self.population.begin()
        nothing = (pl.Callback.on_before_optimizer_step, pl.LightningModule.on_before_optimizer_step)
        hooks = [each.on_before_optimizer_step for each in (self, *self.trainer.callbacks)]  # type: ignore[attr-defined]
        self.watched = any(getattr(hook, "__func__", None) not in nothing for hook in hooks)
        if self.task.epochs:  # a resumed run's budget may be spent for some
            self.population.leave(self.spent_R[self.population.live], BUDGET)

    # -- budgets and tests -------------------------------------------------------------------------------------------

    @property
    def check_due(self) -> bool:
        """Whether it is time for a regular test; in epochs, for a row of the history. Never twice after one update."""
        return self.moved and (self.task.epochs or self.population.step % self.success.check_every == 0)

    @property
    def spent_R(self) -> np.ndarray:
        """Which replicas have used up their budget."""
        population = self.population
        epochs = np.inf if self.max_epochs is None else self.max_epochs
        return (population.updates >= self.max_steps) | (population.epochs >= epochs)

    @property
    def spent(self) -> bool:
        """Whether some replica has used up its budget."""
        return bool(self.spent_R.any())

    @property
    def stopping(self) -> bool:
        """Whether this was the last block: nobody learns any more, or somebody asked to stop."""
        return not self.population.learning or (self.spent and not self.task.epochs)

    def test(self, rows: list[int], full: bool) -> np.ndarray:
        """Tests the replicas of these rows and notes their errors; returns who passed."""
        population = self.population
        replicas = [population.live[row] for row in rows]
        seeds = [population.seeds[replica] for replica in replicas]
        updates = population.updates[replicas].tolist()
        tasks = [self.stages.tested(replica) for replica in replicas]
        errors, passed = self.success.run(self.network.select(rows), self.task, seeds, updates, full, tasks)
        population.tested(replicas, errors, [task.length for task in tasks])
        return passed

    # -- checkpoints hold all R replicas -----------------------------------------------------------------------------

    def on_save_checkpoint(self, content: dict[str, Any]) -> None:
        checkpoint.save(content, self.population, self.config, self.task.keepsake())
        content["carried"] = self.carried.state_dict()

    def on_load_checkpoint(self, content: dict[str, Any]) -> None:
        checkpoint.restore(content, self.population, self.task.keepsake())
        self.carried.load_state_dict(content.get("carried", {}))


def by_itself(training: Training, block: Block) -> None:
    """Makes the updates of a block: many in one call as long as that can be done, then one after the other."""
    population = training.population
    present = list(population.live)
    if training.task.epochs:
        for data in block:
            if not population.learning:
                break
            training.epoch(data, present)
        return
    made = 0
    at_once = True
    while made < len(block) and population.learning:
        if at_once:
            coming = block[made : made + training.pace.count]
            start = time.perf_counter()
            done = training.advance(coming)
            training.pace.note(done, time.perf_counter() - start)
            made += done
            at_once = done == len(coming)
            continue
        batch = part_of(block[made], present, population.live)
        training.update(batch, borders=training.cuts(batch))
        made += 1


def part_of(batch: Batch, present: list[int], replicas: list[int]) -> Batch:
    """The mini-batches of some of those present."""
    return batch if replicas == present else batch.select([present.index(replica) for replica in replicas])
