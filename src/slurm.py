"""The queue of Slurm, asked by squeue: sacct, which submitit asks, needs a database that not all clusters have."""

import subprocess
import time
from contextlib import suppress
from pathlib import Path

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

SECONDS = 30
"""Most time between two looks at the queue."""


class Queue(SlurmInfoWatcher):
    """Tells submitit which jobs are still in the queue or run. What is not there any more has come to an end."""

    def _make_command(self) -> list[str]:
        return ["squeue", "--me", "--noheader", "--array", "--format=%i"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        listed = string if isinstance(string, str) else string.decode()
        here = set(listed.split())
        return {job: {"State": "RUNNING" if job in here else "GONE"} for job in self._registered}


def ask_the_queue() -> None:
    """Has submitit ask the queue from now on."""
    SlurmJob.watcher = Queue(delay_s=SECONDS)


def wait_for_jobs(sweep: Path) -> None:
    """Waits until no job of a sweep is in the queue or runs, or until Ctrl-C."""
    ours = {folder.name.split("_")[0] for folder in (sweep / ".submitit").glob("*")}
    with suppress(KeyboardInterrupt):
        while ours & listed():
            time.sleep(2)


def listed() -> set[str]:
    """Numbers of the user's jobs that are in the queue or run; of an array, the array's."""
    found = subprocess.run(["squeue", "--me", "--noheader", "--format=%F"], capture_output=True, text=True)
    return set(found.stdout.split())
