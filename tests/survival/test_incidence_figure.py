"""Cumulative incidence figures draw what the tables hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cohorts.errors import SettingsError
from survival.competing_analysis import CompetingRisks, competing_risks
from survival.figure_style import COLOURS
from survival.incidence_figure import incidence_figure, plot_incidence

EVENTS = ("metastasis", "death $first$")
LABELS = {"a": "Low score", "b": "Middle score", "c": "High score"}


@pytest.fixture(scope="module")
def results() -> CompetingRisks:
    example = pd.read_csv(Path(__file__).parent / "data" / "cmprsk_example.csv")
    outcome = example.rename(columns={"event": "code"}).assign(centre="Bern")
    return competing_risks(outcome, EVENTS, example[["x2"]], example[[]], [0, 1, 2, 3])


def test_curves_and_numbers_are_those_of_the_tables(results: CompetingRisks) -> None:
    ax, risk_ax = Figure().subplots(2, 1, sharex=True)
    assert plot_incidence(results, LABELS, ax, risk_ax) is ax
    curves = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    assert len(curves) == 6
    for i, (group, event) in enumerate((g, e) for g in LABELS for e in EVENTS):
        every = results.incidence
        table = every[(every["group"] == group) & (every["event"] == event)]
        np.testing.assert_array_equal(curves[i].get_xydata(), table[["time", "incidence"]])
        assert curves[i].get_color() == COLOURS["abc".index(group)]
    printed = [text.get_text() for text in risk_ax.texts]
    assert printed == results.numbers_at_risk["n_risk"].astype(str).tolist()
    assert ax.get_ylabel() == "Cumulative incidence"
    assert len(ax.collections) == len(LABELS)


def test_tests_and_names_are_written(results: CompetingRisks) -> None:
    figure = incidence_figure(results, LABELS, "months", "External, pooled")
    figure.canvas.draw()
    ax = figure.axes[0]
    (statement,) = [text.get_text() for text in ax.texts]
    p = results.gray["p"].tolist()
    assert statement.splitlines() == [
        "Gray's test",
        f"metastasis: p = {p[0]:.2f}",
        f"death $first$: p = {p[1]:.2f}",
    ]
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [name for name in named if name] == [
        "Low score",
        "metastasis",
        "Middle score",
        "death $first$",
        "High score",
    ]
    assert ax.get_xlabel() == "Time (months)"
    # No curve or band reaches the lines of the tests.
    highest = np.nanmax(results.incidence[["incidence", "ci_high"]].to_numpy())
    box = ax.texts[0].get_window_extent().transformed(ax.transData.inverted())
    assert highest <= box.y0


def test_a_group_without_label_is_refused(results: CompetingRisks) -> None:
    axes = Figure().subplots(2, 1)
    with pytest.raises(SettingsError, match="without: c"):
        plot_incidence(results, {"a": "Low", "b": "High"}, *axes)


def test_event_without_test_says_so(results: CompetingRisks) -> None:
    nobody = CompetingRisks(
        results.incidence,
        results.numbers_at_risk,
        results.gray.assign(p=np.nan, stratified_by="centre"),
        results.hazards,
        results.overestimates,
    )
    ax = incidence_figure(nobody, LABELS, "days").axes[0]
    assert max(ax.get_yticks()) <= 1
    assert ax.texts[0].get_text().splitlines()[:2] == [
        "Gray's test, stratified by centre",
        "metastasis: not estimable",
    ]
