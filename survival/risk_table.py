"""What stands around curves over time: the legend above them, the numbers at risk below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from survival.figure_style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_numbers_at_risk(
    at_risk: pd.DataFrame,
    groups: Sequence[Any],
    labels: Sequence[str],
    colours: Sequence[str],
    title: str,
    ax: "Axes",
) -> None:
    """Write the numbers at risk of each group in a row, a stroke of its colour before them.

    Parameters
    ----------
    at_risk
        `group, time, n_risk`.
    groups, labels, colours
        In order; a label of several lines takes a row of as many.
    title
        What is counted.
    ax
        Axes to write on, under those of the curves.
    """
    heights = np.array([label.count("\n") + 1 for label in labels])
    rows = np.cumsum(heights) - heights / 2
    for row, group, colour in zip(rows, groups, colours, strict=False):
        counts = at_risk[at_risk["group"] == group]
        for time, count in zip(counts["time"], counts["n_risk"], strict=True):
            ax.text(time, row, f"{count}", ha="center", va="center", fontsize=9, color=INK)
        ax.plot(
            [-0.016, -0.016],
            [row - 0.36, row + 0.36],
            transform=ax.get_yaxis_transform(),
            color=colour,
            linewidth=3,
            solid_capstyle="butt",
            clip_on=False,
        )
    ax.set(ylim=(heights.sum(), 0), yticks=rows)
    ax.set_yticklabels(labels, fontsize=9, color=INK, va="center", parse_math=False)
    ax.set_title(title, loc="left", fontsize=9, pad=3)
    ax.tick_params(length=0, labelbottom=False, pad=11)
    ax.spines[:].set_visible(False)


def draw_legend_above(columns: int, ax: "Axes", *entries: Sequence[Any]) -> None:
    """Put the legend above the panel, its names as plain text.

    Parameters
    ----------
    columns
        Of the legend.
    ax
        Axes of the curves.
    entries
        Handles and names; without them, those of what is drawn.
    """
    legend = ax.legend(
        *entries,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=2.6,
        columnspacing=1.6,
        labelspacing=0.35,
        borderaxespad=0.1,
    )
    for entry in legend.get_texts():
        entry.set(color=INK, parse_math=False)
