"""A run that goes on in its own directory says so there."""

import pytorch_lightning as pl
from omegaconf import DictConfig

from src.rundir import RunDirectory


class GoingOn(pl.Callback):
    """Notes in its directory that a run goes on, and with which budget: when its checkpoint has been taken up and its
    tables say so. If the checkpoint is refused, the directory is as it was.

    Args:
        own: the directory.
        cfg: the configuration that counts from now on.
    """

    def __init__(self, own: RunDirectory, cfg: DictConfig) -> None:
        self.own = own
        self.cfg = cfg

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.own.open()
        self.own.write_configuration(self.cfg)
