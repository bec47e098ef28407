"""Forest plots: they draw the table of hazard ratios and compute nothing.

Functions take axes and return them; figures are made without pyplot, so nothing global is left.
"""

import textwrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from survival.figure_style import INK, PALE
from survival.print_numbers import interval_text, p_value
from survival.results import SurvivalResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Names come from the study's tables: a "$" in one is a character, not mathematics.
_TITLE: dict[str, Any] = {"fontsize": 11, "fontweight": "bold", "parse_math": False}
_HEADER_WIDTH = 90
_WIDEST_RATIO = 32.0
# Where the columns of the forest plot start, in widths of its axes.
_COLUMNS = (-0.9, 1.04, 1.3, 1.8)


def hazard_ratio_figure(results: SurvivalResults, endpoint: str) -> "Figure":
    """Forest plot of every hazard ratio of one endpoint."""
    from matplotlib.figure import Figure

    cox = results.cox[results.cox["endpoint"] == endpoint]
    rows = len(cox) + cox["stratum"].nunique()
    height = 1.6 + 0.26 * rows
    figure = Figure(figsize=(9, height))
    # Room for the columns of text that `plot_hazard_ratios` prints on both sides of its axes.
    ax = figure.add_axes((0.32, 0.75 / height, 0.34, 1 - 1.15 / height))
    plot_hazard_ratios(cox, ax)
    figure.suptitle(_sentence(endpoint), x=0.01, ha="left", **_TITLE)
    return figure


def plot_hazard_ratios(cox: pd.DataFrame, ax: "Axes") -> "Axes":
    """Draw hazard ratios with their 95 % intervals, stratum by stratum, and print them beside.

    Filled squares are univariable, open ones adjusted. A limit beyond 1/32 or 32 ends in an arrow;
    a ratio that is not estimable says so.

    Parameters
    ----------
    cox
        Rows of `SurvivalResults.cox` of one endpoint, in the order of the table.
    ax
        Axes to draw on.
    """
    ax.set_xscale("log", base=2)
    ax.set_xlim(_ratio_limits(cox))
    ax.axvline(1, color=PALE, linewidth=0.8, zorder=0)
    _print_row(ax, 0, ("", "Events / n", "HR (95% CI)", "p"), "bold")
    y = 0
    for stratum, lines in cox.groupby("stratum", sort=False):
        y += 1
        header = textwrap.shorten(str(stratum), _HEADER_WIDTH, placeholder=" ...")
        _print_row(ax, y, (header,), "bold")
        for _, line in lines.iterrows():
            y += 1
            _print_row(ax, y, _ratio_texts(line), "normal")
            _draw_ratio(ax, y, line)
    ax.set(ylim=(y + 0.6, -0.6), yticks=[])
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.spines[["left", "top", "right"]].set_visible(False)
    covariates = [names for names in cox["adjusted_for"].unique() if names]
    adjusted = f"\n(open squares: adjusted for {covariates[0]})" if covariates else ""
    ax.set_xlabel(f"Hazard ratio{adjusted}", parse_math=False)
    return ax


def _ratio_limits(cox: pd.DataFrame) -> tuple[float, float]:
    """Limits of the axis that hold every interval, up to a factor of 32 either way."""
    low = min([0.5, *cox["ci_low"].dropna()]) / 1.1
    high = max([2.0, *cox["ci_high"].dropna()]) * 1.1
    return max(low, 1 / _WIDEST_RATIO), min(high, _WIDEST_RATIO)


def _print_row(ax: "Axes", y: int, texts: tuple[str, ...], weight: str) -> None:
    for x, text in zip(_COLUMNS, texts, strict=False):
        ax.text(
            x,
            y,
            text,
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=INK,
            fontweight=weight,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            parse_math=False,
        )


def _ratio_texts(line: "pd.Series") -> tuple[str, ...]:
    label = f"   {line['term']}{', adjusted' if line['adjusted_for'] else ''}"
    counts = f"{line['events']} / {line['n']}"
    ratio = interval_text(line["hr"], line["ci_low"], line["ci_high"])
    return label, counts, ratio, "" if pd.isna(line["hr"]) else p_value(line["p"])


def _draw_ratio(ax: "Axes", y: int, line: "pd.Series") -> None:
    if pd.isna(line["hr"]):
        return
    low, high = ax.get_xlim()
    filled = "white" if line["adjusted_for"] else INK
    ax.plot([line["ci_low"], line["ci_high"]], [y, y], color=INK, linewidth=1.3)
    ax.plot(line["hr"], y, "s", color=INK, markerfacecolor=filled, markersize=6)
    for end, marker, beyond in (
        (low, "<", line["ci_low"] < low),
        (high, ">", line["ci_high"] > high),
    ):
        if beyond:
            ax.plot(end, y, marker, color=INK, markersize=6, clip_on=False)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
