"""Figures of Cox models: hazard ratios of many terms, the score's curve, effects over time.

They draw tables that other modules return and compute nothing; they take axes and return them.
"""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from survival.cox import CoxRegression
from survival.proportional_hazards import ProportionalHazards
from survival.spline import SplineEffect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's blue and vermilion: told apart with every common colour blindness and in grey.
_BLUE, _RED = "#0072B2", "#D55E00"
_INK, _PALE = "#222222", "#8a8a8a"
_WIDEST_RATIO = 64.0
_BAND = 8.0
_CAPTION_WIDTH = 130
# Where the columns of the forest plot start, in widths of its axes.
_COLUMNS = (-0.78, 1.04, 1.66)


def forest_figure(regression: CoxRegression) -> "Figure":
    """Forest plot of one multivariable model, with patients, events and the note below."""
    from matplotlib.figure import Figure

    height = 1.5 + 0.3 * len(regression.table)
    figure = Figure(figsize=(9, height))
    # Room for the text that `plot_forest` prints on both sides of its axes.
    ax = figure.add_axes((0.3, 0.95 / height, 0.37, 1 - 1.1 / height))
    plot_forest(regression.table, ax)
    counts = f"{regression.n} patients, {regression.events} events"
    note = f"; {regression.note}" if regression.note else ""
    caption = textwrap.fill(counts + note, _CAPTION_WIDTH)
    figure.text(0.01, 0.02, caption, fontsize=8, color=_PALE, parse_math=False)
    return figure


def plot_forest(table: pd.DataFrame, ax: "Axes") -> "Axes":
    """Draw the hazard ratios of one multivariable model, and print them beside.

    A limit beyond 1/64 or 64 ends in an arrow; a ratio that is not estimable says so.

    Parameters
    ----------
    table
        `CoxRegression.table`: `term, hr, ci_low, ci_high, p`.
    ax
        Axes to draw on, with room for text: as wide again on the left, as wide on the right.
    """
    low = max(min([0.5, *table["ci_low"].dropna()]) / 1.1, 1 / _WIDEST_RATIO)
    high = min(max([2.0, *table["ci_high"].dropna()]) * 1.1, _WIDEST_RATIO)
    ax.set_xscale("log", base=2)
    ax.set_xlim(low, high)
    ax.axvline(1, color=_PALE, linewidth=0.8, zorder=0)
    _print_row(ax, 0, ("", "HR (95 % CI)", "p"), "bold")
    for y, (_, line) in enumerate(table.iterrows(), start=1):
        _print_row(ax, y, _texts(line), "normal")
        if pd.isna(line["hr"]):
            continue
        ends = np.clip([line["ci_low"], line["ci_high"]], low, high)
        ax.plot(ends, [y, y], color=_INK, linewidth=1.3)
        if low < line["hr"] < high:
            ax.plot(line["hr"], y, "s", color=_INK, markersize=6)
        for end, marker, beyond in (
            (low, "<", line["ci_low"] < low),
            (high, ">", line["ci_high"] > high),
        ):
            if beyond:
                ax.plot(end, y, marker, color=_INK, markersize=6, clip_on=False)
    ax.set(ylim=(len(table) + 0.6, -0.6), yticks=[])
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:.2g}")
    ax.spines[["left", "top", "right"]].set_visible(False)
    ax.set_xlabel("Hazard ratio, adjusted for the other terms")
    return ax


def plot_spline(effect: SplineEffect, ax: "Axes", label: str = "Score") -> "Axes":
    """Draw the hazard ratio of the score as a curve with its 95 % band, knots marked.

    Parameters
    ----------
    effect
        Result of `survival.spline.spline_effect`.
    ax
        Axes to draw on.
    label
        Name of the score on its axis.
    """
    ax.set_xlabel(label, parse_math=False)
    ax.set_ylabel(f"Hazard ratio against {effect.reference:.3g}")
    ax.spines[["top", "right"]].set_visible(False)
    if effect.curve.empty:
        return _say(ax, effect.note)
    curve = effect.curve
    ax.set_yscale("log", base=2)
    ax.fill_between(
        curve["score"], curve["ci_low"], curve["ci_high"], color=_BLUE, alpha=0.15, linewidth=0
    )
    ax.plot(curve["score"], curve["hr"], color=_BLUE, linewidth=1.8)
    ax.axhline(1, color=_PALE, linewidth=0.8, zorder=0)
    ax.plot(effect.reference, 1, "o", color=_INK, markersize=5)
    # A wide band at the ends must not flatten the curve.
    ax.set_ylim(
        max(curve["ci_low"].min(), curve["hr"].min() / 8),
        min(curve["ci_high"].max(), curve["hr"].max() * 8),
    )
    inside = effect.knots[
        (effect.knots >= curve["score"].min()) & (effect.knots <= curve["score"].max())
    ]
    across = ax.get_xaxis_transform()
    ax.plot(inside, np.zeros(len(inside)), "|", color=_INK, markersize=10, transform=across)
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    ax.set_title(
        f"association p {_p_value(effect.association.p)}, "
        f"non-linearity p {_p_value(effect.non_linearity.p)}",
        fontsize=9,
        loc="left",
    )
    return ax


def plot_schoenfeld(hazards: ProportionalHazards, term: str, unit: str, ax: "Axes") -> "Axes":
    """Draw how a term's log hazard ratio goes with time: scaled Schoenfeld residuals, smoothed.

    Parameters
    ----------
    hazards
        Result of `survival.proportional_hazards.proportional_hazards_test`.
    term
        Term to draw.
    unit
        Unit of time.
    ax
        Axes to draw on.
    """
    points, smooth = hazards.residuals, hazards.smooth[hazards.smooth["term"] == term]
    tests = hazards.table.set_index("term")
    chi2, p = float(tests["chi2"][term]), float(tests["p"][term])
    constant = float(points[term].mean())
    ax.plot(points["time"], points[term], "o", color=_PALE, markersize=3.5, alpha=0.7)
    ax.axhline(constant, color=_RED, linewidth=1.2, linestyle="--", label="one hazard ratio")
    if not smooth.empty:
        ax.fill_between(
            smooth["time"],
            smooth["ci_low"],
            smooth["ci_high"],
            color=_BLUE,
            alpha=0.15,
            linewidth=0,
        )
        ax.plot(smooth["time"], smooth["log_hr"], color=_BLUE, linewidth=1.8, label="over time")
    # The few largest residuals would flatten the curve that the plot is for.
    low, high = np.quantile(points[term], [0.02, 0.98])
    margin = 0.1 * (high - low)
    ax.set_ylim(low - margin, high + margin)
    ax.set_xlabel(f"Time ({unit})")
    ax.set_ylabel(f"Log hazard ratio of {term}", parse_math=False)
    ax.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none", fontsize=8)
    ax.set_title(
        f"proportional hazards: chi-squared {chi2:.2f}, p {_p_value(p)}",
        fontsize=9,
        loc="left",
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _texts(line: "pd.Series") -> tuple[str, ...]:
    if pd.isna(line["hr"]):
        return str(line["term"]), "not estimable"
    ratio = f"{_number(line['hr'])} ({_number(line['ci_low'])} to {_number(line['ci_high'])})"
    return str(line["term"]), ratio, _p_value(line["p"]).removeprefix("= ")


def _number(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:.3g}"


def _print_row(ax: "Axes", y: int, texts: tuple[str, ...], weight: str) -> None:
    style: dict[str, Any] = {"va": "center", "fontsize": 9, "color": _INK, "parse_math": False}
    for x, text in zip(_COLUMNS, texts, strict=False):
        ax.text(x, y, text, transform=ax.get_yaxis_transform(), fontweight=weight, **style)


def _say(ax: "Axes", text: str) -> "Axes":
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", wrap=True)
    return ax


def _p_value(p: float) -> str:
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
