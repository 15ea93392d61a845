"""Checks a configuration before anything runs, and names every problem in the user's words."""

import csv
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from src.network import build_architecture
from tasks.draws import MAX_SEED


class ConfigurationError(Exception):
    """A configuration that cannot run.

    Args:
        problems: one clear line each.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def refuse(problems: list[str]) -> None:
    """Prints the problems, one line each, and ends the program with status 2."""
    for problem in dict.fromkeys(problems):
        print(f"error: {problem}", file=sys.stderr)
    raise SystemExit(2)


@dataclass(frozen=True)
class Rule:
    """What a key may hold."""

    words: str
    holds: Callable[[Any], bool]
    optional: bool = False

    def problem(self, key: str, value: Any) -> str | None:
        if value is None and self.optional:
            return None
        if value is not None and self.holds(value):
            return None
        return f"{key}={value}: must be {self.words}{', or null' if self.optional else ''}"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and abs(value) < float("inf")


def whole(low: int, optional: bool = False) -> Rule:
    return Rule(f"a whole number, {low} or more", lambda v: _is_int(v) and v >= low, optional)


def above_zero(optional: bool = False) -> Rule:
    return Rule("a number above 0", lambda v: _is_number(v) and v > 0, optional)


def choice(*values: Any) -> Rule:
    return Rule(" or ".join(map(str, values)), lambda v: not isinstance(v, bool) and v in values)


any_number = Rule("a number", _is_number, optional=True)
pair = Rule("two numbers in brackets", lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_number, v)))
counts = Rule(
    "whole numbers, 1 or more, in brackets",
    lambda v: isinstance(v, list) and bool(v) and all(_is_int(n) and n > 0 for n in v),
)
from_zero = Rule("a number, 0 or more", lambda v: _is_number(v) and v >= 0)

RULES = {
    "seed": Rule("a whole number, 0 or more, below 2**63", lambda v: _is_int(v) and 0 <= v <= MAX_SEED),
    "replicas": whole(1),
    "success.max_error": Rule("a number between 0 and 1, both excluded", lambda v: _is_number(v) and 0 < v < 1),
    "success.check_every": whole(1),
    "success.sequences": whole(1),
    "block": whole(1),
    "threads": whole(1, optional=True),
    "recurrence": choice("auto", "fused", "reference"),
    "resume": Rule("a directory", lambda v: isinstance(v, str), optional=True),
    "task.length": whole(1),
    "task.max_length": whole(1, optional=True),
    "task.stretch": from_zero,
    "task.batch_size": whole(1),
    "task.positions": choice("pascanu", "galvan"),
    "task.criterion": choice("squared", "absolute"),
    "task.window": whole(1),
    "task.discount": Rule("a number, 0 or more, below 1", lambda v: _is_number(v) and 0 <= v < 1),
    "task.noise": from_zero,
    "task.drift": from_zero,
    "task.frequencies": pair,
    "task.signs": pair,
    "task.decimals": whole(0, optional=True),
    "task.predict": choice("first", "every"),
    "task.values": whole(1),
    "task.items": whole(1),
    "cell.hidden_size": whole(1),
    "cell.activation": choice("tanh", "sigmoid", "relu", "elu", "identity"),
    "cell.std": above_zero(),
    "cell.connections": whole(1, optional=True),
    "cell.side": choice("outgoing", "incoming"),
    "cell.spectral_radius": above_zero(optional=True),
    "cell.forget_bias": any_number,
    "cell.layers": whole(1),
    "cell.dense": whole(0),
    "cell.dense_size": whole(1, optional=True),
    "cell.noise": from_zero,
    "optimizer.lr": above_zero(),
    "optimizer.clip": above_zero(optional=True),
    "optimizer.alpha": from_zero,
    "optimizer.omega": choice("squared", "plain"),
    "optimizer.psi": above_zero(optional=True),
    "optimizer.beta": choice("exponential", "uniform"),
    "optimizer.descent": Rule("true or false", lambda v: isinstance(v, bool)),
    "trainer.max_steps": whole(1),
    "trainer.max_epochs": whole(1, optional=True),
    "trainer.accelerator": choice("cpu", "gpu", "cuda", "auto"),
    "trainer.devices": Rule("1: a population is trained on one device", lambda v: _is_int(v) and v == 1),
    "trainer.precision": choice("32-true"),
    "callbacks.metrics.every": whole(1),
    "callbacks.metrics.curves": whole(0),
    "callbacks.diagnostics.every": whole(1, optional=True),
    "callbacks.diagnostics.sequences": whole(1),
    "callbacks.truncated_bptt.parts": counts,
    "callbacks.truncated_bptt.patience": whole(1, optional=True),
    "callbacks.truncated_bptt.steps": whole(1, optional=True),
}


def check(cfg: DictConfig) -> list[str]:
    """Every problem of a composed configuration; an empty list if it can run."""
    present = dict(leaves(cfg))
    found = {key: RULES[key].problem(key, value) for key, value in present.items() if key in RULES}
    wrong = {key: problem for key, problem in found.items() if problem is not None}
    wrong |= {key: f"{key}: is missing" for key in REQUIRED if OmegaConf.select(cfg, key, default=...) is ...}
    for key in present:
        if key.startswith("success.") and key not in RULES:
            wrong[key] = f"{key}: no such key{near(key, [*RULES])}"
    if any(problem.endswith(": is missing") for problem in wrong.values()):
        return [*wrong.values()]
    objects = _objects(cfg, set(wrong))
    return [*wrong.values(), *objects, *_between_keys(cfg, set(wrong), usable=not objects)]


REQUIRED = (
    *("seed", "replicas", "block", "threads", "recurrence", "resume", "success.max_error", "success.check_every"),
    *("success.sequences", "task._target_", "task.name", "task.length", "task.max_length", "task.batch_size"),
    *("cell._target_", "cell.name", "cell.hidden_size", "optimizer.name", "optimizer.lr", "optimizer.clip"),
    *("optimizer.alpha", "optimizer.direction", "trainer.max_steps", "trainer.max_epochs", "trainer.accelerator"),
    *("callbacks.clipping", "callbacks.success", "callbacks.recorder", "callbacks.interrupt"),
)
"""Keys that no configuration may do without; what makes a method or a result is not decoration."""


def _objects(cfg: DictConfig, wrong: set[str]) -> list[str]:
    """What the classes that are named say of their keys, where those are not wrong already."""
    problems = []
    for name in ("task", "cell", "optimizer.direction"):
        if any(belongs(key, (name.split(".")[0],)) for key in wrong):
            continue
        try:
            build_architecture(cfg.cell) if name == "cell" else hydra.utils.instantiate(OmegaConf.select(cfg, name))
        except Exception as error:  # whatever a user's class raises
            cause = error.__cause__ or error
            problems.append(f"{name}: {first_line(cause)}")
    if "step" in cfg.optimizer and not any(belongs(key, ("optimizer.step", "optimizer.lr")) for key in wrong):
        problems += _step(cfg)
    extra = set(cfg.trainer) - {key.split(".")[1] for key in RULES if key.startswith("trainer.")}
    if extra:
        from pytorch_lightning import Trainer

        known = inspect.signature(Trainer).parameters
        problems += [f"trainer.{key}: no such key{near(key, [*known])}" for key in sorted(extra) if key not in known]
    return problems


def _step(cfg: DictConfig) -> list[str]:
    """What torch's optimizer says of its keys."""
    import torch

    try:
        step = hydra.utils.instantiate(cfg.optimizer.step, lr=cfg.optimizer.lr)
        start, grad = torch.arange(6.0).view(2, 3) / 10, torch.tensor([[0.1, -2.0, 0.3], [4.0, 0.5, -6.0]])

        def stepped(rows: list[int]) -> torch.Tensor:
            p = torch.nn.Parameter(start[rows])
            optimizer = step([p])
            for _ in range(2):
                p.grad = grad[rows]
                optimizer.step()
            return p.detach()

        if not torch.equal(stepped([0, 1])[:1], stepped([0])):
            return [f"optimizer.step: {cfg.optimizer.step._target_} mixes rows, so that replicas would touch"]
    except Exception as error:  # whatever an optimizer raises
        return [f"optimizer.step: {first_line(error.__cause__ or error)}"]
    return []


def _between_keys(cfg: DictConfig, wrong: set[str], usable: bool) -> list[str]:
    """Problems of keys that are each right by themselves; comparisons with a wrong one are left out, and with
    classes that are not usable."""
    import torch

    problems = []
    length, max_length, accelerator = cfg.task.length, cfg.task.max_length, cfg.trainer.accelerator
    if "task.length" not in wrong:
        minimum: int = getattr(hydra.utils.get_class(cfg.task._target_), "minimum_length", 1) if usable else 1
        if length < minimum:
            problems.append(f"task.length={length}: {cfg.task.name} needs {minimum} steps or more")
        if max_length is not None and "task.max_length" not in wrong and max_length < length:
            problems.append(f"task.max_length={max_length}: must not be below task.length={length}")
    if not wrong & {"seed", "replicas"} and cfg.seed + cfg.replicas - 1 > MAX_SEED:
        problems.append(f"seed={cfg.seed}: the last replica's seed must stay below 2**63")
    if usable:
        problems += _data(cfg, wrong)
    without = (("msgd", "msgd_c"), "alpha"), (("msgd",), "clip"), (("simplex",), "psi")
    for names, key in without:  # or a table would not be what it says
        if cfg.optimizer.name in names and cfg.optimizer.get(key) and f"optimizer.{key}" not in wrong:
            problems.append(
                f"optimizer.{key}={cfg.optimizer[key]}: {cfg.optimizer.name} has none; choose another method"
            )
    if cfg.optimizer.name == "simplex_switching" and cfg.optimizer.get("psi") is None:
        problems.append("optimizer.psi=null: simplex_switching needs one; choose optimizer=simplex")
    if usable and cfg.optimizer.alpha and "optimizer.alpha" not in wrong:
        from src.cells import AutogradCell
        from src.directions import Simplex

        if issubclass(hydra.utils.get_class(cfg.optimizer.direction._target_), Simplex):
            problems.append(f"optimizer.alpha={cfg.optimizer.alpha}: the simplex direction has no Ω")
        if issubclass(hydra.utils.get_class(cfg.cell._target_), AutogradCell):
            problems.append(
                f"optimizer.alpha={cfg.optimizer.alpha}: {cfg.cell.name} runs by autograd, which leaves none of the "
                "factors that Ω is made of; use optimizer.alpha=0"
            )
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        problems.append(f"trainer.accelerator={accelerator}: torch sees no GPU here; use cpu")
    if cfg.recurrence == "fused":
        from src.recurrence import missing

        if missing("fused") is not None:
            problems.append(f"recurrence=fused: {missing('fused')}")
    if cfg.resume is not None and not wrong & {"resume", "trainer.max_steps"}:
        problems += _resume(cfg)
    return problems


def _data(cfg: DictConfig, wrong: set[str]) -> list[str]:
    """Of what only a fixed data set has: epochs, and sequences that are cut."""
    task, name, problems = hydra.utils.get_class(cfg.task._target_), cfg.task.name, []
    cut = cfg.callbacks.get("truncated_bptt")
    fixed: bool = task.epochs  # type: ignore[attr-defined]
    if not fixed and cfg.trainer.max_epochs is not None:
        problems.append(f"trainer.max_epochs: {name} draws fresh data for ever; set trainer.max_steps instead")
    if cut is None or any(belongs(key, ("callbacks.truncated_bptt",)) for key in wrong):
        return problems
    most, key = max(cut.parts), "callbacks.truncated_bptt"
    if not fixed and (most > 1 or cut.steps is not None):
        at_last = not hydra.utils.instantiate(cfg.task).every_step
        why = "its only target is at the last step, and a part without a target teaches nothing"
        problems.append(f"{key}: {name}: {why if at_last else 'it draws fresh sequences for ever, and has no epochs'}")
    elif "task.length" not in wrong and cut.steps is None and most > cfg.task.length:
        problems.append(f"{key}.parts: {most} parts are more than task.length={cfg.task.length} steps")
    return problems


NO_SCIENCE = (
    *("name", "resume", "block", "threads", "logger", "trainer.accelerator"),
    *(f"callbacks.{name}" for name in ("progress", "metrics", "recorder", "interrupt", "diagnostics")),
)
"""Keys, and those below them, that no result depends on."""


def _resume(cfg: DictConfig) -> list[str]:
    saved = Path(cfg.resume) / "config.yaml"
    files = ("config.yaml", "results.csv", "history.csv", "checkpoints/last.ckpt")
    if not all((Path(cfg.resume) / name).is_file() for name in files):
        return [f"resume={cfg.resume}: no run with config.yaml and checkpoints/last.ckpt there"]
    with (Path(cfg.resume) / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    if all(row["status"] in ("solved", "diverged", "plateau") for row in rows):
        return [f"resume={cfg.resume}: every replica there has come to an end; nothing is left to train"]
    with (Path(cfg.resume) / "history.csv").open() as file:
        epochs = max((int(row["epoch"]) for row in csv.DictReader(file)), default=0)
    if cfg.trainer.max_epochs is not None and epochs >= cfg.trainer.max_epochs:
        return [f"trainer.max_epochs={cfg.trainer.max_epochs}: {cfg.resume} has made {epochs} already"]
    if cfg.trainer.max_epochs is None and (done := max(int(row["updates"]) for row in rows)) >= cfg.trainer.max_steps:
        return [f"trainer.max_steps={cfg.trainer.max_steps}: {cfg.resume} has made {done} updates already"]
    before, now = {"recurrence": "reference", **dict(leaves(OmegaConf.load(saved)))}, dict(leaves(cfg))
    if now["recurrence"] == "auto":
        now["recurrence"] = before["recurrence"]  # auto goes on with what ran
    free = (*NO_SCIENCE, "trainer.max_steps", "trainer.max_epochs")
    return [
        f"resume={cfg.resume}: was run with {key}={before.get(key)}, not {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not belongs(key, free)
    ]


def belongs(key: str, names: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of these names or lies below one."""
    return any(key == name or key.startswith(name + ".") for name in names)


def science(cfg: Any) -> dict[str, Any]:
    """The keys that a replica's result depends on besides its seed, and their values, sorted; no class names, and none
    that only repeat another key."""
    free = (*NO_SCIENCE, "seed", "replicas")
    kept = ((k, v) for k, v in leaves(cfg) if not k.endswith(("_target_", "_partial_")) and not belongs(k, free))
    kept = ((k, v) for k, v in kept if not str(v).startswith("${"))
    return dict(sorted((k, str(v) if isinstance(v, list) else v) for k, v in kept))


def leaves(cfg: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a configuration; Hydra's own part left out, unresolvable values as written."""
    plain: Any = OmegaConf.to_container(cfg, resolve=False) if isinstance(cfg, DictConfig) else cfg
    for key, value in plain.items():
        if isinstance(value, dict) and value:
            if prefix or key != "hydra":
                yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def near(word: str, known: list[str]) -> str:
    matches = get_close_matches(word, known, n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
