"""How the trainings went, epoch by epoch."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmil.training.fits import FitResult
from survival.figure_style import BLUE, DASHED, PALE, VERMILION

CURVES = "curves.csv"
_LEARNT, _WATCHED = BLUE, VERMILION


def curve_table(results: Sequence[FitResult]) -> pd.DataFrame:
    """Give one row an epoch of each model: `model` and the members of `fitting.Epoch`."""
    rows = [
        {"model": number, **asdict(epoch)}
        for number, result in enumerate(results)
        for epoch in result.epochs
    ]
    return pd.DataFrame(rows).rename(columns={"number": "epoch"})


def curve_figure(curves: pd.DataFrame) -> Figure:
    """Loss beside discrimination; see `plot_curves`."""
    figure = Figure(figsize=(7.0, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_curves(curves, "loss", left)
    plot_curves(curves, "discrimination", right)
    right.axhline(0.5, color=PALE, linewidth=0.8, linestyle=DASHED)
    return figure


def plot_curves(curves: pd.DataFrame, measure: str, ax: Axes) -> Axes:
    """Draw a line a model, and another of the patients who decided when to stop.

    Parameters
    ----------
    curves
        As `curve_table` gives it.
    measure
        "loss" or "discrimination".
    ax
        Axes to draw on.
    """
    for column, colour, name in (
        (measure, _LEARNT, "training"),
        (f"watched_{measure}", _WATCHED, "inner split"),
    ):
        known = curves.dropna(subset=[column])
        for number, (_, epochs) in enumerate(known.groupby("model")):
            ax.plot(
                epochs["epoch"] + 1,
                epochs[column],
                color=colour,
                linewidth=0.9,
                alpha=0.7,
                label=None if number else name,
            )
    ax.set(xlabel="Epoch", ylabel=measure.capitalize())
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    return ax
