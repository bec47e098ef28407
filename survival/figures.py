"""Kaplan-Meier and forest plots: they draw the tables of an analysis and compute nothing.

Functions take axes and return them; figures are made without pyplot, so nothing global is left.
"""

import textwrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from survival.analysis import SurvivalResults
from survival.cutpoint import HIGH, LOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's blue and vermilion: told apart with every common colour blindness and in grey.
_COLOURS = {LOW: "#0072B2", HIGH: "#D55E00"}
_INK, _PALE = "#222222", "#8a8a8a"
# Names come from the study's tables: a "$" in one is a character, not mathematics.
_TITLE: dict[str, Any] = {"fontsize": 11, "fontweight": "bold", "parse_math": False}
_TITLE_WIDTH, _HEADER_WIDTH = 56, 90
_WIDEST_RATIO = 32.0
# Where the columns of the forest plot start, in widths of its axes.
_COLUMNS = (-0.75, 1.04, 1.3, 1.8)


def kaplan_meier_figure(results: SurvivalResults, endpoint: str, stratum: str) -> "Figure":
    """Curves over their table of numbers at risk, for one endpoint in one stratum."""
    from matplotlib.figure import Figure

    tables = (results.kaplan_meier, results.numbers_at_risk, results.logrank)
    curves, at_risk, test = (
        table[(table["endpoint"] == endpoint) & (table["stratum"] == stratum)] for table in tables
    )
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    ax, risk_ax = figure.subplots(2, 1, sharex=True, height_ratios=[5.2, 1])
    plot_kaplan_meier(curves, at_risk, test.iloc[0], ax, risk_ax)
    ax.set_title(textwrap.fill(stratum, _TITLE_WIDTH), loc="left", **_TITLE)
    return figure


def plot_kaplan_meier(
    curves: pd.DataFrame, at_risk: pd.DataFrame, test: "pd.Series", ax: "Axes", risk_ax: "Axes"
) -> "Axes":
    """Draw the curves of the low and the high score group, and who is at risk below them.

    Parameters
    ----------
    curves, at_risk
        Rows of `SurvivalResults.kaplan_meier` and `.numbers_at_risk` of one endpoint and stratum.
    test
        The row of `SurvivalResults.logrank` that belongs to them.
    ax, risk_ax
        Axes of the curves and, below them with a shared x axis, of the numbers at risk.
    """
    for group in _groups(curves):
        _draw_curve(curves[curves["group"] == group], _COLOURS[group], _label(group), ax)
    ticks = at_risk["time"].unique()
    end = max(curves["time"].max(), ticks[-1])
    ax.set(xlim=(-0.04 * end, 1.04 * end), ylim=(0, 1.03), xticks=ticks)
    ax.set_ylabel(_sentence(f"{curves['endpoint'].iloc[0]} probability"), parse_math=False)
    legend = ax.legend(
        loc="best", title=_p_text(test), frameon=True, framealpha=0.85, edgecolor="none", fontsize=9
    )
    legend.get_title().set(fontsize=9, color=_INK)
    legend.set_alignment("left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelbottom=True)
    ax.set_xlabel(f"Time ({curves['unit'].iloc[0]})")
    _draw_numbers(at_risk, risk_ax)
    return ax


def _draw_curve(curve: pd.DataFrame, colour: str, label: str, ax: "Axes") -> None:
    time = curve["time"]
    # Where the curve reaches 0 there are no limits; the band before it is drawn up to that time.
    low, high = curve["ci_low"].ffill(), curve["ci_high"].ffill()
    ax.fill_between(time, low, high, step="post", color=colour, alpha=0.14, linewidth=0)
    ax.step(time, curve["survival"], where="post", color=colour, linewidth=1.8, label=label)
    censored = curve[curve["n_censored"] > 0]
    ax.plot(censored["time"], censored["survival"], "|", color=colour, markersize=7)


def _draw_numbers(at_risk: pd.DataFrame, ax: "Axes") -> None:
    groups = _groups(at_risk)
    for row, group in enumerate(groups):
        counts = at_risk[at_risk["group"] == group]
        for time, count in zip(counts["time"], counts["n_risk"], strict=True):
            ax.text(time, row, f"{count}", ha="center", va="center", fontsize=9, color=_INK)
    ax.set(ylim=(len(groups) - 0.5, -0.5), yticks=range(len(groups)))
    ax.set_yticklabels([_label(group) for group in groups], fontsize=9)
    for label, group in zip(ax.get_yticklabels(), groups, strict=True):
        label.set_color(_COLOURS[group])
    ax.set_title("Number at risk", loc="left", fontsize=9)
    ax.tick_params(length=0, labelbottom=False)
    ax.spines[:].set_visible(False)


def hazard_ratio_figure(results: SurvivalResults, endpoint: str) -> "Figure":
    """Forest plot of every hazard ratio of one endpoint."""
    from matplotlib.figure import Figure

    cox = results.cox[results.cox["endpoint"] == endpoint]
    rows = len(cox) + cox["stratum"].nunique()
    height = 1.6 + 0.26 * rows
    figure = Figure(figsize=(9, height))
    # Room for the columns of text that `plot_hazard_ratios` prints on both sides of its axes.
    ax = figure.add_axes((0.28, 0.75 / height, 0.36, 1 - 1.15 / height))
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
    ax.axvline(1, color=_PALE, linewidth=0.8, zorder=0)
    _print_row(ax, 0, ("", "Events / n", "HR (95 % CI)", "p"), "bold")
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
            color=_INK,
            fontweight=weight,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            parse_math=False,
        )


def _ratio_texts(line: "pd.Series") -> tuple[str, ...]:
    label = f"   {line['term']}{', adjusted' if line['adjusted_for'] else ''}"
    counts = f"{line['events']} / {line['n']}"
    if pd.isna(line["hr"]):
        return label, counts, "not estimable"
    ratio = f"{line['hr']:.2f} ({line['ci_low']:.2f} to {line['ci_high']:.2f})"
    return label, counts, ratio, _p_value(line["p"]).removeprefix("= ")


def _draw_ratio(ax: "Axes", y: int, line: "pd.Series") -> None:
    if pd.isna(line["hr"]):
        return
    low, high = ax.get_xlim()
    filled = "white" if line["adjusted_for"] else _INK
    ax.plot([line["ci_low"], line["ci_high"]], [y, y], color=_INK, linewidth=1.3)
    ax.plot(line["hr"], y, "s", color=_INK, markerfacecolor=filled, markersize=6)
    for end, marker, beyond in (
        (low, "<", line["ci_low"] < low),
        (high, ">", line["ci_high"] > high),
    ):
        if beyond:
            ax.plot(end, y, marker, color=_INK, markersize=6, clip_on=False)


def _groups(table: pd.DataFrame) -> list[str]:
    return [group for group in (LOW, HIGH) if (table["group"] == group).any()]


def _label(group: str) -> str:
    return f"{group.capitalize()} score"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _p_text(test: "pd.Series") -> str:
    name = "Log-rank, stratified by centre" if test["stratified_by"] else "Log-rank"
    if test["note"]:
        return f"{name}: not estimable"
    return f"{name} p {_p_value(test['p'])}"


def _p_value(p: float) -> str:
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
