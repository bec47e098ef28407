"""What the accuracy figures show is what their tables hold."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from survival.accuracy_figures import (
    plot_brier,
    plot_dynamic_auc,
    plot_survival_calibration,
    plot_survival_decision_curve,
)
from survival.brier import brier_score
from survival.decision_curve import survival_decision_curve
from survival.dynamic_auc import dynamic_auc
from survival.survival_calibration import survival_calibration

AT = np.array([6.0, 12, 24, 100])


@pytest.fixture(scope="module")
def patients() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    index = rng.normal(size=150)
    time, left = rng.exponential(30 * np.exp(-index)), rng.uniform(10, 60, 150)
    return index, np.minimum(time, left), (time <= left) * 1.0


@pytest.fixture
def ax():
    return Figure().subplots()


def line(ax, label: str) -> np.ndarray:
    return next(drawn for drawn in ax.lines if drawn.get_label() == label).get_xydata()


def test_auc_is_drawn_where_it_is_estimable(patients, ax) -> None:
    auc = dynamic_auc(*patients, AT)
    assert plot_dynamic_auc(auc, "months", ax) is ax
    drawn = line(ax, "AUC")
    assert drawn[:, 0].tolist() == [6, 12, 24]
    np.testing.assert_allclose(drawn[:, 1], auc.table["auc"][:3])
    assert f"mean {auc.integrated:.2f}" in ax.texts[0].get_text()
    assert "validation cohort" in ax.texts[0].get_text()


def test_brier_is_drawn_with_its_null_model(patients, ax) -> None:
    index, time, event = patients
    predicted = np.exp(-np.outer(np.exp(index), AT) / 30)
    brier = brier_score(predicted, time, event, AT, np.random.default_rng(0), 20)
    plot_brier(brier, "months", ax)
    np.testing.assert_allclose(line(ax, "Score")[:, 1], brier.table["brier"][:3])
    np.testing.assert_allclose(line(ax, "Kaplan-Meier")[:, 1], brier.table["null"][:3])
    assert f"IPA {brier.integrated.loc['ipa', 'value']:.2f}" in ax.texts[0].get_text()


def test_calibration_shows_curve_groups_and_measures(patients, ax) -> None:
    index, time, event = patients
    risk = 1 - np.exp(-np.exp(index) * 24 / 30)
    found = survival_calibration(risk, time, event, 24, np.random.default_rng(0), samples=20)
    plot_survival_calibration(found, "months", ax)
    np.testing.assert_allclose(line(ax, "Curve")[:, 1], found.curve["observed"])
    groups = next(drawn for drawn in ax.lines if drawn.get_marker() == "s").get_ydata()
    np.testing.assert_allclose(groups, found.groups["observed"])
    assert "slope" in ax.texts[0].get_text()
    assert ax.get_xlabel() == "Predicted risk by 24 months"


def test_calibration_without_a_curve_still_shows_groups(ax) -> None:
    time = np.linspace(1, 4, 40)
    rng = np.random.default_rng(0)
    found = survival_calibration(rng.uniform(size=40), time, np.ones(40), 3.95, rng)
    plot_survival_calibration(found, "years", ax)
    assert ax.texts[0].get_text() == ""
    assert len(next(drawn for drawn in ax.lines if drawn.get_marker() == "s").get_xydata()) == 5


def test_decision_curve_names_models_and_stops_where_nobody_is_flagged(patients, ax) -> None:
    index, time, event = patients
    risk = np.clip(1 - np.exp(-np.exp(index) * 24 / 30), 0, 0.7)
    curve = survival_decision_curve(
        {"score $x$": risk}, time, event, 24, np.random.default_rng(0), samples=20
    )
    plot_survival_decision_curve(curve, "months", ax)
    drawn = line(ax, "score $x$")
    assert drawn[:, 0].max() == pytest.approx(0.7, abs=0.011)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["score $x$", "Treat all", "Treat none"]
