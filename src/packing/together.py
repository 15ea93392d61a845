"""The updates of several populations, made in one call for the rows of all.

The rows of all that still learn lie in one stack. Each population's own stack is a part of it, so that its tests, its
measurements and its checkpoints see what the common updates did. When somebody leaves a population its rows are copied
out, and the common stack is made anew.
"""

import time
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from src import recurrence
from src.linalg import works_ahead
from src.network import Network
from src.population import Population, Stack
from src.population.population import OFF
from src.training.module import Training
from src.training.pace import Pace
from src.training.replay import Replays, rounded
from src.training.update import Several, Updated, advance, update
from tasks.batch import Batch
from tasks.block import NOTHING, Block, beside

SIDE_BY_SIDE = 16
"""Updates, made one by one, whose mini-batches are put side by side at a time."""


class Member:
    """A population in the middle of a block.

    Args:
        training: of the population.
        block: the mini-batches of its next updates.
    """

    def __init__(self, training: Training, block: Block) -> None:
        self.training = training
        self.present = list(training.population.live)  # whose mini-batches the block holds
        self.block = block
        self.made = 0

    @property
    def population(self) -> Population:
        """What is trained."""
        return self.training.population

    @property
    def is_through(self) -> bool:
        """Whether there is nothing left to do in the block."""
        return self.made == len(self.block) or not self.population.learning

    def coming(self, count: int) -> Block:
        """The next mini-batches of those who still learn."""
        block = self.block[self.made : self.made + count]
        live = self.population.live
        return block if live == self.present else block.select([self.present.index(replica) for replica in live])

    def take(self, found: Updated) -> None:
        """Notes an update that was made."""
        self.made += 1
        self.training.take(found)

    def take_several(self, found: Several) -> None:
        """Notes updates that were made."""
        self.made += len(found)
        self.training.take_several(found)


class CommonStack:
    """The rows of several populations, one after the other.

    Args:
        members: populations whose methods are alike but for the numbers that each row has for itself.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        stacks = [member.population.stack for member in members]
        self.parts = stacks
        ends = [0, *accumulate(len(stack.replicas) for stack in stacks)]
        self.rows = [slice(first, end) for first, end in pairwise(ends)]
        networks = [stack.network for stack in stacks]
        architecture = networks[0].architecture
        for network, rows in zip(networks[1:], self.rows[1:], strict=True):
            architecture = architecture.beside(rows.start, network.architecture, rows.stop - rows.start)
        named = [dict(network.named_parameters()) for network in networks]
        stacked = {name: torch.cat([own[name].detach() for own in named]) for name in named[0]}
        make_optimizer = members[0].training.method.make_optimizer
        self.stack = Stack(Network(architecture, stacked), {}, make_optimizer)
        self.stack.state.update(_joined(stacks))
        for stack, rows in zip(stacks, self.rows, strict=True):
            stack.theta.grad = None  # a gradient of another shape would be refused
            stack.theta.data = self.stack.theta_AP[rows]
            stack.bind()
        self.places = [_place(stack) for stack in stacks]
        self.replays = Replays()
        self.lost_A: Tensor | None = None  # rows that the last update knew to have diverged; None: see _lost
        self.hand_back()

    def is_of(self, members: Sequence[Member]) -> bool:
        """Whether these populations' stacks are still the parts of this one."""
        stacks = [member.population.stack for member in members]
        return stacks == self.parts and [_place(stack) for stack in stacks] == self.places

    def settings(self) -> dict[str, Tensor]:
        """The numbers of the methods, as the populations have them now."""
        names = dict.fromkeys(name for stack in self.parts for name in stack.settings)
        found = {}
        for name in names:
            each = []
            for stack, rows in zip(self.parts, self.rows, strict=True):
                off = self.stack.theta_AP.new_full((rows.stop - rows.start,), OFF.get(name, 0.0))
                each.append(stack.settings.get(name, off))
            found[name] = torch.cat(each)
        return found

    def hand_back(self) -> None:
        """Gives each population what the optimizer remembers of its rows."""
        if not self.stack.state:
            return
        for stack, rows in zip(self.parts, self.rows, strict=True):
            for name, value in self.stack.state.items():
                whole = torch.is_tensor(value) and value.shape[:1] == self.stack.theta.shape[:1]
                stack.state[name] = value[rows] if whole else _copied(value)


class Together:
    """Makes the updates of a pack. Common stacks are kept from block to block."""

    def __init__(self) -> None:
        self.common: list[CommonStack] = []
        self.pace = Pace()

    def advance(self, members: Sequence[Member]) -> None:
        """Makes updates of all members until one of them is through with its block."""
        groups: dict[Any, list[Member]] = {}
        for member in members:
            groups.setdefault(_counts(member.population.stack), []).append(member)
        count = min(len(member.block) - member.made for member in members)
        before = self.common
        found = [next((common for common in before if common.is_of(alike)), None) for alike in groups.values()]
        for common in before:
            if common not in found:
                common.replays.forget()
        self.common = []
        for alike, known in zip(groups.values(), found, strict=True):
            self.common.append(self._advance(alike, known or CommonStack(alike), count))
        _settle([member.training for member in members])

    def close(self) -> None:
        """Gives back what was kept."""
        for common in self.common:
            common.replays.forget()
        self.common = []

    def _advance(self, members: list[Member], common: CommonStack, count: int) -> CommonStack:
        """So many updates of members whose optimizers have made as many steps."""
        common.stack.settings = common.settings()
        common.lost_A = None
        made = 0
        at_once = True
        coming = NOTHING  # the mini-batches of all rows, where updates are made one by one
        living = _living(members)  # a list each, and another one when somebody leaves
        while made < count:
            if any(member.population.live is not live for member, live in zip(members, living, strict=True)):
                coming = NOTHING
                members = [member for member in members if not member.is_through]
                if not members:
                    return common
                common.replays.forget()
                common = CommonStack(members)
                common.stack.settings = common.settings()
                living = _living(members)
            if not all(member.population.learning for member in members):
                break
            if at_once:
                wanted = min(count - made, self.pace.count)
                start = time.perf_counter()
                found = _advance(members, common, wanted)
                self.pace.note(len(found), time.perf_counter() - start)
                at_once = len(found) == wanted
                common.hand_back()
                for member, rows in zip(members, common.rows, strict=True):
                    member.take_several(found.of(rows))
                made += len(found)
            else:
                if not len(coming):
                    coming = _coming(members, min(count - made, SIDE_BY_SIDE))
                one = _update(members, common, coming[0])
                coming = coming[1:]
                common.hand_back()
                for member, rows in zip(members, common.rows, strict=True):
                    member.take(_part(one, rows))
                made += 1
        return common


def _living(members: Sequence[Member]) -> list[list[int]]:
    """The replicas of each that still learn."""
    return [member.population.live for member in members]


def _coming(members: Sequence[Member], count: int) -> Block:
    """The next mini-batches of all rows."""
    return beside([member.coming(count) for member in members])


def _advance(members: Sequence[Member], common: CommonStack, count: int) -> Several:
    """The next updates of all rows in one call, as far as they can be made so."""
    first = members[0].training
    if works_ahead(common.stack.theta_AP):
        return Several(0, {})
    own = [member.coming(count) for member in members]
    if any(member.training.is_cut(block) for member, block in zip(members, own, strict=True)):
        return Several(0, {})
    return advance(common.stack, beside(own), first.task, first.method)


def _update(members: Sequence[Member], common: CommonStack, batch: Batch) -> Updated:
    """One update of all rows."""
    first = members[0].training
    borders = _borders(members, common, batch)
    lost_A = _lost(members, common) if common.lost_A is None else common.lost_A
    if works_ahead(common.stack.theta_AP):
        varies = any(member.training.varies for member in members)
        batch = rounded(batch, first.task.every_step, varies)
        if borders is None:
            again = common.replays.update(common.stack, batch, first.task, first.method, lost_A)
            if again is not None:
                common.lost_A = again.diverged_A
                return again
    draws = []
    for member in members:
        draws += member.population.draws(ahead=len(member.training.waiting))
    step: Callable[[], object] = common.stack.optimizer.step
    found = update(
        common.stack,
        batch,
        first.task,
        first.method,
        step,
        draws,
        borders=borders,
        lost_A=lost_A,
    )
    common.lost_A = found.diverged_A
    return found


def _settle(trainings: Sequence[Training]) -> None:
    """Records the updates that wait for it. A device is asked once for all populations who diverged, and when."""
    asking = []
    for training in trainings:
        pending = training.pending
        if pending is not None:
            asking.append((training, pending))
    if not asking:
        return
    flags = torch.cat([pending.flatten() for _, pending in asking])
    answers = recurrence.ask(flags).split([pending.numel() for _, pending in asking])
    for (training, pending), lost in zip(asking, answers, strict=True):
        training.settle(lost.view(pending.shape))


def _borders(members: Sequence[Member], common: CommonStack, batch: Batch) -> list[list[int]] | None:
    """Where the sequences of all rows are cut; None: nowhere."""
    trainings = [member.training for member in members]
    if not any(training.may_cut(batch.inputs.shape[1]) for training in trainings):
        return None
    assert batch.lengths is not None
    own = [batch.each(lambda tensor, rows=rows: tensor[rows], batch.lengths[rows]) for rows in common.rows]  # type: ignore[misc]
    cuts = [training.cuts(each) for training, each in zip(trainings, own, strict=True)]
    if all(each is None for each in cuts):
        return None
    found: list[list[int]] = []
    for borders, each in zip(cuts, own, strict=True):
        found += borders if borders is not None else [[0, length] for length in each.lengths or []]
    return found


def _lost(members: Sequence[Member], common: CommonStack) -> Tensor | None:
    """Who has diverged before and is still there; None: nobody."""
    flags = [member.training.waiting[-1].diverged_A if member.training.waiting else None for member in members]
    if all(own is None for own in flags):
        return None
    whole = torch.zeros(len(common.stack.theta_AP), dtype=torch.bool, device=common.stack.theta_AP.device)
    for own, rows in zip(flags, common.rows, strict=True):
        if own is not None:
            whole[rows] = own
    return whole


def _part(made: Updated, rows: slice) -> Updated:
    """What an update found of some rows."""
    metrics = {name: value_A[rows] for name, value_A in made.metrics.items()}
    return Updated(metrics, None if made.diverged_A is None else made.diverged_A[rows])


def _place(stack: Stack) -> tuple[int, int]:
    """Where the rows of a stack lie in memory, and how many they are."""
    return stack.theta_AP.data_ptr(), len(stack.theta_AP)


def _memory(stack: Stack) -> dict[str, Any]:
    """What an optimizer remembers of its rows, and its counts."""
    return stack.rows().memory | stack.counts()


def _joined(stacks: Sequence[Stack]) -> dict[str, Any]:
    """The memory of all rows, one after the other; counts are the same for all.

    Who has made no update yet has no memory where others have one, like a velocity: then it is 0.
    """
    memories = [_memory(stack) for stack in stacks]
    known = {name: value for memory in memories for name, value in memory.items()}
    found = {}
    for name, value in known.items():
        if value.ndim == 0:
            found[name] = _copied(value)
            continue
        zeros = [value.new_zeros(len(stack.replicas), *value.shape[1:]) for stack in stacks]
        found[name] = torch.cat([memory.get(name, zero) for memory, zero in zip(memories, zeros, strict=True)])
    return found


def _counts(stack: Stack) -> tuple[tuple[str, float], ...]:
    """What an optimizer counts: rows with other counts are not trained in one call."""
    return tuple((name, float(count)) for name, count in stack.counts().items())


def _copied(value: Any) -> Any:
    return value.clone() if torch.is_tensor(value) else value
