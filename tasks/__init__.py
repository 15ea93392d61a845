"""Pathological tasks: pure generators, their draws, and the data module."""
