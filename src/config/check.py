"""Checks a composed configuration before anything runs, and names every problem in the user's words.

Torch and Lightning are imported where they are asked: seconds that a refusal need not wait for.
"""

from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.curriculum import curriculum_problems
from src.config.errors import first_line, near
from src.config.keys import REQUIRED, RULES, TABLE, leaves
from src.config.memory import free_memory
from src.config.method import direction_problems
from src.config.objects import object_problems
from src.config.resume import configuration, resume_problems
from src.config.sequences import SEQUENCES, sequence_problems
from src.config.trusted import untrusted
from src.config.wrong import Wrong
from src.rundir import RunDirectory
from tasks.draws import MAX_SEED

SETTINGS_WITHOUT = {"msgd": ("alpha", "clip"), "msgd_c": ("alpha",), "simplex": ("psi",)}
"""Settings that a method of this name does not have: with them, a table would not be what its names say."""

CUT = "callbacks.truncated_bptt"

NEEDED = ("interrupt", "clipping", "success", "recorder")
"""Callbacks without which there is no method, no outcome or no file."""

OURS = {
    "src.callbacks.TruncatedBPTT": "callbacks.truncated_bptt",
    "src.callbacks.Clipping": "callbacks.clipping",
    "src.callbacks.Curriculum": "curriculum",
}
"""Callbacks that the update or the test asks, by the key under which it does."""


def check(cfg: DictConfig) -> list[str]:
    """Every problem of a composed configuration; an empty list if it can run.

    Whole numbers that were written like 1e5 become whole numbers in it.
    """
    lost = unresolved(cfg)
    if lost:
        return [one_line(problem) for problem in lost]
    make_whole(cfg)
    wrong = Wrong()
    wrong_values(cfg, wrong)
    missing = [key for key in REQUIRED if OmegaConf.select(cfg, key, default=...) is ...]
    for key in missing:
        wrong.note(key, f"{key}: is missing")
    unknown_success_keys(cfg, wrong)
    problems = wrong.problems
    strange = untrusted(without_hydra(cfg), importing=True) if cfg.get("resume") else []
    problems += [f"resume={cfg.resume}: names {name}, which is no class, or one of Python's own" for name in strange]
    if not missing and not strange:
        objects = object_problems(cfg, wrong)
        problems += [*objects, *problems_between_keys(cfg, wrong, usable=not objects)]
    return [one_line(problem) for problem in problems]


def without_hydra(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain dictionaries, without Hydra's own part."""
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    return {key: value for key, value in plain.items() if key != "hydra"}


def one_line(text: str) -> str:
    """The text with whatever would break a line written out."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def unresolved(cfg: DictConfig) -> list[str]:
    """Values that refer to what there is not, or were left open (???)."""
    problems = []
    for key, value in leaves(cfg):
        texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        refers = any("${" in text and "${hydra:" not in text for text in texts)  # Hydra's own come later
        if not refers and "???" not in texts:
            continue
        try:
            found = OmegaConf.select(cfg, key, throw_on_missing=True, throw_on_resolution_failure=True)
            if OmegaConf.is_config(found):
                OmegaConf.to_container(found, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            problems.append(f"{key}={value}: {first_line(error)}")
    return problems


def make_whole(cfg: DictConfig) -> None:
    """Turns 1e5, which is read as a fraction, into 100 000 where a whole number is wanted."""
    for key, value in leaves(cfg):
        if key in RULES and RULES[key].whole and isinstance(value, float) and value.is_integer():
            OmegaConf.update(cfg, key, int(value))


def wrong_values(cfg: DictConfig, wrong: Wrong) -> None:
    """Notes the keys whose value breaks their rule, and parts of the configuration that are not there."""
    for key, value in leaves(cfg):
        rule = RULES.get(key)
        problem = None if rule is None else rule.problem(key, value)
        if problem is not None:
            wrong.note(key, problem)
    for key, rule in RULES.items():
        value = OmegaConf.select(cfg, key)
        if OmegaConf.is_config(value) and OmegaConf.is_dict(value):
            wrong.note(key, rule.problem(key, OmegaConf.to_container(value)) or f"{key}: must be {rule.words}")
    known = {key.split(".")[0] for key in TABLE}
    for part in map(str, cfg):
        if part not in known and part != "hydra":
            wrong.note(part, f"{part}: no such key{near(part, known)}")


def unknown_success_keys(cfg: DictConfig, wrong: Wrong) -> None:
    """Notes keys of the success test that there are not: no class would refuse them before training."""
    for key, _ in leaves(cfg):
        if key.startswith("success.") and key not in RULES:
            wrong.note(key, f"{key}: no such key{near(key, RULES)}")


def problems_between_keys(cfg: DictConfig, wrong: Wrong, usable: bool) -> list[str]:
    """Problems of keys that are each right by themselves.

    Args:
        wrong: keys that are not compared with any other.
        usable: whether the classes that are named can be made.
    """
    problems = length_problems(cfg, wrong, usable) + noise_problems(cfg, wrong)
    problems += seed_problems(cfg, wrong)
    if usable:
        problems += data_problems(cfg, wrong)
        problems += curriculum_problems(cfg, wrong, _class(cfg.task))
    if usable and not problems and not wrong.below("task"):
        problems += size_problems(cfg) or sequence_problems(cfg, hydra.utils.instantiate(cfg.task))
    problems += method_problems(cfg, wrong)
    if usable:
        problems += omega_problems(cfg, wrong)
        problems += direction_problems(cfg, wrong, cut=not wrong.below(CUT) and _cuts_every_step(cfg))
    problems += callback_problems(cfg)
    problems += machine_problems(cfg)
    if usable and not problems and not wrong.problems:
        problems += memory_problems(cfg)
    if cfg.resume is not None and not wrong.among("resume", "trainer.max_steps"):
        problems += resume_problems(cfg)
    return problems


def length_problems(cfg: DictConfig, wrong: Wrong, usable: bool) -> list[str]:
    """Lengths that are too short for the task, or a range of lengths that is none."""
    if wrong.among("task.length"):
        return []
    problems = []
    length = cfg.task.length
    minimum: int = getattr(_class(cfg.task), "minimum_length", 1) if usable else 1
    if length < minimum:
        problems.append(f"task.length={length}: {cfg.task.name} needs {minimum} steps or more")
    longest = cfg.task.max_length
    if longest is not None and not wrong.among("task.max_length") and longest < length:
        problems.append(f"task.max_length={longest}: must not be below task.length={length}")
    return problems


def size_problems(cfg: DictConfig) -> list[str]:
    """Sequences of which not even a few fit into the memory that is free: looking at them would be too much."""
    free = free_memory()
    longest = cfg.task.max_length or cfg.task.length
    steps = longest * (1 + cfg.task.get("stretch", 0)) * max(cfg.task.batch_size, SEQUENCES)
    if free is None or steps <= free:
        return []
    return [
        f"task.length={cfg.task.length}: a mini-batch of {steps:.2g} steps does not fit into the memory that is free"
    ]


def memory_problems(cfg: DictConfig) -> list[str]:
    """A population that does not fit into the memory that is free."""
    from src.config import need
    from src.network import build_architecture

    if "submitit" in str(OmegaConf.select(cfg, "hydra.launcher._target_")):
        return []  # the machine that runs it will say
    return need.memory_problems(cfg, hydra.utils.instantiate(cfg.task), build_architecture(cfg.cell))


def noise_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Noise between layers where there is one layer."""
    noise = cfg.cell.get("noise")
    if not noise or wrong.below("cell") or cfg.cell.get("layers", 1) > 1 or cfg.cell.get("dense", 0):
        return []
    return [f"cell.noise={noise}: noise is between layers, and there is one"]


def seed_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Seeds of replicas beyond the largest that there is."""
    if wrong.among("seed", "replicas") or cfg.seed + cfg.replicas - 1 <= MAX_SEED:
        return []
    return [f"seed={cfg.seed}: the last replica's seed must stay below 2**63"]


def data_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Epochs and cut sequences, of a task that is not learned in epochs."""
    name = cfg.task.name
    in_epochs = _class(cfg.task).epochs
    problems = []
    if not in_epochs and cfg.trainer.max_epochs is not None:
        problems.append(f"trainer.max_epochs: {name} draws fresh data for ever; set trainer.max_steps instead")
    cut = cfg.callbacks.get("truncated_bptt")
    if cut is None or wrong.below(CUT):
        return problems
    most = max(cut.parts)
    if not in_epochs:
        if len(cut.parts) > 1 or cut.patience is not None:
            problems.append(
                f"{CUT}: {name}: stages need epochs, and it draws fresh data for ever; give parts=[one number]"
            )
        if (most > 1 or cut.steps is not None) and cfg.cell.get("noise"):
            problems.append(f"cell.noise={cfg.cell.noise}: fresh sequences that are cut ({CUT}) can have none")
    if not wrong.among("task.length") and cut.steps is None and most > cfg.task.length:
        problems.append(f"{CUT}.parts: {most} parts are more than task.length={cfg.task.length} steps")
    return problems


def method_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """Settings that the method's name denies, or that it needs."""
    optimizer = cfg.optimizer
    problems = []
    for setting in SETTINGS_WITHOUT.get(optimizer.name, ()):
        key = f"optimizer.{setting}"
        if optimizer.get(setting) and not wrong.among(key):
            problems.append(f"{key}={optimizer[setting]}: {optimizer.name} has none; choose another method")
    if optimizer.name == "simplex_switching" and optimizer.get("psi") is None:
        problems.append("optimizer.psi=null: simplex_switching needs one; choose optimizer=simplex")
    return problems


def omega_problems(cfg: DictConfig, wrong: Wrong) -> list[str]:
    """An Ω where the direction or the cell has none."""
    alpha = cfg.optimizer.alpha
    if not alpha or wrong.among("optimizer.alpha"):
        return []
    from src.cells import AutogradCell
    from src.directions import Simplex

    problems = []
    if issubclass(_class(cfg.optimizer.direction), Simplex):
        problems.append(f"optimizer.alpha={alpha}: the simplex direction has no Ω")
    if issubclass(_class(cfg.cell), AutogradCell):
        problems.append(
            f"optimizer.alpha={alpha}: {cfg.cell.name} runs by autograd, which leaves none of the "
            "factors that Ω is made of; use optimizer.alpha=0"
        )
    return problems


def _cuts_every_step(cfg: DictConfig) -> bool:
    """Whether fresh sequences with targets at every step are cut."""
    cut = cfg.callbacks.get("truncated_bptt")
    if cut is None or (cut.steps is None and max(cut.parts) == 1) or _class(cfg.task).epochs:
        return False
    return bool(hydra.utils.instantiate(cfg.task).every_step)


def callback_problems(cfg: DictConfig) -> list[str]:
    """Callbacks that make the method, left out; ours under another name than theirs, where nobody would ask them."""
    problems = []
    for name in NEEDED:
        if name in cfg.callbacks and cfg.callbacks[name] is None:
            problems.append(f"callbacks.{name}=null: no run can do without it")
    for name, part in cfg.callbacks.items():
        if part is not None and not OmegaConf.is_dict(part):
            continue
        own = OURS.get(str(part.get("_target_"))) if part is not None else None
        if own not in (None, f"callbacks.{name}"):
            problems.append(f"callbacks.{name}: {part._target_} is known as {own}")
    return problems


def machine_problems(cfg: DictConfig) -> list[str]:
    """What is asked for and this machine does not have."""
    import torch

    accelerator = cfg.trainer.accelerator
    problems = []
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        problems.append(f"trainer.accelerator={accelerator}: torch sees no GPU here; use cpu")
    return problems + recurrence_problems(cfg)


def recurrence_problems(cfg: DictConfig) -> list[str]:
    """A backend that there is not, or not here."""
    from src.recurrence import AUTO, BACKENDS, missing

    name = cfg.recurrence
    if name == AUTO and isinstance(cfg.resume, str):
        name = configuration(RunDirectory(cfg.resume)).get("recurrence", AUTO)
    if name == AUTO:
        return []
    if name not in BACKENDS:
        return [f"recurrence={name}: must be {' or '.join([AUTO, *BACKENDS])}"]
    reason = missing(name)
    return [] if reason is None else [f"recurrence={name}: {reason}"]


def _class(part: DictConfig) -> Any:
    """The class that a part of the configuration names."""
    return hydra.utils.get_class(part._target_)
