"""ROC curves and score distributions of the result page, and pictures that travel inside it.

Plot functions draw the tables they are given on the axes they are given. They print no text of
the study's: names of cohorts stand in the page, where every script and character is at home.
"""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from survival.figure_style import BLUE, DASHED, INK, PALE, VERMILION

_COLOURS = {0: BLUE, 1: VERMILION}
_NAMES = {0: "no metastasis", 1: "metastasis"}
_BIN = 0.02
_WIDEST_STACK = 0.38
_WIDEST_PX = 1400
_WEBP_QUALITY = 80
_GROUP_ID = re.compile(r'<g id="[^"]*"')


@dataclass(frozen=True)
class Picture:
    """An image inside a page."""

    uri: str
    width: int
    height: int


def roc_figure(curve: pd.DataFrame, operating: "pd.Series", auc: str) -> Figure:
    """Curve of one cohort; see `plot_roc`."""
    figure = Figure(figsize=(2.9, 3.0), layout="constrained")
    plot_roc(curve, operating, auc, figure.subplots())
    return figure


def plot_roc(curve: pd.DataFrame, operating: "pd.Series", auc: str, ax: Axes) -> Axes:
    """Draw a ROC curve and where the frozen threshold lies on it, with its Wilson intervals.

    Parameters
    ----------
    curve
        `sensitivity, specificity` of every point, as
        `cmil.validation.discrimination.roc_curve` gives them.
    operating
        The cohort's row of `cmil.validation.performance`.
    auc
        The area and its interval, as text for the legend.
    ax
        Axes to draw on.
    """
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=0.8, linestyle=DASHED)
    ax.plot(
        1 - curve["specificity"],
        curve["sensitivity"],
        color=_COLOURS[0],
        linewidth=1.8,
        label=f"AUC {auc}".replace(" (", "\n("),
        clip_on=False,
        zorder=3,
    )
    x, y = 1 - operating["specificity"], operating["sensitivity"]
    across = (1 - operating["specificity_ci_high"], 1 - operating["specificity_ci_low"])
    upright = (operating["sensitivity_ci_low"], operating["sensitivity_ci_high"])
    ax.plot(across, (y, y), color=_COLOURS[1], linewidth=1)
    ax.plot((x, x), upright, color=_COLOURS[1], linewidth=1)
    ax.plot(
        x,
        y,
        "o",
        color=_COLOURS[1],
        markersize=7,
        markeredgecolor="white",
        label="frozen threshold",
        clip_on=False,
        zorder=4,
    )
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set(xlabel="1 - specificity", ylabel="Sensitivity")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=8.5)
    return ax


def score_points(scores: ArrayLike, labels: ArrayLike) -> pd.DataFrame:
    """Place one point a patient, points of like score stacked so that none hides another.

    Parameters
    ----------
    scores, labels
        (n,) probabilities, and 0 or 1.

    Returns
    -------
    DataFrame
        `score, label` and `offset` from the middle of the label's row: points of one label within
        0.02 of score lie symmetrically about it, closer together where they are many.
    """
    points = pd.DataFrame({"score": np.asarray(scores), "label": np.asarray(labels)})
    stack = [points["label"], (points["score"] / _BIN).round()]
    grouped = points.sort_values("score").groupby(stack)["score"]
    place = grouped.cumcount() - (grouped.transform("size") - 1) / 2
    step = min(0.14, _WIDEST_STACK / max(place.max(), 1))
    return points.assign(offset=place * step)


def score_figure(points: pd.DataFrame, threshold: float) -> Figure:
    """Scores of one cohort; see `plot_scores`."""
    figure = Figure(figsize=(8.4, 2.1))
    # Fixed margins: the axes of several cohorts stand below each other.
    plot_scores(points, threshold, figure.add_axes((0.13, 0.25, 0.85, 0.62)))
    return figure


def plot_scores(points: pd.DataFrame, threshold: float, ax: Axes) -> Axes:
    """Draw every patient's score in the row of its label, and the frozen threshold.

    Parameters
    ----------
    points
        As `score_points` gives them.
    threshold
        A score of at least this is a decision for metastasis.
    ax
        Axes to draw on.
    """
    ax.axvline(threshold, color=INK, linewidth=1, linestyle=DASHED)
    ax.text(
        threshold,
        1.02,
        f"threshold {threshold:.3f}",
        transform=ax.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=9,
        color=INK,
    )
    for label, colour in _COLOURS.items():
        row = points[points["label"] == label]
        ax.plot(
            row["score"],
            label + row["offset"],
            "os"[label],
            color=colour,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            clip_on=False,
        )
    ax.set(xlim=(0, 1), ylim=(-0.5, 1.5), xlabel="Score (calibrated probability of metastasis)")
    ax.set_yticks(list(_NAMES), labels=list(_NAMES.values()))
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "top", "right"]].set_visible(False)
    return ax


def inline_svg(figure: Figure, description: str) -> Markup:
    """Give a figure as an `<svg>` element for a page, its text as text.

    Identifiers of its own are derived from the description; so figures with different
    descriptions can stand in one page, and the same figure gives the same bytes.

    Parameters
    ----------
    figure
        Figure to draw.
    description
        What is to be seen, for readers who do not see it.
    """
    drawn = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        figure.savefig(drawn, format="svg", metadata=nothing)
    text = drawn.getvalue()
    element = _GROUP_ID.sub("<g", text[text.index("<svg") :])
    opening = Markup('<svg role="img" aria-label="{}"').format(description)
    return opening + Markup(element.removeprefix("<svg"))  # noqa: S704  (matplotlib escaped it)


def inline_picture(path: Path) -> Picture:
    """Give an image file as a `data:` address, as WebP and at most 1400 px wide."""
    with Image.open(path) as stored:
        image = stored.convert("RGB")
    image.thumbnail((_WIDEST_PX, image.height))
    encoded = io.BytesIO()
    image.save(encoded, "WEBP", quality=_WEBP_QUALITY, method=2)
    uri = f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
    return Picture(uri, *image.size)
