"""Pathological tasks: pure generators, their draws, and mini-batches of them."""
