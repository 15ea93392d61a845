"""python -m tools.clocks NAME=RUN_DIR ...: how fast the clocks of networks turn whose lengths grow; rows of clocks.csv.

A network of tanh units that has passed a length L often is a clock: what it has seen decides where on its round it is
(docs/clocks.md). Each replica is looked at with the parameters that passed L, on fresh sequences of L steps:

pattern       the mean states of the four answers at a step, less the mean of these four
quarter_turn  steps from the end back to the nearest one whose pattern has nothing in common with that at the end, as
              after a quarter of a turn: their cosine is not above 0
gradient      ‖dE/dh‖ at step L / 10, where the first of the relevant steps is, as a multiple of that at the last
              step; the median of sequences
right_early   steps before the end at which the readout is right already: less than 3 % of the answers are wrong

The pattern is what is largest in the states. A small fast clock beside a large slow one shows in right_early alone. And
a pattern need not turn evenly: in some networks a part of it stays.
"""

import sys

import pandas as pd
import torch
from torch import Tensor

from src.callbacks.curriculum import THETA
from src.rundir import SOLVED, RunDirectory
from src.trained import load_population
from tasks.data import evaluation_batch
from tasks.task import Task

SEQUENCES = 400
SEQUENCES_BACK = 20
"""Sequences of which gradients are taken."""

WRONG = 0.03
"""Share of answers: three times what passes the test."""

Parameters = dict[str, Tensor]


def states(parameters: Parameters, symbols_TB: Tensor, h: Tensor | None = None) -> Tensor:
    """The states h_TBH of a network of tanh units, from one before the first step on; None: from zeros."""
    if h is None:
        h = torch.zeros(symbols_TB.shape[1], len(parameters["W"]))
    every = []
    for symbols in symbols_TB:
        h = torch.tanh(parameters["W_in"][symbols] + h @ parameters["W"] + parameters["b"])
        every.append(h)
    return torch.stack(every)


def answered(parameters: Parameters, task: Task, length: int) -> tuple[Tensor, Tensor]:
    """States and right answers, on sequences of a length."""
    batch = evaluation_batch(task.at(length), seed=0, part=0, size=SEQUENCES)
    return states(parameters, batch.inputs[0].long()), batch.target[0]


def wrong(parameters: Parameters, h_BH: Tensor, right_B: Tensor) -> float:
    """Share of wrong answers that are read out of some states."""
    given_B = (h_BH @ parameters["W_out"] + parameters["b_out"]).argmax(1)
    return float((given_B != right_B).float().mean())


def likeness(h_TBH: Tensor, right_B: Tensor) -> Tensor:
    """Cosine of the pattern at each step and that at the end: T."""
    mean_TAH = torch.stack([h_TBH[:, right_B == answer].mean(1) for answer in right_B.unique()], dim=1)
    pattern = (mean_TAH - mean_TAH.mean(1, keepdim=True)).flatten(1)
    return torch.nn.functional.cosine_similarity(pattern, pattern[-1:], dim=1)


def quarter_turn(like_T: Tensor) -> int:
    """Steps from the end back to the last one whose cosine is not above 0; all of them where there is none."""
    apart = (like_T <= 0).nonzero()
    return len(like_T) - 1 - int(apart[-1]) if len(apart) else len(like_T)


def gradient_kept(parameters: Parameters, task: Task, length: int) -> float:
    """Norm of the loss's gradient by the state at step L / 10, as a multiple of that by the last state."""
    batch = evaluation_batch(task.at(length), seed=0, part=0, size=SEQUENCES_BACK)
    first = length // 10
    symbols_TB = batch.inputs[0].long()
    h = states(parameters, symbols_TB[:first])[-1].requires_grad_()
    every = states(parameters, symbols_TB[first:], h)
    scores = every[-1] @ parameters["W_out"] + parameters["b_out"]
    loss = torch.nn.functional.cross_entropy(scores, batch.target[0], reduction="sum")
    early, late = torch.autograd.grad(loss, [h, every])
    return float((early.norm(dim=1) / late[-1].norm(dim=1)).median())


def right_early(parameters: Parameters, h_TBH: Tensor, right_B: Tensor) -> int:
    """Steps before the end at which the readout is right, without a step between at which it is not."""
    for steps in range(1, len(h_TBH)):
        if wrong(parameters, h_TBH[-1 - steps], right_B) >= WRONG:
            return steps - 1
    return len(h_TBH) - 1


def of_replica(parameters: Parameters, task: Task, length: int) -> dict[str, float]:
    """What is measured of one network."""
    h_TBH, right_B = answered(parameters, task, length)
    return {
        "length": length,
        "error": wrong(parameters, h_TBH[-1], right_B),
        "spectral_radius": float(torch.linalg.eigvals(parameters["W"]).abs().max()),
        "gradient": gradient_kept(parameters, task, length),
        "quarter_turn": quarter_turn(likeness(h_TBH, right_B)),
        "right_early": right_early(parameters, h_TBH, right_B),
    }


def passed(run: RunDirectory) -> dict[int, Parameters]:
    """The parameters of each replica, by seed, that passed its longest length: those of who has solved the task are the
    population's, those of the others are kept by the curriculum, to go back to."""
    content = torch.load(run.checkpoint_file, map_location="cpu", weights_only=True)
    names = [name for name, _ in load_population(run.path).network.named_parameters()]
    stacks = {name: content["state_dict"][f"network.{name}"] for name in names}
    kept = content["callbacks"]["Curriculum"]["passed"]
    found = {}
    for replica, seed in enumerate(content["population"]["seeds"]):
        found[seed] = {name: stack[replica] for name, stack in stacks.items()}
        if content["population"]["status"][replica] != SOLVED and replica in kept:
            sizes = [each.numel() for each in found[seed].values()]
            parts = kept[replica][THETA][0].split(sizes)
            found[seed] = {name: part.view_as(found[seed][name]) for name, part in zip(names, parts, strict=True)}
    return found


def rows(name: str, run: RunDirectory) -> pd.DataFrame:
    """One row per replica of a run that has passed a length."""
    results = run.read_results().dropna(subset=["reached"]).set_index("seed")
    task = load_population(run.path).task
    parameters = passed(run)
    found = []
    for seed, length in results["reached"].items():
        measured = of_replica(parameters[seed], task, int(length))
        found.append({"run": name, "seed": seed, "updates": results["updates"][seed], **measured})
    return pd.DataFrame(found)


def main() -> None:
    torch.set_num_threads(1)
    named = [each.split("=", 1) for each in sys.argv[1:]]
    tables = [rows(name, RunDirectory(path)) for name, path in named]
    pd.concat(tables).to_csv(sys.stdout, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
