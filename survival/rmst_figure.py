"""Picture of the restricted mean: the area under each group's curve up to tau."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from survival.figure_style import COLOURS, DASHED, INK
from survival.print_numbers import estimate_text, p_text
from survival.rmst import RestrictedMean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOST = "#f0f0f0"
_MOST_COLUMNS, _PANEL_WIDTH, _PANEL_HEIGHT = 3, 3.3, 3.0
# Letters of the lines below, per inch.
_LETTERS = 13.5
# How far beyond tau the curves go on, so that the area has room for its numbers.
_WIDEST = 1.25


def restricted_mean_figure(
    curves: pd.DataFrame,
    means: RestrictedMean,
    labels: Mapping[Any, str],
    unit: str,
    colours: Sequence[str] = COLOURS,
) -> "Figure":
    """Make a figure of one panel a group, and what sets the groups apart below.

    Parameters
    ----------
    curves
        `survival.curves.curves_by_group` of the same patients.
    means
        `survival.rmst.restricted_mean`.
    labels
        Label of each group, in the order of panels.
    unit
        Unit of time, e.g. "months".
    colours
        Of the groups, in their order.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(len(labels), _MOST_COLUMNS)
    rows = -(-len(labels) // columns)
    lines = _contrast_lines(means, labels, unit, int(columns * _PANEL_WIDTH * _LETTERS))
    below = 0.25 + 0.17 * len(lines)
    height = rows * _PANEL_HEIGHT + below
    layout = ConstrainedLayoutEngine(rect=(0, below / height, 1, 1 - below / height))
    figure = Figure(figsize=(columns * _PANEL_WIDTH, height), layout=layout)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for place, (group, label) in enumerate(labels.items()):
        mean = means.groups[means.groups["group"] == group].iloc[0]
        ax = plot_restricted_mean(
            curves[curves["group"] == group], mean, means.tau, colours[place], panels[place]
        )
        ax.set_title(textwrap.fill(label, 36), loc="left", fontsize=10, parse_math=False)
        ax.set_xlabel(f"Time ({unit})")
    for ax in panels[len(labels) :]:
        ax.set_visible(False)
    for ax in panels[::columns]:
        ax.set_ylabel("Survival probability")
    figure.text(
        0.02,
        0.1 / height,
        "\n".join(lines),
        va="bottom",
        fontsize=9,
        color=INK,
        linespacing=1.35,
        parse_math=False,
    )
    return figure


def plot_restricted_mean(
    curve: pd.DataFrame, mean: "pd.Series", tau: float, colour: str, ax: "Axes"
) -> "Axes":
    """Fill the area under a curve up to tau (time lived) and above it (time lost).

    Parameters
    ----------
    curve
        Kaplan-Meier curve of one group.
    mean
        The group's row of `RestrictedMean.groups`.
    tau
        Time at which the area ends.
    colour
        Of the curve and its area.
    ax
        Axes to draw on.
    """
    ax.step(curve["time"], curve["survival"], where="post", color=colour, linewidth=1.6)
    ax.axvline(tau, color=INK, linewidth=0.8, linestyle=DASHED)
    ax.set(xlim=(0, _WIDEST * tau), ylim=(0, 1))
    ax.spines[["top", "right"]].set_visible(False)
    style: dict[str, Any] = {"fontsize": 9, "color": INK}
    if mean["note"]:
        ax.text(0.06 * tau, 0.06, "not estimable", va="bottom", **style)
        return ax
    kept = curve[curve["time"] < tau]
    time = np.append(kept["time"], tau)
    survival = np.append(kept["survival"], kept["survival"].iloc[-1])
    ax.fill_between(time, survival, 1, step="post", color=_LOST, linewidth=0)
    ax.fill_between(time, 0, survival, step="post", color=colour, alpha=0.3, linewidth=0)
    lived, lost = mean["rmst"], mean["rmtl"]
    limits = f"({mean['rmst_ci_low']:.2f} to {mean['rmst_ci_high']:.2f})"
    ax.text(0.06 * tau, 0.06, f"RMST {lived:.2f}\n{limits}", va="bottom", linespacing=1.35, **style)
    ax.text(0.97 * tau, 0.98, f"RMTL {lost:.2f}", ha="right", va="top", **style)
    return ax


def _contrast_lines(
    means: RestrictedMean, labels: Mapping[Any, str], unit: str, width: int
) -> list[str]:
    lines = [f"Restricted mean survival up to {means.tau:g} {unit} ({means.tau_source})"]
    for (group, reference), measures in means.contrasts.groupby(["group", "reference"], sort=False):
        lines += textwrap.wrap(f"{labels[group]} versus {labels[reference]}", width)
        for row in measures.to_dict("records"):
            estimate = estimate_text(row["estimate"], row["ci_low"], row["ci_high"])
            p = "" if np.isnan(row["p"]) else f", p {p_text(row['p'])}"
            lines.append(f"   {row['measure']} {estimate}{p}")
    return lines
