"""Forest plots of centres and of subgroups: they draw tables and compute nothing.

Functions take axes and return them; figures are made without pyplot, so nothing global is left.
"""

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from cohorts.random_effects import adhoc_is_wider
from survival.centres import CentreHazards
from survival.figure_style import BLUE, INK, PALE
from survival.print_numbers import interval_text, p_text, p_value
from survival.subgroups import SubgroupHazards

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDEST_RATIO = 20.0
_TICKS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
# Inches: the width of the figure, where the axes begin and end, and where columns of text start.
_WIDTH, _FROM, _TO = 9.2, 3.35, 5.75
_LABEL_AT, _COUNTS_AT, _RATIO_AT, _LAST_AT = 0.1, 2.35, 5.95, 7.7
_ROW, _HEAD, _FOOT, _FOOT_LINE = 0.25, 0.5, 0.62, 0.18
_LABEL_WIDTH, _NOTE_WIDTH, _TITLE_WIDTH = 32, 104, 88
_FONT: dict[str, Any] = {"fontsize": 9, "color": INK, "va": "center", "parse_math": False}


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest plot.

    Attributes
    ----------
    label, counts, last
        Text on the left, events and patients, and the rightmost column.
    hr, ci_low, ci_high
        What is drawn and printed; NaN prints "not estimable".
    shape
        "square", "diamond" for a pooled ratio, "interval" for a prediction interval, and "header"
        for a line without ratio.
    size
        Share of the largest square, 0 to 1.
    """

    label: str
    counts: str = ""
    hr: float = float("nan")
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    last: str = ""
    shape: str = "square"
    size: float = 0.5


def centre_forest_figure(hazards: CentreHazards, term: str, title: str = "") -> "Figure":
    """Forest plot of centres: ratios with weights, the pooled one and what a new centre may have.

    Parameters
    ----------
    hazards
        Of `survival.centres.centre_hazard_ratios`.
    term
        What the ratio is of, e.g. "score, per SD"; label of the axis.
    title
        Title of the figure.
    """
    rows = centre_rows(hazards)
    pooled = hazards.pooled.iloc[0]
    notes = [str(pooled["method"])]
    if pd.notna(pooled["i2"]):
        notes[0] += f"; I² {pooled['i2']:.0f}%, τ² {pooled['tau2']:.3f}, heterogeneity p "
        notes[0] += p_text(pooled["q_p"])
    notes += [str(pooled["note"])] if pooled["note"] else []
    if adhoc_is_wider(pooled.to_dict()):
        low, high = pooled["adhoc_ci_low"], pooled["adhoc_ci_high"]
        notes.append(f"ad hoc interval of the pooled ratio: {low:.2f} to {high:.2f}")
    return ratio_figure(rows, ("Centre", "Events / n", "HR (95% CI)", "Weight"), term, title, notes)


def centre_rows(hazards: CentreHazards) -> list[ForestRow]:
    """Lines of the forest plot of centres."""
    largest = max(float(hazards.centres["weight"].max()), 1.0)
    rows = [
        ForestRow(
            str(line["centre"]),
            f"{line['events']} / {line['n']}",
            line["hr"],
            line["ci_low"],
            line["ci_high"],
            f"{line['weight']:.1f}%" if line["weight"] > 0 else "",
            size=line["weight"] / largest,
        )
        for _, line in hazards.centres.iterrows()
    ]
    pooled = hazards.pooled.iloc[0]
    if pooled["centres"] < 2:
        return rows
    used = hazards.centres[hazards.centres["weight"] > 0]
    rows.append(
        ForestRow(
            f"Pooled, {pooled['centres']} centres",
            f"{used['events'].sum()} / {used['n'].sum()}",
            pooled["hr"],
            pooled["ci_low"],
            pooled["ci_high"],
            f"p {p_text(pooled['p'])}",
            "diamond",
        )
    )
    if pd.notna(pooled["prediction_low"]):
        low, high = pooled["prediction_low"], pooled["prediction_high"]
        rows.append(
            ForestRow("New centre, 95% prediction", "", pooled["hr"], low, high, "", "interval")
        )
    return rows


def subgroup_forest_figure(hazards: SubgroupHazards, term: str, title: str = "") -> "Figure":
    """Forest plot of subgroups, each with the p value of its interaction.

    Parameters
    ----------
    hazards
        Of `survival.subgroups.subgroup_hazard_ratios`.
    term
        What the ratio is of, e.g. "score, per SD"; label of the axis.
    title
        Title of the figure.
    """
    rows = subgroup_rows(hazards)
    columns = ("Subgroup", "Events / n", "HR (95% CI)", "p interaction")
    return ratio_figure(rows, columns, term, title, [hazards.note] if hazards.note else [])


def subgroup_rows(hazards: SubgroupHazards) -> list[ForestRow]:
    """Lines of the forest plot of subgroups: a header for each, and its levels."""
    tests = hazards.interactions
    p_of = dict(
        zip(tests["subgroup"], map(_interaction_text, tests["p"], tests["p_holm"]), strict=True)
    )
    most = max(int(hazards.levels["events"].max()), 1)
    rows = []
    for subgroup, levels in hazards.levels.groupby("subgroup", sort=False):
        if subgroup in p_of:
            rows.append(ForestRow(str(subgroup), last=p_of[str(subgroup)], shape="header"))
        rows += [
            ForestRow(
                f"   {line['level']}" if line["level"] else str(subgroup).capitalize(),
                f"{line['events']} / {line['n']}",
                line["hr"],
                line["ci_low"],
                line["ci_high"],
                size=line["events"] / most,
            )
            for _, line in levels.iterrows()
        ]
    return rows


def plot_forest(rows: list[ForestRow], columns: tuple[str, str, str, str], ax: "Axes") -> "Axes":
    """Draw ratios with their intervals on a logarithmic axis, and print them beside it.

    A limit beyond 1/20 or 20 ends in an arrow. Text is placed in inches of the figure, with the
    axes where `centre_forest_figure` puts them.

    Parameters
    ----------
    rows
        From top to bottom.
    columns
        Headers of label, counts, ratio and the last column.
    ax
        Axes to draw on.
    """
    limits = [value for row in rows for value in (row.ci_low, row.ci_high)]
    limits = [value for value in limits if not math.isnan(value)]
    ax.set_xscale("log")
    ax.set_xlim(
        max(min([0.5, *limits]) / 1.15, 1 / _WIDEST_RATIO),
        min(max([2.0, *limits]) * 1.15, _WIDEST_RATIO),
    )
    ax.set(ylim=(len(rows) + 0.6, -0.6), yticks=[])
    ax.axvline(1, color=PALE, linewidth=0.8, zorder=0)
    low, high = ax.get_xlim()
    ax.set_xticks(ticks := [tick for tick in _TICKS if low <= tick <= high])
    ax.set_xticklabels([f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.spines[["left", "top", "right"]].set_visible(False)
    _print_row(ax, 0, columns, "bold")
    for y, row in enumerate(rows, start=1):
        weight = "bold" if row.shape in ("header", "diamond") else "normal"
        _print_row(ax, y, (_fitted(row.label), row.counts, _ratio_text(row), row.last), weight)
        if not math.isnan(row.hr):
            _draw_interval(ax, y, row)
    for y, row in enumerate(rows, start=1):
        if row.shape == "diamond":
            ax.axhline(y - 0.55, color=PALE, linewidth=0.6)
            ax.axvline(row.hr, color=BLUE, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
    return ax


def ratio_figure(
    rows: list[ForestRow],
    columns: tuple[str, str, str, str],
    term: str,
    title: str,
    notes: list[str],
) -> "Figure":
    """Make a figure of `plot_forest`, with what the ratio is of, a title and notes below."""
    from matplotlib.figure import Figure

    lines = [line for note in notes for line in textwrap.wrap(note, _NOTE_WIDTH)]
    foot = _FOOT + _FOOT_LINE * len(lines)
    wrapped = textwrap.wrap(title, _TITLE_WIDTH)
    head = _HEAD + 0.2 * (len(wrapped) - 1) if wrapped else 0.15
    body = _ROW * (len(rows) + 1.2)
    height = head + body + foot
    figure = Figure(figsize=(_WIDTH, height))
    ax = figure.add_axes((_FROM / _WIDTH, foot / height, (_TO - _FROM) / _WIDTH, body / height))
    plot_forest(rows, columns, ax)
    ax.set_xlabel(f"Hazard ratio ({term})", fontsize=9, parse_math=False)
    ax.tick_params(labelsize=9)
    if wrapped:
        figure.suptitle(
            "\n".join(wrapped),
            x=_LABEL_AT / _WIDTH,
            y=1 - 0.12 / height,
            ha="left",
            va="top",
            fontsize=11,
            fontweight="bold",
            parse_math=False,
        )
    for place, line in enumerate(reversed(lines)):
        figure.text(
            _LABEL_AT / _WIDTH,
            (0.12 + _FOOT_LINE * place) / height,
            line,
            fontsize=8,
            color=INK,
            parse_math=False,
        )
    return figure


def _print_row(ax: "Axes", y: int, texts: tuple[str, str, str, str], weight: str) -> None:
    from matplotlib.transforms import blended_transform_factory

    scale = ax.figure.dpi_scale_trans  # inches from the left edge of the figure
    transform = blended_transform_factory(scale, ax.transData)
    for x, text in zip((_LABEL_AT, _COUNTS_AT, _RATIO_AT, _LAST_AT), texts, strict=True):
        ax.text(x, y, text, transform=transform, fontweight=weight, **_FONT)


def _draw_interval(ax: "Axes", y: int, row: ForestRow) -> None:
    low, high = ax.get_xlim()
    start, end = (min(max(limit, low), high) for limit in (row.ci_low, row.ci_high))
    if row.shape == "diamond":
        corners = [(start, y), (row.hr, y - 0.3), (end, y), (row.hr, y + 0.3)]
        ax.fill(*zip(*corners, strict=True), color=BLUE, linewidth=0)
    elif row.shape == "interval":
        ax.plot([start, end], [y, y], color=BLUE, linewidth=3, solid_capstyle="butt")
    else:
        ax.plot([start, end], [y, y], color=INK, linewidth=1.2)
        if low < row.hr < high:
            ax.plot(row.hr, y, "s", color=INK, markersize=3 + 6 * row.size**0.5)
    colour = INK if row.shape == "square" else BLUE
    for at, marker, beyond in ((low, "<", row.ci_low < low), (high, ">", row.ci_high > high)):
        if beyond:
            ax.plot(at, y, marker, color=colour, markersize=6, clip_on=False)


def _ratio_text(row: ForestRow) -> str:
    if row.shape == "header":
        return ""
    if row.shape == "interval":
        return f"{row.ci_low:.2f} to {row.ci_high:.2f}"
    return interval_text(row.hr, row.ci_low, row.ci_high)


def _interaction_text(p: float, p_holm: float) -> str:
    if math.isnan(p) or p_holm == p:
        return p_value(p)
    return f"{p_value(p)} (Holm {p_value(p_holm)})"


def _fitted(label: str) -> str:
    return label if len(label) <= _LABEL_WIDTH else f"{label[: _LABEL_WIDTH - 3]}..."
