"""Every call by which a run touches the disk, and every large allocation: it fails, or the process dies there."""

import errno
import shutil

import pytest

from tests.faults.conftest import differences, go_on, told
from tests.faults.counts import FULL, note
from tests.faults.server import ALLOCATE, FILES, Fault

RUN = ["experiment=smoke", "replicas=2", "optimizer=msgd_c", "threads=1", "trainer.max_steps=40"]
SWEEP = ["-m", *RUN, "seed=0,7"]

LARGE = 65536
"""Bytes from which on an allocation counts."""

HARMS = {
    "a full disk": Fault("", FILES, error=errno.ENOSPC),
    "a bad block": Fault("", FILES, error=errno.EIO, once=True),
    "killed": Fault("", FILES, kills=True),
    "no memory": Fault("", ALLOCATE, error=errno.ENOMEM, once=True, large=LARGE),
}
PARTS = 4 if FULL else 1
"""Into which the calls are divided, for several processes."""

STRIDE = {"a full disk": 1, "a bad block": 3, "killed": 1, "no memory": 1} if FULL else dict.fromkeys(HARMS, 97)
"""Of so many calls one is chosen."""


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    run, sweep = tmp_path_factory.mktemp("run") / "run", tmp_path_factory.mktemp("sweep") / "sweep"
    assert server.run(*RUN, f"hydra.run.dir={run}").status == 0
    assert server.run(*SWEEP, f"hydra.sweep.dir={sweep}").status == 0
    return run, sweep


def harmed(harm, directory, call):
    fault = HARMS[harm]
    return Fault(str(directory), fault.kinds, call, fault.error, fault.once, fault.kills, fault.large)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("harm", HARMS)
def test_a_run_goes_on_whatever_call_failed(harm, part, server, undisturbed, tmp_path):
    whole, _ = undisturbed
    directory = tmp_path / "run"
    calls = server.run(*RUN, f"hydra.run.dir={directory}", fault=harmed(harm, directory, 0)).counted
    assert calls > 50
    chosen = range(1 + part * STRIDE[harm], calls + 1, STRIDE[harm] * PARTS)
    for call in chosen:
        shutil.rmtree(directory)
        ended = server.run(*RUN, f"hydra.run.dir={directory}", fault=harmed(harm, directory, call))
        assert ended.status in ((-9,) if harm == "killed" else (0, 1)), (call, ended)
        assert "Traceback" not in ended.err and "Error executing" not in ended.err, (call, ended.err)
        assert len(told(ended)) == (ended.status == 1), (call, ended.err)
        if ended.status != 0:
            again = go_on(server, RUN, directory)
            over = (again.status == 2 and "nothing is left to train" in again.err) or "updates already" in again.err
            assert again.status == 0 or over, (call, again)
        assert differences(whole, directory) == [], (call, ended.err)
    note(f"{harm}: calls of a run", tried=len(chosen), lost=0, different=0, tracebacks=0)


@pytest.mark.parametrize("harm", ["a full disk", "killed"] if FULL else ["killed"])
def test_a_sweep_goes_on_whatever_call_failed(harm, server, undisturbed, tmp_path):
    _, whole = undisturbed
    directory = tmp_path / "sweep"
    calls = server.run(*SWEEP, f"hydra.sweep.dir={directory}", fault=harmed(harm, directory, 0)).counted
    chosen = range(1, calls + 1, 29 if FULL else 401)
    for call in chosen:
        shutil.rmtree(directory)
        ended = server.run(*SWEEP, f"hydra.sweep.dir={directory}", fault=harmed(harm, directory, call))
        assert ended.status in ((-9,) if harm == "killed" else (0, 1)), (call, ended)
        assert "Traceback" not in ended.err, (call, ended.err)
        again = go_on(server, SWEEP, directory, "hydra.sweep.dir")
        assert again.status == 0, (call, again)
        for job in ("0_seed=0", "1_seed=7"):
            assert differences(whole / job, directory / job) == [], (call, ended.err)
        assert (directory / "success_rate.csv").read_text() == (whole / "success_rate.csv").read_text()
    note(f"{harm}: calls of a sweep", tried=len(chosen), lost=0, different=0, tracebacks=0)


@pytest.mark.parametrize("harm", ["a full disk", "killed"] if FULL else ["killed"])
def test_going_on_may_fail_too(harm, server, undisturbed, tmp_path):
    """A run that was killed in its middle; then the resuming of it fails or is killed; then it goes on."""
    whole, _ = undisturbed
    left, directory = tmp_path / "left", tmp_path / "run"
    calls = server.run(*RUN, f"hydra.run.dir={directory}", fault=harmed("killed", directory, 0)).counted
    middle = round(0.7 * calls)
    shutil.rmtree(directory)
    server.run(*RUN, f"hydra.run.dir={directory}", fault=harmed("killed", directory, middle))
    shutil.move(directory, left)
    shutil.copytree(left, directory)
    calls = server.run(f"resume={directory}", fault=harmed(harm, directory, 0)).counted
    chosen = range(1, calls + 1, 4 if FULL else 71)
    for call in chosen:
        shutil.rmtree(directory)
        shutil.copytree(left, directory)
        ended = server.run(f"resume={directory}", fault=harmed(harm, directory, call))
        assert ended.status in ((-9,) if harm == "killed" else (0, 1)), (call, ended)
        assert "Traceback" not in ended.err, (call, ended.err)
        again = server.run(f"resume={directory}")
        over = again.status == 2 and ("nothing is left" in again.err or "updates already" in again.err)
        assert again.status == 0 or over, (call, again)
        assert differences(whole, directory) == [], call
    note(f"{harm}: calls of going on", tried=len(chosen), lost=0, different=0, tracebacks=0)
