"""Cumulative incidence curves with numbers at risk: they draw tables and compute nothing."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cohorts.errors import SettingsError
from survival.competing_analysis import CompetingRisks
from survival.figure_style import COLOURS, GRID, INK, LINES
from survival.print_numbers import NOT_ESTIMABLE, p_text
from survival.risk_table import draw_legend_above, draw_numbers_at_risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE_WIDTH = 64
_WIDTH, _PANEL, _LINE = 6.4, 4.2, 0.19
# Height of a line of the tests, in heights of the panel.
_TEST_LINE = 0.06


def incidence_figure(
    results: CompetingRisks,
    labels: Mapping[str, str],
    unit: str,
    title: str = "",
    colours: Sequence[str] = COLOURS,
) -> "Figure":
    """Curves of every event in every group, over the table of numbers at risk.

    Parameters
    ----------
    results
        Of `survival.competing_analysis.competing_risks`.
    labels
        Label of each group, in the order of colours and rows.
    unit
        Unit of time, for the axis.
    title
        Title of the figure.
    colours
        Colour of each group, in the order of labels.

    Raises
    ------
    SettingsError
        If a group has no label, or there are more groups than colours or events than lines.
    """
    from matplotlib.figure import Figure

    below = 0.3 + _LINE * len(labels)
    wrapped = textwrap.wrap(title, _TITLE_WIDTH)
    above = 0.1 + 2 * _LINE + 0.25 * len(wrapped)
    figure = Figure(figsize=(_WIDTH, _PANEL + below + above), layout="constrained")
    ax, risk_ax = figure.subplots(2, 1, sharex=True, height_ratios=[_PANEL - 0.5, below])
    plot_incidence(results, labels, ax, risk_ax, colours)
    ax.set_xlabel(f"Time ({unit})")
    if wrapped:
        figure.suptitle(
            "\n".join(wrapped), x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False
        )
    return figure


def plot_incidence(
    results: CompetingRisks,
    labels: Mapping[str, str],
    ax: "Axes",
    risk_ax: "Axes",
    colours: Sequence[str] = COLOURS,
) -> "Axes":
    """Draw the curves with their bands and Gray's tests, and who is at risk below them.

    The first event has bands and full lines; competing ones are drawn in other line styles.

    Parameters
    ----------
    results, labels, colours
        As of `incidence_figure`.
    ax, risk_ax
        Axes of the curves and, below them with a shared x axis, of the numbers at risk.
    """
    curves, at_risk = results.incidence, results.numbers_at_risk
    events = curves["event"].drop_duplicates().tolist()
    unlabelled = set(curves["group"]) - set(labels)
    if unlabelled or len(labels) > len(colours) or len(events) > len(LINES):
        raise SettingsError(
            f"labels: give one to each group, of at most {len(colours)} groups and {len(LINES)} "
            f"events; without: {', '.join(sorted(unlabelled)) or 'none'}"
        )
    for place, group in enumerate(labels):
        for line, event in enumerate(events):
            curve = curves[(curves["group"] == group) & (curves["event"] == event)]
            if len(curve):
                _draw_curve(curve, colours[place], line, ax)
    ticks = at_risk["time"].unique()
    end = max(curves["time"].max(), ticks[-1])
    highest = np.nanmax([curves["incidence"].max(), curves["ci_high"].max(), 0.1])
    top = highest / (1 - _TEST_LINE * (len(events) + 1.5))
    ax.set(xlim=(-0.04 * end, 1.03 * end), ylim=(-0.01, top), xticks=ticks)
    # Room for the tests may lie above 1; a probability does not.
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= min(top, 1)])
    ax.set_ylabel("Cumulative incidence")
    ax.tick_params(labelbottom=True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    _draw_legend(labels, colours, events, ax)
    _draw_tests(results.gray, ax)
    title = "Number at risk, free of any event"
    draw_numbers_at_risk(at_risk, list(labels), list(labels.values()), colours, title, risk_ax)
    return ax


def _draw_curve(curve: pd.DataFrame, colour: str, line: int, ax: "Axes") -> None:
    time = curve["time"]
    if line == 0:
        ax.fill_between(
            time, curve["ci_low"], curve["ci_high"], step="post", color=colour, alpha=0.13, lw=0
        )
    ax.step(
        time,
        curve["incidence"],
        where="post",
        color=colour,
        linewidth=1.8 if line == 0 else 1.3,
        linestyle=LINES[line],
    )


def _draw_legend(
    labels: Mapping[str, str], colours: Sequence[str], events: Sequence[str], ax: "Axes"
) -> None:
    """Name the colours of the groups in one line, the styles of the events in the next."""
    from matplotlib.lines import Line2D

    entries = []
    for group, event, colour, style in zip_longest(
        labels.values(), events, colours[: len(labels)], LINES[: len(events)]
    ):
        # A legend fills its columns from top to bottom; the shorter line ends in blanks.
        upper = Line2D([], [], color=colour, lw=4 if group else 0)
        lower = Line2D([], [], color=INK, lw=1.5 if event else 0, ls=style or "-")
        entries += [(upper, group or ""), (lower, event or "")]
    handles, names = zip(*entries, strict=True)
    draw_legend_above(len(entries) // 2, ax, handles, names)


def _draw_tests(gray: pd.DataFrame, ax: "Axes") -> None:
    lines = [_test_text(test) for _, test in gray.iterrows()]
    stratified = ", stratified by centre" if (gray["stratified_by"] != "").any() else ""
    ax.text(
        0.02,
        0.975,
        "\n".join([f"Gray's test{stratified}", *lines]),
        transform=ax.transAxes,
        va="top",
        fontsize=9,
        color=INK,
        linespacing=1.4,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2},
    )


def _test_text(test: "pd.Series") -> str:
    p = float(test["p"])
    return f"{test['event']}: {NOT_ESTIMABLE if np.isnan(p) else f'p {p_text(p)}'}"
