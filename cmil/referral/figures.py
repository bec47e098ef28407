"""Risk over coverage, stability over patches, detection over tumour fraction.

Plot functions draw the tables they are given on the axes they are given.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from cmil.referral.detection_limit import DetectionCurve
from survival.figure_style import BLUE, DASHED, INK, PALE, VERMILION


def risk_coverage_figure(curve: pd.DataFrame, operating: "pd.Series") -> Figure:
    """Curve of one cohort; see `plot_risk_coverage`."""
    figure = Figure(figsize=(3.6, 3.0), layout="constrained")
    plot_risk_coverage(curve, operating, figure.subplots())
    return figure


def plot_risk_coverage(curve: pd.DataFrame, operating: "pd.Series", ax: Axes) -> Axes:
    """Draw the error of those answered over the coverage, and where the frozen rule lies.

    Parameters
    ----------
    curve
        As `cmil.referral.risk_coverage.risk_coverage` gives it.
    operating
        The cohort's row of `cmil.referral.performance.referral_performance`.
    ax
        Axes to draw on.
    """
    ax.step(curve["coverage"], curve["risk"], where="post", color=BLUE, linewidth=1.8)
    everyone = curve["risk"].iloc[-1]
    ax.axhline(everyone, color=PALE, linewidth=0.8, linestyle=DASHED)
    ax.annotate(
        "nobody referred", (0, everyone), (2, 3), textcoords="offset points", color=INK, fontsize=8
    )
    highest = max(curve["risk"].max(), everyone)
    if np.isfinite(operating["error"]):
        x, y = operating["coverage"], operating["error"]
        upright = (operating["error_ci_low"], operating["error_ci_high"])
        across = (operating["coverage_ci_low"], operating["coverage_ci_high"])
        ax.plot(across, (y, y), color=VERMILION, linewidth=1)
        ax.plot((x, x), upright, color=VERMILION, linewidth=1)
        ax.plot(
            x,
            y,
            "o",
            color=VERMILION,
            markersize=7,
            markeredgecolor="white",
            label="frozen rule, 95% CI",
            clip_on=False,
            zorder=4,
        )
        highest = max(highest, upright[1])
        ax.legend(loc="upper left", frameon=False, fontsize=8.5, bbox_to_anchor=(0, 1.14))
    ax.set(xlim=(0, 1), ylim=(0, 1.1 * highest if highest > 0 else 0.1))
    ax.set(xlabel="Coverage (share answered)", ylabel="Error of those answered")
    _percent(ax.xaxis)
    _percent(ax.yaxis)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def stability_figure(stable: pd.DataFrame, most_flips: float) -> Figure:
    """Two panels side by side; see `plot_stability`."""
    figure = Figure(figsize=(6.4, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_stability(stable, "sd", left)
    plot_stability(stable, "flips", right)
    right.axhline(most_flips, color=INK, linewidth=1, linestyle=DASHED)
    right.annotate(
        f"{most_flips:.0%} allowed",
        (0, most_flips),
        (3, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        fontsize=8,
        color=INK,
    )
    right.set_ylim(0, 1.15 * max(right.get_ylim()[1], most_flips))
    return figure


def plot_stability(stable: pd.DataFrame, measure: str, ax: Axes) -> Axes:
    """Draw how one measure falls with the number of patches, with its interval as a band.

    Parameters
    ----------
    stable
        As `cmil.referral.patch_number.stability` gives it.
    measure
        "sd" or "flips".
    ax
        Axes to draw on.
    """
    x = stable["patches"]
    ax.fill_between(
        x, stable[f"{measure}_ci_low"], stable[f"{measure}_ci_high"], color=BLUE, alpha=0.18, lw=0
    )
    ax.plot(x, stable[measure], "o-", color=BLUE, markersize=5, markeredgecolor="white")
    ax.set_xscale("log")
    ax.set_xticks(list(x), labels=[f"{value:g}" for value in x])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=0)
    names = {"sd": "SD of a patient's score", "flips": "Decisions that flip"}
    ax.set(xlabel="Patches seen", ylabel=names[measure])
    if measure == "flips":
        _percent(ax.yaxis)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def detection_figure(points: pd.DataFrame, curve: DetectionCurve) -> Figure:
    """Give detection over the planted fraction; see `plot_detection`."""
    figure = Figure(figsize=(3.9, 3.0), layout="constrained")
    plot_detection(points, curve, figure.subplots())
    return figure


def plot_detection(points: pd.DataFrame, curve: DetectionCurve, ax: Axes) -> Axes:
    """Draw the share detected at each fraction, the fitted curve with band, and the limit.

    Parameters
    ----------
    points
        As `cmil.referral.detection_limit.detection_by_fraction` gives it; 0 is not drawn.
    curve
        As `cmil.referral.detection_limit.detection_curve` gives it; drawn if it was estimable.
    ax
        Axes to draw on.
    """
    planted = points[points["fraction"] > 0]
    share = planted["share"].to_numpy()
    bars = np.stack([share - planted["ci_low"], planted["ci_high"] - share]).clip(0)
    if np.isfinite(curve.slope):
        ends = float(planted["fraction"].min()), float(planted["fraction"].max())
        fitted = curve(np.geomspace(*ends, 200))
        ax.fill_between(
            fitted["fraction"], fitted["ci_low"], fitted["ci_high"], color=BLUE, alpha=0.18, lw=0
        )
        ax.plot(fitted["fraction"], fitted["probability"], color=BLUE, linewidth=1.8)
    ax.errorbar(
        planted["fraction"],
        share,
        yerr=bars,
        fmt="o",
        color=INK,
        ecolor=PALE,
        elinewidth=1,
        markersize=5,
        markeredgecolor="white",
        clip_on=False,
        zorder=3,
    )
    ax.axhline(curve.target, color=PALE, linewidth=0.8, linestyle=DASHED)
    if np.isfinite(curve.limit):
        ax.plot((curve.limit, curve.limit), (0, curve.target), color=VERMILION, linewidth=1.4)
        ax.annotate(
            f"limit {100 * curve.limit:.2g}%",
            (curve.limit, 0.04),
            (-3, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            fontsize=8.5,
            color=VERMILION,
        )
    ax.set_xscale("log")
    ax.set(ylim=(0, 1), xlabel="Tumour fraction planted", ylabel="Detected")
    ax.set_xticks(list(planted["fraction"]), labels=[f"{100 * f:g}%" for f in planted["fraction"]])
    ax.xaxis.set_minor_locator(NullLocator())
    _percent(ax.yaxis)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _percent(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
