"""hydra/launcher=packed: jobs of a sweep that differ only in what may differ inside a population train as one.

Hydra looks for launchers in this folder. What the launcher does is in src/packing.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class PackedLauncher(Launcher):
    """Runs packs one after the other, the one with most work first.

    Args:
        replicas: most of a pack; None: as many as the memory that is free allows.
    """

    def __init__(self, replicas: int | None = None) -> None:
        super().__init__()
        self.replicas = replicas

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        # torch, and settings of this thread that those of the jobs inherit
        from src import run  # noqa: F401
        from src.packing.groups import packs
        from src.packing.pack import Stopped, train
        from src.packing.progress import Display

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        configs = [self.composed(each, initial_job_idx + k) for k, each in enumerate(job_overrides)]
        found = packs(configs, self.replicas)
        display = Display([pack.work for pack in found])
        answers: dict[int, JobReturn] = {}
        for number, pack in enumerate(found):
            names = [" ".join(filter_overrides(job_overrides[job])) for job in pack.jobs]
            display.begin(number, pack.describe(names))
            if len(pack.jobs) == 1:  # as without a launcher of its own
                answers[pack.jobs[0]] = self.run(configs[pack.jobs[0]])
                continue
            jobs = [partial(self.run, configs[job]) for job in pack.jobs]
            try:
                answers.update(zip(pack.jobs, train(jobs, display), strict=True))
            except Stopped as stopped:
                raise SystemExit(128 + stopped.signum) from None
            finally:
                display.end()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return [answers[job] for job in range(len(configs))]

    def composed(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The configuration of a job."""
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(cfg):
            cfg.hydra.job.id = str(number)
            cfg.hydra.job.num = number
        return cfg

    def run(self, cfg: DictConfig) -> JobReturn:
        """One job, as Hydra runs it."""
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=cfg,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
