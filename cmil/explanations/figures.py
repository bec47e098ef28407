"""Deletion and insertion curves, for the page and as files; they draw a table, no more."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmil.explanations.summary import ALL, BY_DECISION
from survival.figure_style import VERMILION

# Okabe & Ito's vermilion, and a grey: order of the map, and none.
_COLOURS = {"map": VERMILION, "random": "#6b6b6b"}
_TITLES = {
    "deletion": ("Deletion", "Patches taken away (%)"),
    "insertion": ("Insertion", "Patches put in (%)"),
}


def curves_figure(curves: pd.DataFrame, kind: str) -> Figure:
    """Mean curves of one map over all patients; see `plot_curve`."""
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    of_map = curves[(curves["map"] == kind) & (curves["patients_of"] == ALL)]
    for ax, curve in zip(axes, _TITLES, strict=True):
        plot_curve(of_map[of_map["curve"] == curve], kind, ax)
    of_label = curves["patients_of"].isin(BY_DECISION.values()).any()
    axes[0].set_ylabel("Probability of the decided class" if of_label else "Score, or 1 - score")
    return figure


def plot_curve(points: pd.DataFrame, kind: str, ax: Axes) -> Axes:
    """Draw how the score changes with patches in the map's order and in random order.

    Parameters
    ----------
    points
        Rows of `mean_curves` of one map, group and curve.
    kind
        Name of the map, for the legend.
    ax
        Axes to draw on.
    """
    names = {"map": f"highest {kind} first", "random": "random order"}
    for order, colour in _COLOURS.items():
        line = points[points["order"] == order]
        share = 100 * line["share"]
        ax.fill_between(
            share, line["ci_low"], line["ci_high"], color=colour, alpha=0.2, linewidth=0
        )
        style = "-" if order == "map" else (0, (4, 2))
        ax.plot(
            share, line["mean"], color=colour, linewidth=1.8, linestyle=style, label=names[order]
        )
    title, label = _TITLES[points["curve"].iloc[0]]
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold")
    ax.set(xlim=(0, 100), ylim=(0, 1), xlabel=label)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8.5)
    return ax
