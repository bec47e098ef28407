"""Figures say what their tables say, as text in the file."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from cmil.validation import Questions, ValidationTables, validate_scores
from cmil.validation.figures import (
    calibration_figure,
    decision_figure,
    roc_figure,
    with_interval,
)
from cmil.validation.forest_figures import centre_forest_figure, subgroup_forest_figure
from cohorts.strata import POOLED
from survival.figure_style import STYLE
from survival.print_numbers import p_value


@pytest.fixture(scope="module")
def tables(study: pd.DataFrame) -> ValidationTables:
    named = study.assign(centre=study["centre"].replace("Bern", "B$ern$"))
    asked = Questions(comparator="clinical", subgroups=("sex",), samples=50)
    return validate_scores(named, {"youden": 0.5}, np.random.SeedSequence(0), asked)


def svg(figure: Figure) -> str:
    drawn = io.BytesIO()
    with rc_context(dict(STYLE)):
        figure.savefig(drawn, format="svg")
    return drawn.getvalue().decode()


def test_roc_has_a_panel_a_cohort(tables: ValidationTables) -> None:
    text = svg(roc_figure(tables.roc, tables.discrimination, tables.decisions))
    auc = tables.discrimination.query("measure == 'auc'").set_index("cohort")
    for cohort in tables.roc["cohort"].unique():
        assert f">{cohort}<" in text
    assert f"AUC {auc.loc['Graz', 'value']:.2f} (" in text
    assert "AUC not estimable" in text  # Ulm, of three positive patients
    assert "locked thresholds" in text


def test_calibration_says_slope_and_level(tables: ValidationTables) -> None:
    text = svg(
        calibration_figure(tables.calibration_curve, tables.score_histogram, tables.calibration)
    )
    slope = tables.calibration.query("measure == 'slope' and cohort == 'Graz'").iloc[0]
    assert f"slope {with_interval(slope)}" in text
    assert "slope not estimable" in text


def test_decision_curve_names_its_strategies(tables: ValidationTables) -> None:
    text = svg(decision_figure(tables.decision_curve))
    for strategy in ("model", "treat all", "treat none", "clinical"):
        assert f">{strategy}<" in text


def test_forest_of_centres_has_pooled_and_prediction(tables: ValidationTables) -> None:
    text = svg(centre_forest_figure(tables.centres, tables.heterogeneity, "auc"))
    pooled = tables.heterogeneity.query("measure == 'auc'").iloc[0]
    assert with_interval(pooled) in text
    assert f"({pooled['prediction_low']:.2f} to {pooled['prediction_high']:.2f})" in text
    assert "not estimable" in text
    assert ">B$ern$<" in text
    of_threshold = svg(
        centre_forest_figure(tables.centres, tables.heterogeneity, "sensitivity", "youden")
    )
    assert "Sensitivity" in of_threshold


def test_forest_of_one_centre_is_not_called_pooled(study: pd.DataFrame) -> None:
    graz = study[study["centre"] == "Graz"]
    found = validate_scores(graz, {"youden": 0.5}, np.random.SeedSequence(0), Questions(samples=20))
    text = svg(centre_forest_figure(found.centres, found.heterogeneity, "auc"))
    assert "Not pooled" in text
    assert "Hartung" not in text


def test_forest_of_subgroups_has_the_interaction(tables: ValidationTables) -> None:
    of_auc = tables.discrimination.query("measure == 'auc'").set_index("cohort")
    overall = of_auc.loc[POOLED]
    text = svg(subgroup_forest_figure(tables.subgroups, overall))
    p = tables.subgroups.query("measure == 'auc'")["p_interaction"].iloc[0]
    assert f">{p_value(p)}<" in text
    assert with_interval(overall) in text


def test_intervals_have_no_negative_zero() -> None:
    row = pd.Series({"value": -0.001, "ci_low": -0.2, "ci_high": -0.004})
    assert with_interval(row) == "0.00 (-0.20 to 0.00)"


def test_decision_curve_where_nobody_has_the_outcome_has_a_height(study: pd.DataFrame) -> None:
    negative = study[study["label"] == 0]
    found = validate_scores(
        negative, {"youden": 0.5}, np.random.SeedSequence(0), Questions(samples=20)
    )
    figure = decision_figure(found.decision_curve)
    assert all(low < high for low, high in (ax.get_ylim() for ax in figure.axes))
