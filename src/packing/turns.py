"""Jobs that take turns: each is a thread, and of all of them, and the main thread, one is at work at a time."""

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig

from src.training.module import Training
from tasks.block import NOTHING, Block


@dataclass
class Surroundings:
    """What belongs to the process and differs between jobs: Hydra's configuration, and where lines of logs go."""

    hydra: Any
    handlers: list[logging.Handler]

    @classmethod
    def now(cls) -> "Surroundings":
        """As they are."""
        return cls(HydraConfig.instance().cfg, list(logging.root.handlers))

    def restore(self) -> None:
        """Makes them those of the process."""
        HydraConfig.instance().cfg = self.hydra
        logging.root.handlers = list(self.handlers)


class Seat:
    """The place of one job in a pack.

    The main thread calls :meth:`go`; the job then runs until it asks for updates (:meth:`work`) or ends.

    Args:
        job: the whole of it.
        said: lines that a job of the pack has printed; it is shared by them.
        jobs: of the pack.
    """

    def __init__(self, job: Callable[[], Any], said: set[str], jobs: int) -> None:
        self.job = job
        self.said = said
        self.jobs = jobs
        self.training: Training | None = None  # once it asks for its first updates
        self.block: Block = NOTHING
        self.ended = False
        self.answer: Any = None
        self.error: BaseException | None = None  # that ended the job
        self.refusal: Exception | None = None  # that the job shall end with
        self._surroundings = Surroundings.now()
        self._its_turn = threading.Semaphore(0)
        self._our_turn = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)  # the process may end before the job does

    def go(self) -> None:
        """Lets the job run until it asks for updates or ends."""
        ours = Surroundings.now()
        self._surroundings.restore()
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._its_turn.release()
        self._our_turn.acquire()
        self._surroundings = Surroundings.now()
        ours.restore()

    def work(self, training: Training, block: Block) -> None:
        """Called by the job: has the updates of its next block made."""
        self.training = training
        self.block = block
        self._our_turn.release()
        self._its_turn.acquire()
        if self.refusal is not None:
            raise self.refusal

    def _run(self) -> None:
        _seats.mine = self
        try:
            self.answer = self.job()
        except BaseException as error:  # whoever waits for the job raises it
            self.error = error
        self.ended = True
        self._our_turn.release()


class _Seats(threading.local):
    """Each thread's seat."""

    mine: Seat | None = None


_seats = _Seats()


def seat() -> Seat | None:
    """The seat of the job that is at work; None where it is not packed."""
    return _seats.mine


def say(line: str) -> None:
    """Prints what a run says of itself, unless another job of its pack has said the same."""
    mine = seat()
    if mine is not None:
        if line in mine.said:
            return
        mine.said.add(line)
    print(line, file=sys.stderr)
