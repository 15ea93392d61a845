"""python -m src.sample RUN_DIR [length=500] [temperature=.8] [prime="def "]: a text as a trained network writes it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from src.config import ConfigurationError, refuse
from src.config.sampling import Sampling, sampling
from src.network import Carry, Network
from src.recurrence import fitting
from src.run import settle_recurrence
from src.trained import Trained, load_population
from tasks.draws import Stream, generator
from tasks.text import UNKNOWN


def shares(output_O: np.ndarray, temperature: float) -> np.ndarray:
    """How likely each symbol is to come next, float64; the unknown one never is.

    Args:
        output_O: the readout, before softmax.
        temperature: 0: all of it for the largest output, the first one of several.
    """
    logits = output_O.astype(np.float64)
    logits[UNKNOWN] = -np.inf
    if temperature == 0:
        return np.eye(len(logits))[logits.argmax()]
    weights = np.exp((logits - logits.max()) / temperature)
    return weights / weights.sum()


@torch.no_grad()
def continuation(network: Network, prime: Sequence[int], how: Sampling) -> list[int]:
    """The symbols that a network writes after those of ``prime``, a function of the arguments alone.

    Args:
        network: of one replica.
        prime: at least one symbol.
    """
    uniform = generator(how.seed, Stream.SAMPLE, 0).random(how.length)
    carry = Carry()
    read = list(prime)
    written: list[int] = []
    for number in uniform:
        inputs = torch.tensor(read, device=network.W.device)[None, :, None]
        steps = torch.tensor([len(read)], device=network.W.device)
        output_RBO = network(inputs, steps, carry=carry)
        edges = shares(output_RBO[0, 0].cpu().numpy(), how.temperature).cumsum()
        drawn = int(np.searchsorted(edges, number * edges[-1], side="right"))
        written.append(drawn)
        read = [drawn]
    return written


def symbols(prime: str, alphabet: str) -> list[int]:
    """The symbols of a text.

    Raises:
        ConfigurationError: characters that the network does not know.
    """
    unknown = sorted(set(prime) - set(alphabet))
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise ConfigurationError([f"prime={prime!r}: the network has never seen {names}"])
    return [alphabet.index(character) + 1 for character in prime]


def network_of(population: Trained, replica: int | None) -> Network:
    """The network of one replica, by its seed; None: of the first one.

    Raises:
        ConfigurationError: a seed that is not in the run, or parameters that are not finite.
    """
    seeds = population.seeds
    if replica is not None and replica not in seeds:
        raise ConfigurationError([f"replica={replica}: not in the run; there are {', '.join(map(str, seeds))}"])
    row = 0 if replica is None else seeds.index(replica)
    network = population.network.select([row])
    if not all(bool(p.isfinite().all()) for p in network.parameters()):
        raise ConfigurationError([f"replica={seeds[row]}: it diverged, its parameters are not finite"])
    return network


def sample(directory: Path, how: Sampling) -> str:
    """The text that a replica of a run writes, its beginning included.

    Raises:
        ConfigurationError: no trained population there, one that has not learned text, or a request that cannot be.
    """
    population = load_population(directory)
    alphabet = population.keepsake.get("alphabet")
    if alphabet is None:
        raise ConfigurationError([f"{directory}: {population.config.task.name} is no text; train with task=text"])
    prime = how.prime or ("\n" if "\n" in alphabet else alphabet[0])
    read = symbols(prime, alphabet)
    network = network_of(population, how.replica)
    population.config.trainer.accelerator = "cpu"
    population.config.recurrence = fitting(population.config.recurrence)
    settle_recurrence(population.config)
    written = continuation(network, read, how)
    return prime + "".join(alphabet[symbol - 1] for symbol in written)


def main() -> None:
    """The command line: 0 done, 2 nothing there or a request that cannot be, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m src.sample", description=__doc__)
    parser.add_argument("directory", metavar="RUN_DIR", type=Path, help="of a run, or of a sweep's job")
    words = "length=500, temperature=1, prime=TEXT, seed=0 of the draws, replica=SEED (default: the first)"
    parser.add_argument("words", metavar="KEY=VALUE", nargs="*", help=words)
    arguments = parser.parse_args()
    try:
        print(sample(arguments.directory, sampling(arguments.words)))
    except ConfigurationError as problem:
        refuse(problem.problems)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
