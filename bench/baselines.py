"""What a user would write instead: torch's own cells in a LightningModule, and the same update in jax."""

import logging
import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn

from src.cells import Parameters
from tasks.data import TrainingData
from tasks.task import Task

SYMBOLS, CLASSES, LR, CLIP = 6, 4, 0.01, 1.0


class Plain(pl.LightningModule):
    """nn.RNN or nn.LSTM, a linear readout at the last step, SGD. Nothing is logged and nothing tested."""

    def __init__(self, lstm: bool, units: int) -> None:
        super().__init__()
        self.cell = (nn.LSTM if lstm else nn.RNN)(SYMBOLS, units)
        self.readout = nn.Linear(units, CLASSES)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        inputs, target = batch
        states, _ = self.cell(inputs)
        return F.cross_entropy(self.readout(states[-1]), target)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=LR)


class Batches(torch.utils.data.IterableDataset):
    """The task's mini-batches, one-hot, drawn in blocks as they are for us."""

    def __init__(self, task: Task, updates: int) -> None:
        self.task, self.updates = task, updates

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        data = TrainingData(self.task)
        for update in range(self.updates):
            symbols, target = data(0, update)
            yield F.one_hot(torch.from_numpy(symbols).long(), SYMBOLS).float(), torch.from_numpy(target)


class Clock(pl.Callback):
    """Seconds from the end of one batch to the end of the last.

    Args:
        first: the batch after which it begins.
        count: batches in all.
    """

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count

    def on_train_batch_end(self, *args: Any) -> None:
        if args[4] in (self.first, self.count - 1) and torch.cuda.is_initialized():
            torch.cuda.synchronize()  # what is in the queue has not been done
        now = perf_counter()
        if args[4] == self.first:
            self.start = now
        self.end, self.last = now, args[4]

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / (self.last - self.first)


def lightning(
    task: Task, lstm: bool, units: int, updates: int, threads: int | None, flush: bool, accelerator: str = "cpu"
) -> float:
    """Seconds an update of one network, through Trainer.fit; torch's own settings unless told."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*(does not have many workers|LeafSpec).*")
    torch.set_flush_denormal(flush)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    clock = Clock(max(2, updates // 10), updates)
    trainer = pl.Trainer(
        max_steps=updates,
        gradient_clip_val=CLIP,
        accelerator=accelerator,
        devices=1,
        plugins=[LightningEnvironment()],
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(Batches(task, updates + 2), batch_size=None)
    trainer.fit(Plain(lstm, units), loader)
    torch.set_num_threads(before)
    torch.set_flush_denormal(True)
    return clock.seconds


def jax_update(
    starts: list[Parameters], lstm: bool, symbols_RTB: np.ndarray, target_RB: np.ndarray
) -> Callable[[], None]:
    """One update of R networks, MSGD-C: lax.scan over steps, vmap over replicas, jit; ready to be timed.

    Raises:
        ImportError: no jax.
    """
    import jax
    import jax.numpy as jnp

    parameters = {name: jnp.stack([getattr(s, name) for s in starts]) for name in Parameters._fields}
    units = parameters["W"].shape[1]

    def loss(p: Any, symbols_TB: Any, target_B: Any) -> Any:
        def simple(h: Any, z: Any) -> Any:
            return jnp.tanh(z + h @ p["W"]), None

        def lstm_step(state: Any, z: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(z + h @ p["W"], 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zero = jnp.zeros((symbols_TB.shape[1], units))
        z_TBG = p["W_in"][symbols_TB] + p["b"]
        h = jax.lax.scan(lstm_step, (zero, zero), z_TBG)[0][0] if lstm else jax.lax.scan(simple, zero, z_TBG)[0]
        log_p = jax.nn.log_softmax(h @ p["W_out"] + p["b_out"])
        return -jnp.take_along_axis(log_p, target_B[:, None], axis=1).mean()

    def update(p: Any, symbols_TB: Any, target_B: Any) -> Any:
        g = jax.grad(loss)(p, symbols_TB, target_B)
        norm = jnp.sqrt(sum((each**2).sum() for each in g.values()))
        scale = jnp.where(norm > CLIP, CLIP / norm, 1.0)
        return {name: p[name] - LR * scale * g[name] for name in p}

    compiled = jax.jit(jax.vmap(update))
    symbols, target = jnp.asarray(symbols_RTB.astype(np.int32)), jnp.asarray(target_RB.astype(np.int32))
    jax.block_until_ready(compiled(parameters, symbols, target))

    def once() -> None:
        nonlocal parameters
        parameters = jax.block_until_ready(compiled(parameters, symbols, target))

    return once
