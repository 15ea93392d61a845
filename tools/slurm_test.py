"""Sends sweeps through a real Slurm of one node, and compares what they leave with the same sweep run without Slurm.

    python tools/slurm_test.py

It starts munged, slurmctld and slurmd for itself, in a temporary folder and on the loopback device, and ends them at
its end. Where they are not installed it says so and does nothing.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch

from src.population import checkpoint
from src.rundir import RunDirectory

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
HOST = socket.gethostname().split(".")[0]

SWEEP = (
    *("-m", "experiment=smoke", "optimizer=msgd_c", "task.length=20", "replicas=2", "success.check_every=100"),
    *("success.max_error=1e-9", "callbacks.diagnostics.every=null", "callbacks.recorder.seconds=1"),
    *("trainer.max_steps=6000", "seed=0,7,9", "threads=1"),
)
IN_SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null")
NOT_AGAIN = (
    "~hydra.launcher.additional_parameters.requeue",
    "+hydra.launcher.additional_parameters.no_requeue=true",
)
JOBS = ("0_seed=0", "1_seed=7", "2_seed=9")

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerType=sched/builtin
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


class Cluster:
    """One node of Slurm.

    Args:
        folder: for everything that it writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.environment = os.environ | {"SLURM_CONF": str(self.conf), "PATH": PATH}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self.conf.write_text(SLURM_CONF.format(folder=folder, host=HOST, user=getpass.getuser(), ports=free_ports(2)))

    def start(self) -> None:
        """Starts all daemons, and waits for the node."""
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "seed", "log")]
        self.daemon("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
        wait("munged", lambda: (self.folder / "munge.socket").exists())
        self.daemon("slurmctld", "-D", "-f", str(self.conf))
        self.daemon("slurmd", "-D", "-f", str(self.conf))
        wait("the node", lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"))

    def daemon(self, *command: str) -> None:
        """Starts a daemon; what it says goes to a file."""
        with (self.folder / f"{command[0]}.out").open("ab") as file:
            self.daemons[command[0]] = subprocess.Popen(
                command, env=self.environment, stdout=file, stderr=file, start_new_session=True
            )

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def tell(self, *command: str) -> None:
        """Runs a command of Slurm that must succeed."""
        subprocess.run(command, env=self.environment, check=True)

    def job(self, number: int) -> str:
        """The name in the queue of a sweep's job, by its place in the array that was submitted last."""
        arrays = self.ask("squeue", "--noheader", "--array", "--format=%F").split()
        return f"{max(arrays, key=int)}_{number}"

    def lose_the_node(self) -> None:
        """Kills everything that runs on the node, as a failure of its power would."""
        self.daemons["slurmd"].kill()
        self.daemons["slurmd"].wait()
        for process in self.on_the_node():
            os.kill(process, signal.SIGKILL)
        self.tell("scontrol", "update", f"nodename={HOST}", "state=down", "reason=test")

    def bring_the_node_back(self) -> None:
        """Starts the node's daemon again."""
        self.daemon("slurmd", "-D", "-f", str(self.conf))
        self.tell("scontrol", "update", f"nodename={HOST}", "state=resume")

    def on_the_node(self) -> list[int]:
        """Processes of jobs: those that have this cluster in their environment, and a job or its keeper."""
        mine = f"SLURM_CONF={self.conf}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes()
            except OSError:  # it has ended, or is another's
                continue
            of_a_job = any(word.startswith(b"SLURM_JOB_ID=") for word in words) or b"slurmstepd" in command
            if mine in words and of_a_job:
                found.append(int(folder.name))
        return found

    def stop(self) -> None:
        """Ends all jobs and daemons."""
        self.ask("scancel", "--me", "--signal=KILL", "--full")
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self.daemons:
                self.daemons[name].terminate()
                self.daemons[name].wait()
        for process in self.on_the_node():
            os.kill(process, signal.SIGKILL)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that is there for a while; where something went wrong, its folder stays."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-test-"))
    made = Cluster(folder)
    try:
        made.start()
        yield made
    except BaseException:
        made.stop()
        print(f"logs and results are in {folder}", file=sys.stderr)
        raise
    made.stop()
    shutil.rmtree(folder)


def free_ports(count: int) -> list[int]:
    """Numbers of ports that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait(what: str, until: Callable[[], bool], seconds: float = 120) -> None:
    """Waits for something.

    Raises:
        TimeoutError: it has not come.
    """
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not there after {seconds:.0f} s")
        time.sleep(0.1)


def started(directory: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A sweep that begins; what it prints goes to a file beside its directory."""
    command = [sys.executable, "-m", "src.train", *arguments]
    if not any(argument.startswith("resume=") for argument in arguments):
        command.append(f"hydra.sweep.dir={directory}")
    with directory.with_suffix(".out").open("a") as file:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file, text=True)


def is_at_work(run: Path) -> bool:
    """Whether a job has made some updates and is not done."""
    history = run / "history.csv"
    return history.is_file() and len(history.read_text().splitlines()) > 4


def same(one: Path, other: Path) -> None:
    """Checks that two sweeps have left the same parameters and tables, bit for bit, but for their seconds."""
    for job in JOBS:
        runs = [RunDirectory(sweep / job) for sweep in (one, other)]
        parameters = [checkpoint.read(run.checkpoint_file).parameters for run in runs]
        for name in parameters[0]:
            assert torch.equal(parameters[0][name], parameters[1][name]), f"{job}: {name} differs"
        for table in ("results.csv", "history.csv"):
            pd.testing.assert_frame_equal(*[pd.read_csv(run.path / table).drop(columns="seconds") for run in runs])
    pd.testing.assert_frame_equal(*[pd.read_csv(sweep / "success_rate.csv") for sweep in (one, other)])


def done(what: str, since: float) -> float:
    """Says that something went well."""
    print(f"{what}: {time.monotonic() - since:.0f} s", flush=True)
    return time.monotonic()


def undisturbed(slurm: Cluster, reference: Path) -> None:
    """All jobs finish."""
    sweep = slurm.folder / "undisturbed"
    process = started(sweep, *SWEEP, *IN_SLURM, environment=slurm.environment)
    assert process.wait(600) == 0
    same(sweep, reference)


def requeued(slurm: Cluster, reference: Path) -> None:
    """One job is put back without a warning, another one is warned and puts itself back."""
    sweep = slurm.folder / "requeued"
    process = started(sweep, *SWEEP, *IN_SLURM, environment=slurm.environment)
    wait("two jobs", lambda: all(is_at_work(sweep / job) for job in JOBS[:2]))
    slurm.tell("scancel", "--signal=USR2", slurm.job(0))
    slurm.tell("scontrol", "requeue", slurm.job(1))
    assert process.wait(600) == 0
    logs = "".join(file.read_text() for file in (sweep / ".submitit").rglob("*log.out"))
    assert "Requeued job" in logs, "the warned job has not put itself back"
    for job in JOBS[:2]:
        assert "resume: null" not in (sweep / job / "config.yaml").read_text(), f"{job} began anew"
    same(sweep, reference)


def preempted(slurm: Cluster, reference: Path) -> None:
    """Somebody's urgent job takes the CPU of one job, which is warned and goes on when the other has ended."""
    sweep = slurm.folder / "preempted"
    process = started(sweep, *SWEEP, *IN_SLURM, environment=slurm.environment)
    wait("two jobs", lambda: all(is_at_work(sweep / job) for job in JOBS[:2]))
    slurm.tell("sbatch", "--quiet", "--partition=urgent", f"--output={slurm.folder}/urgent.out", "--wrap=sleep 5")
    assert process.wait(600) == 0
    logs = "".join(file.read_text() for file in (sweep / ".submitit").rglob("*log.out"))
    assert "Requeued job" in logs, "the job has not been warned"
    again = [job for job in JOBS if "resume: null" not in (sweep / job / "config.yaml").read_text()]
    assert len(again) == 1, f"{again} went on, and one was to be preempted"
    same(sweep, reference)


def lost(slurm: Cluster, reference: Path) -> None:
    """A node dies with two jobs, and comes back for the third; ``resume`` completes the two."""
    sweep = slurm.folder / "lost"
    process = started(sweep, *SWEEP, *IN_SLURM, *NOT_AGAIN, environment=slurm.environment)
    wait("two jobs", lambda: all(is_at_work(sweep / job) for job in JOBS[:2]))
    slurm.lose_the_node()
    time.sleep(2)
    slurm.bring_the_node_back()
    assert process.wait(600) == 1
    said = sweep.with_suffix(".out").read_text()
    assert f"2 without an end: {sweep / JOBS[0]}, {sweep / JOBS[1]}\n" in said and "Traceback" not in said, said
    assert started(sweep, f"resume={sweep}", environment=slurm.environment).wait(600) == 0
    same(sweep, reference)


def main() -> None:
    """Runs all four; an assertion says what was not as it should be."""
    missing = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if missing:
        print(f"not tested with Slurm: no {', '.join(missing)} here; apt-get install slurm-wlm munge")
        return
    with cluster() as slurm:
        since = time.monotonic()
        reference = slurm.folder / "reference"
        assert started(reference, *SWEEP).wait(600) == 0
        since = done("reference, without Slurm", since)
        for scenario in (undisturbed, requeued, preempted, lost):
            scenario(slurm, reference)
            since = done(f"{scenario.__name__}: as the reference, bit for bit", since)


if __name__ == "__main__":
    main()
