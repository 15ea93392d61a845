"""Trains the jobs of a pack: each runs until it needs updates; these are made for all, until all have ended."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from src import recurrence
from src.packing.progress import Display
from src.packing.together import Member, Together
from src.packing.turns import Seat

STOPS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal asked the jobs of a pack to stop, and they have."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def train(jobs: Sequence[Callable[[], Any]], display: Display) -> list[Any]:
    """Runs jobs together, and returns what each returned.

    Raises:
        Stopped: a signal asked them to stop.
        BaseException: what ended a job, when all others have come to their end.
    """
    said: set[str] = set()
    seats = [Seat(job, said, len(jobs)) for job in jobs]
    with _listening(seats) as received:
        for seat in seats:
            if not received:
                seat.go()
        _take_turns(seats, received, display)
    if received:
        raise Stopped(received[0])
    for seat in seats:
        if seat.error is not None:
            raise seat.error
    return [seat.answer for seat in seats]


def _take_turns(seats: Sequence[Seat], received: list[int], display: Display) -> None:
    """Makes the updates that jobs ask for, until none asks any more."""
    together = Together()
    members: dict[Seat, Member] = {}
    recurrence.share_threads()
    while True:
        waiting = [seat for seat in seats if seat.training is not None and not seat.ended]
        if not waiting:
            together.close()
            return
        for seat in waiting:
            assert seat.training is not None
            if seat not in members:
                members[seat] = Member(seat.training, seat.block)
            if received and seat.training.population.interrupt is None:
                seat.training.population.interrupt = received[0]
        _advance(together, [members[seat] for seat in waiting], waiting)
        display.show([seat.training for seat in seats if seat.training is not None])
        for seat in waiting:
            if members[seat].is_through or seat.refusal is not None:
                del members[seat]
                seat.go()


def _advance(together: Together, members: list[Member], waiting: Sequence[Seat]) -> None:
    """Makes updates; what goes wrong ends every job that waited for them."""
    learning = [member for member in members if not member.is_through]
    if not learning:
        return
    try:
        together.advance(learning)
    except Exception as error:
        for seat in waiting:
            seat.refusal = error


@contextmanager
def _listening(seats: Sequence[Seat]) -> Iterator[list[int]]:
    """Takes the first signal to stop for the populations of all jobs; a second one ends the process at once."""
    received: list[int] = []

    def handle(signum: int, _: FrameType | None) -> None:
        if received:
            os._exit(128 + signum)
        received.append(signum)
        for seat in seats:
            if seat.training is not None:
                seat.training.population.interrupt = signum

    former = {signum: signal.signal(signum, handle) for signum in STOPS}
    try:
        yield received
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
