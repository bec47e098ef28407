"""Readers beside the model's ROC curve.

Plot functions draw the tables they are given on the axes they are given.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cmil.readers.ratings import Readings
from cmil.validation.decisions import sensitivity, specificity
from survival.figure_style import BLUE, DASHED, PALE, VERMILION

_MODEL, _READER = BLUE, VERMILION


def reader_points(readings: Readings, labels: ArrayLike) -> pd.DataFrame:
    """Sensitivity and specificity of each reader's decisions, with Wilson intervals.

    Returns
    -------
    DataFrame
        `reader`, and of both measures value, `_ci_low` and `_ci_high`.
    """
    rows = []
    for reader, said in zip(readings.readers, readings.values, strict=True):
        row: dict[str, object] = {"reader": reader}
        for name, measure in (("sensitivity", sensitivity), ("specificity", specificity)):
            share = measure(said, labels)
            row[name] = share.value
            row[f"{name}_ci_low"], row[f"{name}_ci_high"] = share.ci_low, share.ci_high
        rows.append(row)
    return pd.DataFrame(rows)


def readers_figure(
    curve: pd.DataFrame, operating: "pd.Series", points: pd.DataFrame, auc: str
) -> Figure:
    """ROC curve and readers; see `plot_readers`."""
    figure = Figure(figsize=(3.6, 3.7), layout="constrained")
    plot_readers(curve, operating, points, auc, figure.subplots())
    return figure


def plot_readers(
    curve: pd.DataFrame, operating: "pd.Series", points: pd.DataFrame, auc: str, ax: Axes
) -> Axes:
    """Draw the model's ROC curve and locked threshold, each reader and the readers' mean.

    Parameters
    ----------
    curve
        `sensitivity, specificity` of every point of the model.
    operating
        `sensitivity, specificity` of the model at its locked threshold.
    points
        As `reader_points` gives them.
    auc
        The model's area and its interval, as text for the legend.
    ax
        Axes to draw on.
    """
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=0.8, linestyle=DASHED)
    ax.plot(
        1 - curve["specificity"],
        curve["sensitivity"],
        color=_MODEL,
        linewidth=1.8,
        label=f"model, AUC {auc}",
        clip_on=False,
        zorder=2,
    )
    ax.plot(
        1 - operating["specificity"],
        operating["sensitivity"],
        "o",
        color=_MODEL,
        markersize=8,
        markeredgecolor="white",
        label="model, locked threshold",
        clip_on=False,
        zorder=4,
    )
    x = 1 - points["specificity"].to_numpy()
    y = points["sensitivity"].to_numpy()
    across = [x - (1 - points["specificity_ci_high"]), (1 - points["specificity_ci_low"]) - x]
    upright = [y - points["sensitivity_ci_low"], points["sensitivity_ci_high"] - y]
    ax.errorbar(
        x,
        y,
        xerr=np.clip(across, 0, None),
        yerr=np.clip(upright, 0, None),
        fmt="s",
        color=_READER,
        elinewidth=0.6,
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label="readers, 95% CI",
        clip_on=False,
        zorder=3,
    )
    if len(points) > 1:
        ax.plot(
            x.mean(),
            y.mean(),
            "D",
            color=_READER,
            markersize=8,
            markeredgecolor="white",
            label="readers' mean",
            clip_on=False,
            zorder=5,
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set(xlabel="1 - specificity", ylabel="Sensitivity")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8)
    return ax
