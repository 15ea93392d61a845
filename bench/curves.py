"""python -m bench.curves: seconds and memory of ``src.curves`` on a sweep of 1 000 jobs of 10 replicas with 50 tests.

One population is trained for its tables; its directory is then copied under other lengths, methods and learning rates.
"""

import resource
import subprocess
import sys
import tempfile
from itertools import islice, product
from pathlib import Path

from src.rundir import RunDirectory

JOBS = 1000
KEYS = ["replicas=10", "task.length=30", "trainer.max_steps=500", "success.check_every=10", "success.sequences=100"]


def copied(run: RunDirectory, other: RunDirectory, length: int, method: str, lr: float) -> None:
    """Writes the tables of a run as those of another one."""
    other.path.mkdir(parents=True)
    cfg = run.configuration()
    cfg.task.length = length
    cfg.optimizer.name = method
    cfg.optimizer.lr = lr
    other.write_configuration(cfg)
    results = run.results_file.read_text()
    other.results_file.write_text(results.replace(",30,", f",{length},").replace("msgd_cr", method))
    other.history_file.write_text(run.history_file.read_text())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder) / "run")
        train = [sys.executable, "-m", "src.train", *KEYS, "logger=none", f"hydra.run.dir={run}"]
        subprocess.run(train, check=True, capture_output=True)
        sweep = Path(folder) / "sweep"
        differing = product(range(10, 94), ("msgd", "msgd_c", "msgd_cr"), (0.01, 0.02, 0.03, 0.04))
        for number, (length, method, lr) in enumerate(islice(differing, JOBS)):
            copied(run, RunDirectory(sweep / str(number)), length, method, lr)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "src.curves", str(sweep)], check=True, capture_output=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(f"{JOBS} jobs: {seconds:.1f} s of CPU, {used.ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
