"""What stands below every figure: a few sentences, and the command that draws it."""

from matplotlib.figure import Figure


def captioned(figure: Figure, caption: str, command: str, size: float = 7.5) -> Figure:
    """Writes the caption and the command below the figure, and returns the figure."""
    figure.supxlabel(f"{caption}\n{command}", fontsize=size, ha="left", x=0.02)
    return figure
