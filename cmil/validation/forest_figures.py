"""Forest plots of centres and of subgroups: they draw the tables of a validation."""

import math
from typing import TYPE_CHECKING

import pandas as pd

from cmil.validation.figures import PAGE_INCHES, with_interval
from survival.figure_style import BLUE, INK, PALE, PLAIN, STYLE, VERMILION
from survival.print_numbers import p_text, p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW_INCHES, _MARGIN_INCHES = 0.21, 0.55
# Where the columns of text stand, in widths of the axes.
_NAME, _SIZE, _VALUE, _LAST = -1.38, -0.06, 1.06, 1.78
_NAME_WIDTH = 30
_NAMES = {"auc": "AUC", "o_e": "O:E", "slope": "Calibration slope"}
_NO_EFFECT = {"auc": 0.5, "o_e": 1.0, "slope": 1.0}


def centre_forest_figure(
    centres: pd.DataFrame, heterogeneity: pd.DataFrame, measure: str, threshold_name: str = ""
) -> "Figure":
    """Draw one measure in every centre, and in all by random effects; see `plot_centre_forest`.

    Parameters
    ----------
    centres, heterogeneity
        Of `ValidationTables`.
    measure, threshold_name
        Which of their measures.
    """
    from matplotlib import rc_context

    shown, pooled = (
        table[(table["measure"] == measure) & (table["threshold_name"] == threshold_name)]
        for table in (centres, heterogeneity)
    )
    with rc_context(dict(STYLE)):
        figure, ax = _forest(len(shown) + 4)
        plot_centre_forest(shown, pooled.iloc[0], ax)
    return figure


def plot_centre_forest(centres: pd.DataFrame, pooled: "pd.Series", ax: "Axes") -> "Axes":
    """Draw a square for each centre, its area as its weight, a diamond and a prediction interval.

    Parameters
    ----------
    centres
        Rows of `Heterogeneity.centres` of one measure.
    pooled
        The row of `Heterogeneity.pooled` that belongs to them.
    ax
        Axes with room for text on both sides.
    """
    measure = str(pooled["measure"])
    _head(ax, ("Centre", "positive / n", f"{_NAMES.get(measure, measure)} (95% CI)", "weight"))
    for y, (_, row) in enumerate(centres.iterrows()):
        _write(ax, y, str(row["centre"]), f"{row['positives']} / {row['patients']}")
        if row["note"] and math.isnan(row["value"]):
            _write_right(ax, y, "not estimable", "")
            continue
        _write_right(ax, y, with_interval(row), f"{row['weight']:.1f}%")
        ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=BLUE, linewidth=1)
        side = 2 + 0.7 * math.sqrt(row["weight"])
        ax.plot(row["value"], y, "s", color=BLUE, markersize=side, markeredgewidth=0)
    y = len(centres)
    several = pooled["centres"] > 1
    _write(ax, y, "Pooled (REML, Hartung-Knapp)" if several else "Not pooled", "", bold=True)
    _write_right(ax, y, with_interval(pooled), "")
    low, middle, high = pooled["ci_low"], pooled["value"], pooled["ci_high"]
    ax.fill([low, middle, high, middle], [y, y - 0.32, y, y + 0.32], color=VERMILION, linewidth=0)
    ax.axvline(middle, color=VERMILION, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)
    y += 1
    _write(ax, y, "Prediction interval", "")
    if not math.isnan(pooled["prediction_low"]):
        limits = [pooled["prediction_low"], pooled["prediction_high"]]
        _write_right(ax, y, f"({limits[0]:.2f} to {limits[1]:.2f})", "")
        ax.plot(limits, [y, y], color=VERMILION, linewidth=1.6, solid_capstyle="butt")
    else:
        _write_right(ax, y, "not estimable", "")
    if not math.isnan(pooled["tau2"]):
        interval = f"({pooled['tau2_ci_low']:.3f} to {pooled['tau2_ci_high']:.3f})"
        spread = f"\u03c4\u00b2 {pooled['tau2']:.3f} {interval}, I\u00b2 {pooled['i2']:.0f}%"
        _write(ax, y + 1, "Heterogeneity", "")
        _write_right(ax, y + 1, spread, "")
        _write_right(ax, y + 2, f"Q {pooled['q']:.2f}, p {p_text(pooled['q_p'])}", "")
    _finish(ax, y + 2, measure)
    return ax


def subgroup_forest_figure(subgroups: pd.DataFrame, overall: "pd.Series") -> "Figure":
    """Draw the AUC in every subgroup; see `plot_subgroup_forest`.

    Parameters
    ----------
    subgroups
        Of `ValidationTables`.
    overall
        Row of `ValidationTables.discrimination` of all these patients.
    """
    from matplotlib import rc_context

    shown = subgroups[subgroups["measure"] == "auc"]
    with rc_context(dict(STYLE)):
        figure, ax = _forest(len(shown) + shown["variable"].nunique() + 1)
        plot_subgroup_forest(shown, overall, ax)
    return figure


def plot_subgroup_forest(subgroups: pd.DataFrame, overall: "pd.Series", ax: "Axes") -> "Axes":
    """Draw a square for each level of each variable, and the p value of their interaction.

    Parameters
    ----------
    subgroups
        Rows of one measure.
    overall
        `value, ci_low, ci_high, patients, positives` of all patients.
    ax
        Axes with room for text on both sides.
    """
    measure = str(subgroups["measure"].iloc[0])
    name = _NAMES.get(measure, measure)
    _head(ax, ("Subgroup", "positive / n", f"{name} (95% CI)", "p (interaction)"))
    _write(ax, 0, "All patients", f"{overall['positives']} / {overall['patients']}", bold=True)
    _write_right(ax, 0, with_interval(overall), "")
    _mark(ax, 0, overall, VERMILION)
    ax.axvline(overall["value"], color=VERMILION, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)
    y = 1
    for variable, rows in subgroups.groupby("variable", sort=False):
        _write(ax, y, str(variable), "", bold=True)
        p = rows["p_interaction"].iloc[0]
        _write_right(ax, y, "", p_value(p))
        for _, row in rows.iterrows():
            y += 1
            _write(ax, y, f"    {row['level']}", f"{row['positives']} / {row['patients']}")
            _write_right(ax, y, with_interval(row), "")
            _mark(ax, y, row, BLUE)
        y += 1
    _finish(ax, y - 1, measure)
    return ax


def _forest(rows: int) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    height = _MARGIN_INCHES + _ROW_INCHES * (rows + 1)
    figure = Figure(figsize=(PAGE_INCHES, height))
    bottom = (_MARGIN_INCHES - 0.05) / height
    return figure, figure.add_axes((0.38, bottom, 0.27, 1 - bottom - 0.02))


def _mark(ax: "Axes", y: float, row: "pd.Series", colour: str) -> None:
    ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1)
    ax.plot(row["value"], y, "s", color=colour, markersize=4, markeredgewidth=0)


def _head(ax: "Axes", titles: tuple[str, str, str, str]) -> None:
    places = ((_NAME, "left"), (_SIZE, "right"), (_VALUE, "left"), (_LAST, "left"))
    for title, (x, side) in zip(titles, places, strict=True):
        ax.text(
            x,
            -1,
            title,
            transform=ax.get_yaxis_transform(),
            ha=side,
            va="center",
            fontweight="bold",
            **PLAIN,
        )


def _write(ax: "Axes", y: float, name: str, size: str, *, bold: bool = False) -> None:
    where = ax.get_yaxis_transform()
    weight = "bold" if bold else "normal"
    fitting = name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "\u2026"
    ax.text(_NAME, y, fitting, transform=where, va="center", fontweight=weight, **PLAIN)
    ax.text(_SIZE, y, size, transform=where, va="center", ha="right")


def _write_right(ax: "Axes", y: float, value: str, last: str) -> None:
    where = ax.get_yaxis_transform()
    ax.text(_VALUE, y, value, transform=where, va="center")
    ax.text(_LAST, y, last, transform=where, va="center")


def _finish(ax: "Axes", last: float, measure: str) -> None:
    ax.axvline(_NO_EFFECT.get(measure, math.nan), color=PALE, linewidth=0.6, zorder=0)
    ax.set(ylim=(last + 0.7, -1.6), yticks=(), xlabel=_NAMES.get(measure, measure.capitalize()))
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_color(INK)
