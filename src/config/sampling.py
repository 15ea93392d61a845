"""What `python -m src.sample` may be told, beside the directory of the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.errors import ConfigurationError, near
from src.config.rules import FROM_ZERO, SEED, Rule, whole

RULES: dict[str, Rule] = {"length": whole(1), "temperature": FROM_ZERO, "seed": SEED, "replica": SEED}
"""What the keys that hold numbers may hold."""


@dataclass(frozen=True)
class Sampling:
    """How a text is written.

    Args:
        length: characters.
        temperature: outputs are divided by it before the softmax; 0: always the most likely character.
        prime: what the network reads first; None: the end of a line, or the first character that it knows.
        seed: of the draws.
        replica: seed of the network in its run; None: the first one.
    """

    length: int = 500
    temperature: float = 1.0
    prime: str | None = None
    seed: int = 0
    replica: int | None = None


def sampling(overrides: Sequence[str]) -> Sampling:
    """Reads ``key=value`` words.

    Raises:
        ConfigurationError: a key that there is not, or a value that cannot be; one line for each.
    """
    found: dict[str, Any] = {}
    problems = []
    for override in overrides:
        key, given, text = override.partition("=")
        if not given or key not in (*RULES, "prime"):
            known = [*RULES, "prime"]
            problems.append(f"{override}: no such key{near(key, known)}; there are {', '.join(known)}")
        elif key == "prime":
            found[key] = text
        else:
            found[key] = _value(text)
            problem = RULES[key].problem(key, found[key])
            problems += [] if problem is None else [problem]
    if found.get("prime") == "":
        problems.append("prime=: must hold a character or more")
    if problems:
        raise ConfigurationError(problems)
    return Sampling(**found)


def _value(text: str) -> Any:
    """A number where the text is one."""
    try:
        return OmegaConf.from_dotlist([f"x={text}"]).x
    except OmegaConfBaseException:
        return text
