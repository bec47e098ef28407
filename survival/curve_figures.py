"""Kaplan-Meier figures: curves, censorings and, aligned below, the numbers at risk.

They draw the tables of `survival.curves` and compute nothing. Functions take axes and return them;
figures are made without pyplot, so nothing global is left.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cohorts.errors import SettingsError
from cohorts.strata import DEVELOPMENT
from survival.cutpoint import CutPoint, groups_of
from survival.figure_style import COLOURS, GRID, INK, LINES
from survival.print_numbers import estimate_text, p_text
from survival.results import SurvivalResults
from survival.risk_table import draw_legend_above, draw_numbers_at_risk
from survival.study.plan import GROUP_COLOURS, GROUP_LABELS
from survival.study.stratum import HIGH_LOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE_WIDTH, _LABEL_WIDTH, _LEGEND_WIDTH = 64, 22, 66
_MANY_CENSORED = 60
# Height of the panel, and of each line below it, in inches.
_WIDTH, _PANEL, _LINE = 6.4, 4.2, 0.19


@dataclass(frozen=True)
class CurveText:
    """What is written on a Kaplan-Meier figure.

    Attributes
    ----------
    labels
        Label of each group, in the order of colours and rows.
    statement
        Lines in the panel, e.g. the test and the hazard ratio.
    title, y_label, x_label
        Title, and labels of the axes.
    colours
        Colour of each group, in the order of labels.
    """

    labels: Mapping[Any, str]
    statement: str = ""
    title: str = ""
    y_label: str = "Survival probability"
    x_label: str = "Time"
    colours: tuple[str, ...] = COLOURS


def kaplan_meier_figure(results: SurvivalResults, endpoint: str, stratum: str) -> "Figure":
    """Curves of the score groups, for one endpoint in one stratum."""
    tables = (results.kaplan_meier, results.numbers_at_risk, results.logrank, results.cox)
    curves, at_risk, test, cox = (
        table[(table["endpoint"] == endpoint) & (table["stratum"] == stratum)] for table in tables
    )
    ratio = cox[(cox["term"] == HIGH_LOW) & (cox["adjusted_for"] == "")].iloc[0]
    present = [group for group in GROUP_LABELS if (curves["group"] == group).any()]
    # With a group between them, whose ratio it is has to be said.
    whose = " high versus low" if len(groups_of(results.cutpoint)) > 2 else ""
    searched = _searched_text(results.cutpoint, endpoint, stratum)
    text = CurveText(
        labels={group: GROUP_LABELS[group] for group in present},
        statement=f"{_test_text(test.iloc[0])}{searched}\n"
        f"HR{whose} {estimate_text(ratio['hr'], ratio['ci_low'], ratio['ci_high'])}",
        title=stratum,
        y_label=f"{endpoint[:1].upper()}{endpoint[1:]} probability",
        x_label=f"Time ({curves['unit'].iloc[0]})",
        colours=tuple(GROUP_COLOURS[group] for group in present),
    )
    return curves_figure(curves, at_risk, text)


def curves_figure(curves: pd.DataFrame, at_risk: pd.DataFrame, text: CurveText) -> "Figure":
    """Make a figure of any groups: curves over their table of numbers at risk.

    Parameters
    ----------
    curves
        `survival.curves.curves_by_group`.
    at_risk
        `survival.curves.numbers_at_risk` of the same groups; its times are the ticks of the axis.
    text
        What is written on it.
    """
    from matplotlib.figure import Figure

    legend = [_legend_label(label) for label in text.labels.values()]
    legend_rows = -(-sum(label.count("\n") + 1 for label in legend) // _legend_columns(legend))
    table_rows = sum(_wrapped(label).count("\n") + 1 for label in text.labels.values())
    below = 0.3 + _LINE * table_rows
    above = 0.1 + _LINE * legend_rows + 0.25 * len(textwrap.wrap(text.title, _TITLE_WIDTH))
    figure = Figure(figsize=(_WIDTH, _PANEL + below + above), layout="constrained")
    ax, risk_ax = figure.subplots(2, 1, sharex=True, height_ratios=[_PANEL - 0.5, below])
    plot_kaplan_meier(curves, at_risk, text, ax, risk_ax)
    if text.title:
        figure.suptitle(
            textwrap.fill(text.title, _TITLE_WIDTH),
            x=0.01,
            ha="left",
            fontsize=11,
            fontweight="bold",
            parse_math=False,
        )
    return figure


def plot_kaplan_meier(
    curves: pd.DataFrame, at_risk: pd.DataFrame, text: CurveText, ax: "Axes", risk_ax: "Axes"
) -> "Axes":
    """Draw curves with their confidence bands and censorings, and who is at risk below them.

    Parameters
    ----------
    curves, at_risk, text
        As of `curves_figure`.
    ax, risk_ax
        Axes of the curves and, below them with a shared x axis, of the numbers at risk.

    Raises
    ------
    SettingsError
        If a group has no label, or there are more groups than colours.
    """
    groups = list(text.labels)
    unlabelled = set(curves["group"]) - set(groups)
    if unlabelled or len(groups) > len(text.colours):
        raise SettingsError(
            f"labels: give one to each of the groups, at most {len(text.colours)}; "
            f"without: {', '.join(map(str, unlabelled)) or 'none'}"
        )
    ticks = at_risk["time"].unique()
    end = max(curves["time"].max(), ticks[-1])
    for i, group in enumerate(groups):
        of_group = curves[curves["group"] == group]
        _draw_curve(of_group, LINES[i % len(LINES)], text.colours[i], text.labels[group], ax)
    ax.set(xlim=(-0.04 * end, 1.03 * end), ylim=(-0.01, 1.03), xticks=ticks)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_ylabel(text.y_label, parse_math=False)
    ax.set_xlabel(text.x_label, parse_math=False)
    ax.tick_params(labelbottom=True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    names = list(text.labels.values())
    draw_legend_above(_legend_columns([_legend_label(name) for name in names]), ax)
    if text.statement:
        _draw_statement(text.statement, _free_corner(curves, end), ax)
    draw_numbers_at_risk(
        at_risk,
        list(text.labels),
        [_wrapped(name) for name in names],
        text.colours,
        "Number at risk",
        risk_ax,
    )
    return ax


def _draw_curve(curve: pd.DataFrame, style: Any, colour: str, label: str, ax: "Axes") -> None:
    time = curve["time"]
    # Where the curve has no limits, those before it are drawn on.
    low, high = curve["ci_low"].ffill(), curve["ci_high"].ffill()
    ax.fill_between(time, low, high, step="post", color=colour, alpha=0.13, linewidth=0)
    ax.step(
        time,
        curve["survival"],
        where="post",
        color=colour,
        linewidth=1.8,
        linestyle=style,
        label=_legend_label(label),
    )
    censored = curve[curve["n_censored"] > 0]
    many = len(censored) > _MANY_CENSORED
    ax.plot(
        censored["time"],
        censored["survival"],
        "|",
        color=colour,
        markersize=5 if many else 7,
        markeredgewidth=0.6 if many else 1.0,
    )


def _legend_label(label: str) -> str:
    return textwrap.fill(label, _LEGEND_WIDTH - 8)


def _legend_columns(labels: Sequence[str]) -> int:
    """As many columns as fit side by side above the panel, filled evenly."""
    widest = max(len(label) for label in labels) + 8
    fitting = max(1, min(len(labels), _LEGEND_WIDTH // widest))
    return -(-len(labels) // -(-len(labels) // fitting))


def _free_corner(curves: pd.DataFrame, end: float) -> tuple[str, str]:
    """Corner of the panel that the bands leave widest: (vertical, horizontal) alignment."""
    early: list[pd.DataFrame] = []
    late: list[pd.DataFrame] = []
    for _, curve in curves.groupby("group", sort=False):
        time, limits = curve["time"].to_numpy(), curve[["ci_low", "ci_high"]].ffill()
        for half, grid in ((early, (0.0, 0.5)), (late, (0.5, 1.0))):
            at = np.linspace(grid[0] * end, grid[1] * end, 40)
            at = at[at <= time[-1]]
            rows = np.maximum(np.searchsorted(time, at, side="right") - 1, 0)
            half.append(limits.iloc[rows])
    before: pd.DataFrame = pd.concat(early)
    after: pd.DataFrame = pd.concat(late)
    gaps = {
        ("bottom", "left"): before["ci_low"].min(),
        ("top", "right"): 1 - after["ci_high"].max() if len(after) else 1.0,
        ("bottom", "right"): after["ci_low"].min() if len(after) else 1.0,
    }
    return max(gaps, key=lambda corner: gaps[corner])


def _draw_statement(statement: str, corner: tuple[str, str], ax: "Axes") -> None:
    vertical, horizontal = corner
    ax.text(
        0.03 if horizontal == "left" else 0.99,
        0.04 if vertical == "bottom" else 0.955,
        statement,
        transform=ax.transAxes,
        va=vertical,
        ha=horizontal,
        fontsize=9,
        color=INK,
        linespacing=1.4,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2},
    )


def _wrapped(label: str) -> str:
    """Label of a row in two lines at most; the legend has it in full."""
    return "\n".join(textwrap.wrap(label, _LABEL_WIDTH, max_lines=2, placeholder=" ..."))


def _searched_text(cut: CutPoint, endpoint: str, stratum: str) -> str:
    """Say that groups differ by construction where the cut-point was searched on their outcomes."""
    if stratum != DEVELOPMENT or cut.endpoint != endpoint:
        return ""
    if cut.p_corrected is None:
        return ", at a cut-point searched here"
    said = f", corrected for the search p {p_text(cut.p_corrected)}"
    if cut.p_permutation is None:
        return said
    return f"{said} (permutation p {p_text(cut.p_permutation)})"


def _test_text(test: "pd.Series") -> str:
    name = "Log-rank, stratified by centre" if test["stratified_by"] else "Log-rank"
    return f"{name}: not estimable" if test["note"] else f"{name} p {p_text(test['p'])}"
