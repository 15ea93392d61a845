"""The figures that explain: ``python -m src.figures NAME|all`` computes them anew."""
