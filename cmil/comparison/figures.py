"""How well every compared model does, and how much better the study's model: one picture.

Names of centres are the study's and stand in the page's table, not in the picture.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmil.comparison.compare import MODEL, with_measure
from cohorts.strata import DEVELOPMENT
from survival.figure_style import BLUE, DASHED, GRID, INK, PALE, VERMILION

_DEVELOPMENT: dict[str, Any] = {
    "color": BLUE,
    "marker": "o",
    "label": "development (out-of-fold)",
}
_EXTERNAL: dict[str, Any] = {"color": VERMILION, "marker": "s", "label": "external"}
_APART = 0.17
_ROW_INCHES = 0.42


def compared_points(table: pd.DataFrame) -> pd.DataFrame:
    """Place the development patients and the widest external cohort in the row of each model.

    Parameters
    ----------
    table
        As `cmil.comparison.compare` or `compare_by_bootstrap` gives it; the widest external cohort
        comes last.

    Returns
    -------
    DataFrame
        The rows of these cohorts, with `external` (bool) and `place`: 0 for the first model, 1 for
        the next, shifted by cohort where both are there. `measure` names `value, ci_low, ci_high`.
    """
    table = with_measure(table)
    shown = list(dict.fromkeys([DEVELOPMENT, table["cohort"].iloc[-1]]))
    points = table[table["cohort"].isin(shown)].copy()
    points["external"] = points["cohort"] != DEVELOPMENT
    row = points["model"].map({name: i for i, name in enumerate(points["model"].unique())})
    shift = points["external"].map({False: -_APART, True: _APART})
    points["place"] = row + (shift if points["external"].nunique() == 2 else 0.0)
    return points.reset_index(drop=True)


def shared_notes(points: pd.DataFrame) -> Sequence[str]:
    """Give what is to be said of all models of a cohort alike, as that too few had the event.

    Parameters
    ----------
    points
        As `compared_points` gives them.
    """
    said = []
    for external, rows in points.groupby("external"):
        (first, *others) = rows["note"].unique()
        if first and not others:
            said.append(f"{'external' if external else 'development'}: {first}")
    return said


def comparison_figure(points: pd.DataFrame) -> Figure:
    """Values on the left, differences on the right, one row a model.

    Parameters
    ----------
    points
        As `compared_points` gives them.
    """
    names = list(points["model"].unique())
    figure = Figure(figsize=(9, 1.25 + _ROW_INCHES * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    plot_values(points, left)
    plot_differences(points, right)
    left.set(ylim=(len(names) - 0.5, -0.5))
    left.set_yticks(range(len(names)), labels=names)
    for ours in left.get_yticklabels()[:1]:
        ours.set_fontweight("bold")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return figure


def plot_values(points: pd.DataFrame, ax: Axes) -> Axes:
    """Draw each AUC or concordance with its 95% interval; a dashed line stands at chance.

    Parameters
    ----------
    points
        As `compared_points` gives them.
    ax
        Axes to draw on.
    """
    ax.axvline(0.5, color=PALE, linewidth=0.8, linestyle=DASHED, zorder=0)
    _draw(points, "value", ("ci_low", "ci_high"), ax)
    measure = points["measure"].iloc[0]
    named = measure[:1].upper() + measure[1:]
    ax.set(xlim=(min(0.4, points["ci_low"].min() - 0.02), 1.01), xlabel=f"{named} (95% CI)")
    return ax


def plot_differences(points: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the paired difference to each other model with its 95% interval, and a line at none.

    Parameters
    ----------
    points
        As `compared_points` gives them.
    ax
        Axes to draw on.
    """
    ax.axvline(0, color=INK, linewidth=0.8, zorder=0)
    others = points[points["role"] != MODEL]
    _draw(others, "difference", ("difference_ci_low", "difference_ci_high"), ax)
    ours = points.loc[points["role"] == MODEL, "model"].iloc[0]
    measure = points["measure"].iloc[0]
    ax.set_xlabel(f"Difference of {measure} (95% CI)\nright of 0, {ours} is better")
    return ax


def _draw(points: pd.DataFrame, value: str, limits: tuple[str, str], ax: Axes) -> None:
    for external, style in ((False, _DEVELOPMENT), (True, _EXTERNAL)):
        here = points[(points["external"] == external) & points[value].notna()]
        ax.hlines(here["place"], here[limits[0]], here[limits[1]], color=style["color"], lw=1.5)
        if len(here):
            ax.plot(
                here[value], here["place"], linestyle="none", markersize=6, clip_on=False, **style
            )
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["left", "top", "right"]].set_visible(False)
