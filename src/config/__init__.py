"""The configuration: what every key may hold, what cannot run and why, and which runs are comparable."""

from src.config.check import check
from src.config.errors import ConfigurationError, first_line, near, refuse
from src.config.keys import KEYS, RULES, Key, leaves, science

__all__ = ["KEYS", "RULES", "ConfigurationError", "Key", "check", "first_line", "leaves", "near", "refuse", "science"]
