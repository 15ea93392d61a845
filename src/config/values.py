"""Values of single keys: references to nothing, whole numbers, rules, keys that there are not."""

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.errors import first_line, near
from src.config.keys import RULES, TABLE, leaves
from src.config.wrong import Wrong


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


def lists_for_parts(cfg: DictConfig) -> list[str]:
    """Lists where a part of the configuration belongs: no key can be looked up in one."""
    parts = {key.rsplit(".", depth)[0] for key in TABLE for depth in range(1, key.count(".") + 1)}
    found = [(key, value) for key, value in leaves(cfg) if key in parts and isinstance(value, list)]
    return [f"{key}={value}: must hold keys, and is a list" for key, value in found]


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
