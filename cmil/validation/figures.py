"""ROC, calibration and decision curves: they draw the tables of a validation, computing nothing.

Text stays text and lines stay lines in SVG and PDF: save within `rc_context(STYLE)`. Plot
functions take axes and return them; figures are made without pyplot, so nothing global is left.
"""

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmil.validation.decision_curve import ALL, MODEL, NONE
from cohorts.strata import DEVELOPMENT
from survival.figure_style import BLUE, DASHED, INK, PALE, PLAIN, SKY, STYLE, VERMILION
from survival.print_numbers import interval_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_INCHES, PAGE_INCHES = 3.5, 7.2
_ACROSS = 3
_TITLE_WIDTH = 28


def roc_figure(
    roc: pd.DataFrame, discrimination: pd.DataFrame, decisions: pd.DataFrame
) -> "Figure":
    """Draw a panel for each cohort; see `plot_roc`.

    Parameters
    ----------
    roc, discrimination, decisions
        Of `ValidationTables`.
    """
    from matplotlib import rc_context

    development = roc[roc["cohort"] == DEVELOPMENT]
    with rc_context(dict(STYLE)):
        figure, panels = _panels(list(roc["cohort"].unique()), 2.35)
        for cohort, ax in panels.items():
            of_cohort = discrimination[discrimination["cohort"] == cohort]
            auc = of_cohort[of_cohort["measure"] == "auc"].iloc[0]
            own = decisions[decisions["cohort"] == cohort]
            plot_roc(roc[roc["cohort"] == cohort], own, auc, ax)
            if cohort != DEVELOPMENT and len(development):
                x, y = 1 - development["specificity"], development["sensitivity"]
                ax.plot(x, y, color=PALE, linewidth=0.8, zorder=1, label=DEVELOPMENT)
        _explain(figure, panels)
    return figure


def plot_roc(curve: pd.DataFrame, decisions: pd.DataFrame, auc: "pd.Series", ax: "Axes") -> "Axes":
    """Draw one cohort's ROC curve, its locked thresholds on it, and its AUC as text.

    Parameters
    ----------
    curve
        `sensitivity, specificity` of every point.
    decisions
        Rows of the cohort in `ValidationTables.decisions`.
    auc
        The cohort's row of `ValidationTables.discrimination`.
    ax
        Axes to draw on.
    """
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=0.6, linestyle=DASHED)
    x, y = 1 - curve["specificity"], curve["sensitivity"]
    ax.plot(x, y, color=BLUE, linewidth=1.4, clip_on=False, zorder=3, label="this cohort")
    own = decisions[decisions["prevalence"].isna()]
    at = own.pivot(index="threshold_name", columns="measure", values="value")
    ax.plot(
        1 - at["specificity"],
        at["sensitivity"],
        "o",
        color=VERMILION,
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.5,
        clip_on=False,
        zorder=4,
        label="locked thresholds",
    )
    said = f"AUC {with_interval(auc)}\n{auc['positives']} of {auc['patients']} positive"
    ax.text(0.98, 0.04, said, ha="right", va="bottom", fontsize=7, color=INK)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set(xlabel="1 - specificity", ylabel="Sensitivity", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    return ax


def calibration_figure(
    curves: pd.DataFrame, histogram: pd.DataFrame, calibration: pd.DataFrame
) -> "Figure":
    """Draw a panel for each cohort; see `plot_calibration`.

    Parameters
    ----------
    curves, histogram, calibration
        `calibration_curve`, `score_histogram` and `calibration` of `ValidationTables`.
    """
    from matplotlib import rc_context

    with rc_context(dict(STYLE)):
        figure, panels = _panels(list(histogram["cohort"].unique()), 2.9)
        for cohort, ax in panels.items():
            curve, bars, measures = (
                table[table["cohort"] == cohort] for table in (curves, histogram, calibration)
            )
            plot_calibration(curve, bars, measures, ax)
        _explain(figure, panels)
    return figure


def plot_calibration(
    curve: pd.DataFrame, histogram: pd.DataFrame, measures: pd.DataFrame, ax: "Axes"
) -> "Axes":
    """Draw observed frequency over score with its band, and below it how scores are distributed.

    Bars stand up for patients with the outcome and hang down for those without.

    Parameters
    ----------
    curve
        `score, observed, ci_low, ci_high`; without rows no curve is drawn.
    histogram
        `low, high, positives, negatives`.
    measures
        The cohort's rows of `ValidationTables.calibration`.
    ax
        Axes to draw on.
    """
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=0.6, linestyle=DASHED)
    band = (curve["ci_low"], curve["ci_high"])
    ax.fill_between(curve["score"], *band, color=BLUE, alpha=0.18, linewidth=0, label="95% band")
    ax.plot(curve["score"], curve["observed"], color=BLUE, linewidth=1.4, label="observed")
    tallest = max(histogram["positives"].max(), histogram["negatives"].max())
    width = histogram["high"] - histogram["low"]
    for column, colour, sign, label in (
        ("positives", VERMILION, 1, "patients with the outcome"),
        ("negatives", SKY, -1, "without"),
    ):
        height = sign * 0.1 * histogram[column] / tallest
        look: dict[str, Any] = {"color": colour, "linewidth": 0, "label": label}
        ax.bar(histogram["low"], height, width, -0.14, align="edge", **look)
    ax.axhline(-0.14, color=INK, linewidth=0.4)
    names = {"intercept_in_the_large": "intercept", "slope": "slope", "o_e": "O:E"}
    said = [
        f"{names[row['measure']]} {with_interval(row)}"
        for _, row in measures.iterrows()
        if row["measure"] in names
    ]
    ax.text(0.01, 1.45, "\n".join(said), va="top", fontsize=6.5, color=INK)
    ax.set(xlim=(0, 1), ylim=(-0.26, 1.45), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    ax.set(xlabel="Score", ylabel="Observed frequency")
    return ax


def decision_figure(curve: pd.DataFrame) -> "Figure":
    """Draw a panel for each cohort; see `plot_decision_curve`.

    Parameters
    ----------
    curve
        `ValidationTables.decision_curve`.
    """
    from matplotlib import rc_context

    with rc_context(dict(STYLE)):
        figure, panels = _panels(list(curve["cohort"].unique()), 2.35)
        for cohort, ax in panels.items():
            plot_decision_curve(curve[curve["cohort"] == cohort], ax)
        _explain(figure, panels)
    return figure


def plot_decision_curve(curve: pd.DataFrame, ax: "Axes") -> "Axes":
    """Draw net benefit over the threshold probability, with bands, for each strategy.

    Parameters
    ----------
    curve
        Rows of one cohort.
    ax
        Axes to draw on.
    """
    looks: dict[str, dict[str, Any]] = {
        MODEL: {"color": BLUE, "linewidth": 1.5, "zorder": 4},
        ALL: {"color": PALE, "linewidth": 1.0, "label": "treat all"},
        NONE: {"color": INK, "linewidth": 0.8, "label": "treat none"},
    }
    other = {"color": VERMILION, "linewidth": 1.2, "linestyle": (0, (5, 1.5)), "zorder": 3}
    for strategy, rows in curve.groupby("strategy", sort=False):
        look = looks.get(str(strategy), other)
        if strategy not in (ALL, NONE):
            band = (rows["ci_low"], rows["ci_high"])
            ax.fill_between(rows["threshold"], *band, color=look["color"], alpha=0.14, linewidth=0)
        label = str(strategy).replace("$", r"\$")
        ax.plot(rows["threshold"], rows["net_benefit"], **{"label": label, **look})
    # Where nobody has the outcome nothing is gained, and the axis still needs a height.
    highest = max(float(curve["ci_high"].max()), 0.0) or 0.1
    ax.set(xlim=(0, 1), ylim=(-0.2 * highest, 1.05 * highest))
    ax.set(xlabel="Threshold probability", ylabel="Net benefit")
    return ax


def with_interval(row: "pd.Series") -> str:
    """Give a value and its interval in two decimals, or "not estimable"."""
    return interval_text(row["value"], row["ci_low"], row["ci_high"])


def _explain(figure: "Figure", panels: "Mapping[str, Axes]") -> None:
    """Put one legend below all panels."""
    seen: dict[str, Any] = {}
    for ax in panels.values():
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    columns = len(seen)
    figure.legend(
        seen.values(), seen.keys(), loc="outside lower center", ncols=columns, frameon=False
    )


def _panels(cohorts: list[str], inches: float) -> "tuple[Figure, dict[str, Axes]]":
    """Lay out a titled panel for each cohort, three a row."""
    from matplotlib.figure import Figure

    across = min(_ACROSS, len(cohorts))
    down = math.ceil(len(cohorts) / _ACROSS)
    size = (PAGE_INCHES * max(across, 2) / _ACROSS, inches * down + 0.25)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax in axes[len(cohorts) :]:
        ax.set_axis_off()
    panels = dict(zip(cohorts, axes, strict=False))
    for cohort, ax in panels.items():
        ax.set_title(textwrap.fill(cohort, _TITLE_WIDTH), loc="left", **PLAIN)
    return figure, panels
