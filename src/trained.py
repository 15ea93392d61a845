"""What was trained, handed on: a population as it was saved, a replica as torch's own modules, and starts for those."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from src.cells import GRU, LSTM, Vanilla
from src.config import ConfigurationError
from src.config.errors import first_line
from src.config.trusted import distrust, import_modules, untrusted
from src.network import Architecture, Network, build_architecture
from src.population import checkpoint
from src.population.checkpoint import Checkpoint
from src.rundir import LATER, RESULTS, RunDirectory
from src.storage import DamagedFile
from tasks.draws import Stream, generator
from tasks.task import Task

CELLS = Path(__file__).resolve().parent.parent / "conf" / "cell"


@dataclass
class Trained:
    """A population as its run left it: replicas that solved the task or diverged as they were then."""

    config: DictConfig
    network: Network  # all R
    results: pd.DataFrame  # results.csv, a row a replica
    keepsake: dict[str, str] = field(default_factory=dict)  # of the task: the alphabet of a text

    @property
    def seeds(self) -> list[int]:
        return self.results["seed"].tolist()

    @property
    def task(self) -> Task:
        return hydra.utils.instantiate(self.config.task)


def load_population(directory: str | Path, modules: Sequence[str] = ()) -> Trained:
    """All R replicas of a run's directory (``runs/...``, or ``sweeps/.../3_msgd_c_length=100``).

    Args:
        directory: of the run.
        modules: of your own, whose classes the run's configuration may name.

    Raises:
        ConfigurationError: no run there, or none that has begun; damaged checkpoints; a class that is not found, or
            that is neither ours nor in a module that is imported already.
    """
    import_modules(modules)
    run = RunDirectory(directory)
    if not run.has_checkpoint:
        raise ConfigurationError([f"{directory}: no trained population there, {run.checkpoint_file} is missing"])
    try:
        found = checkpoint.read(run.checkpoint_file)
    except DamagedFile as damage:
        raise ConfigurationError([str(damage)]) from damage
    for problem in found.problems:
        updates = max(found.outcomes["updates"])
        print(f"{problem}; the one before is used, of {updates} updates", file=sys.stderr)
    strange = untrusted(found.config)
    if strange:
        raise ConfigurationError([f"{directory}: names {name}{distrust(name)}" for name in strange])
    config = OmegaConf.create(found.config)
    assert isinstance(config, DictConfig)
    for part in (config.task, config.cell):
        try:
            hydra.utils.get_class(part._target_)
        except Exception as error:  # whatever an import raises
            problem = f"{directory}: {part._target_} cannot be found; a module of your own needs PYTHONPATH"
            raise ConfigurationError([problem]) from error
    network = Network(build_architecture(config.cell), found.parameters)
    return Trained(config, network, outcomes_of(run, found), found.keepsake)


def outcomes_of(run: RunDirectory, found: Checkpoint) -> pd.DataFrame:
    """The table results.csv, which knows the last tests; where it does not fit, what the checkpoint knows."""
    config, outcomes = found.config, found.outcomes
    seeds = outcomes["seeds"]
    try:
        table = run.read_results()
        fits = set(RESULTS) <= {*table.columns, *LATER}
        if fits and table["seed"].tolist() == seeds and table["updates"].tolist() == outcomes["updates"]:
            return table
        problem = "other replicas or updates than the checkpoint's"
    except Exception as error:  # whatever a damaged file leads to
        problem = f"cannot be read: {first_line(error)}"
    print(f"{run.results_file}: {problem}; what the checkpoint knows is used", file=sys.stderr)
    names = {"task": config["task"]["name"], "cell": config["cell"]["name"], "optimizer": config["optimizer"]["name"]}
    own = {"seed": seeds, "status": outcomes["status"], "updates": outcomes["updates"]}
    return pd.DataFrame(own).assign(length=config["task"]["length"], **names)


def load_replica(directory: str | Path, seed: int, modules: Sequence[str] = ()) -> tuple[nn.RNNBase, nn.Linear]:
    """One replica's network in plain torch: an nn.RNN, nn.LSTM or nn.GRU and the nn.Linear that reads out its h.

    Inputs are (T, B, I), symbols one-hot; the outputs are those of the run's network to float32's roundings.

    Raises:
        ConfigurationError: as :func:`load_population`; a seed that is not in the run.
        ValueError: units that torch's modules do not have (nn.RNN: tanh and relu only), or several layers.
    """
    population = load_population(directory, modules)
    if seed not in population.seeds:
        raise ConfigurationError([f"{directory}: no replica of seed {seed}; there are {population.seeds}"])
    row = population.seeds.index(seed)
    stacks = {name: p.detach()[row] for name, p in population.network.named_parameters()}
    inputs, (hidden, outputs) = len(stacks["W_in"]), stacks["W_out"].shape
    rnn, readout = _module(population.network.architecture)(inputs, hidden), nn.Linear(hidden, outputs)
    _fill(rnn, readout, stacks)
    return rnn, readout


def initialize_(rnn: nn.RNNBase, readout: nn.Linear, start: str, seed: int = 0, **keys: Any) -> None:
    """Starts one's own nn.RNN, nn.LSTM or nn.GRU of one layer, and its readout, as a cell of conf/cell/ starts.

    Args:
        start: ``smart_tanh``, ``basic_tanh``, ``spectral``, ...
        seed: the replica of this seed starts with the same numbers.
        keys: of that file, to be replaced: ``spectral_radius=1.2``.

    Raises:
        ValueError: a module of another kind than the start's, of several layers or directions, or without biases.
    """
    config = OmegaConf.merge(OmegaConf.load(CELLS / f"{start}.yaml"), keys, {"hidden_size": rnn.hidden_size})
    architecture = build_architecture(config)  # type: ignore[arg-type]
    cell = architecture.cell
    own = _module(architecture)(rnn.input_size, rnn.hidden_size)
    if (rnn.mode, 1, False, True, 0) != (own.mode, rnn.num_layers, rnn.bidirectional, rnn.bias, rnn.proj_size):
        raise ValueError(f"{start} starts {own}, not {rnn}")
    draws = generator(seed, Stream.START, 0)
    parameters = cell.start(rnn.input_size, readout.out_features, draws)._asdict() | cell.start_own(draws)
    _fill(rnn, readout, {name: torch.from_numpy(p) for name, p in parameters.items()})


def _module(architecture: Architecture) -> Any:
    """Torch's module of the same equations."""
    cell = architecture.cell
    if architecture.stacked:
        raise ValueError(f"{cell.name} has several layers; load_population() gives the network itself")
    if type(cell) is LSTM:
        return nn.LSTM
    if type(cell) is GRU:
        return nn.GRU
    if type(cell) is Vanilla and cell.activation in ("tanh", "relu"):
        return lambda inputs, hidden: nn.RNN(inputs, hidden, nonlinearity=cell.activation)
    raise ValueError(f"torch has no module for {cell.name}; load_population() gives the network itself")


@torch.no_grad()
def _fill(rnn: nn.RNNBase, readout: nn.Linear, p: dict[str, Tensor]) -> None:
    """Torch multiplies from the other side, and has two biases: the second is 0 but for GRU's b_n."""
    weights = dict(rnn.named_parameters())
    weights["weight_ih_l0"].copy_(p["W_in"].T)
    weights["weight_hh_l0"].copy_(p["W"].T)
    weights["bias_ih_l0"].copy_(p["b"])
    weights["bias_hh_l0"].zero_()
    if "b_n" in p:
        weights["bias_hh_l0"][2 * rnn.hidden_size :] = p["b_n"]
    readout.weight.copy_(p["W_out"].T)
    readout.bias.copy_(p["b_out"])
