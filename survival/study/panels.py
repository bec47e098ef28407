"""Figures under a title, of one or more panels side by side."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 4.2


def panels(draws: Sequence[Callable[["Axes"], "Axes"]], title: str, width: float = 5.4) -> "Figure":
    """Let each function draw on axes of its own; `width` is that of a panel, in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * len(draws), _HEIGHT), layout="constrained")
    for ax, draw in zip(figure.subplots(1, len(draws), squeeze=False)[0], draws, strict=True):
        draw(ax)
    return titled(figure, title)


def titled(figure: "Figure", title: str) -> "Figure":
    """Head a figure."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False)
    return figure
