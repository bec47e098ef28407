"""Tests of proportional hazards against R's cox.zph."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung, load_rossi
from lifelines.utils import to_episodic_format

from survival.cox_model import fit_cox
from survival.proportional_hazards import proportional_hazards_test


@pytest.fixture(scope="module")
def rossi_model():
    rossi = load_rossi()
    return fit_cox(rossi["week"], rossi["arrest"], rossi[["fin", "age", "prio"]])


@pytest.mark.shared
def test_ovarian_equals_r(reference) -> None:
    """reference_values.json, zph_ovarian; lifelines has 0.849 and 2.555."""
    ovarian = reference("Rsurvival_ovarian.csv")
    model = fit_cox(ovarian["futime"], ovarian["fustat"], ovarian[["age", "ecog.ps"]])
    table = proportional_hazards_test(model).table
    assert table["term"].tolist() == ["age", "ecog.ps", "GLOBAL"]
    assert table["chi2"].tolist() == pytest.approx([0.698, 2.371, 3.633], abs=5e-4)
    assert table["p"].tolist() == pytest.approx([0.40, 0.12, 0.16], abs=5e-3)


def test_tied_lung_equals_r() -> None:
    """R survival 3: cox.zph(coxph(Surv(time, status) ~ age + sex + wt.loss, lung)), many ties."""
    lung = load_lung().dropna(subset=["age", "sex", "wt.loss"])
    model = fit_cox(lung["time"], lung["status"], lung[["age", "sex", "wt.loss"]])
    table = proportional_hazards_test(model).table
    expected = [0.5077, 2.5489, 0.0144, 3.0051]
    assert table["chi2"].tolist() == pytest.approx(expected, abs=6e-5)
    assert table["p"].tolist() == pytest.approx([0.48, 0.11, 0.90, 0.39], abs=5e-3)


@pytest.mark.parametrize("transform", ["identity", "log"])
def test_is_the_score_test_of_adding_the_product_with_time(rossi_model, transform: str) -> None:
    """As therneau/survival tests/cancer.R checks cox.zph: a step of Newton from the old model."""
    rossi = load_rossi()[["week", "arrest", "fin", "age", "prio"]]
    rows = to_episodic_format(rossi, "week", "arrest")
    time = rows["stop"] if transform == "identity" else np.log(rows["stop"])
    terms = rows[["fin", "age", "prio"]].assign(trend=rows["age"] * time)
    from survival.partial_likelihood import partial_likelihood, risk_sets

    sets = risk_sets(rows["stop"], rows["arrest"], rows["start"])
    x = (terms - terms.mean()).to_numpy()[sets.order]
    at = partial_likelihood(sets, x, np.append(rossi_model.coefficients, 0.0))
    statistic = at.score @ np.linalg.solve(at.information, at.score)
    table = proportional_hazards_test(rossi_model, transform).table.set_index("term")
    assert table.loc["age", "chi2"] == pytest.approx(statistic, rel=1e-6)


def test_transforms_depend_on_the_order_of_times_as_they_should(rossi_model) -> None:
    rossi = load_rossi()
    later = fit_cox(rossi["week"] ** 2, rossi["arrest"], rossi[["fin", "age", "prio"]])
    for transform, same in (("km", True), ("rank", True), ("identity", False)):
        one, other = (
            proportional_hazards_test(model, transform).table["chi2"]
            for model in (rossi_model, later)
        )
        assert np.allclose(one, other, rtol=1e-6) is same


def test_residuals_average_to_the_coefficient(rossi_model) -> None:
    found = proportional_hazards_test(rossi_model)
    columns = list(rossi_model.terms)
    assert len(found.residuals) == 114
    assert found.residuals[columns].mean().to_numpy() == pytest.approx(
        rossi_model.coefficients, abs=1e-9
    )
    assert found.residuals["time"].is_monotonic_increasing
    age = found.smooth[found.smooth["term"] == "age"]
    assert age["log_hr"].iloc[0] > age["log_hr"].iloc[-1]
    assert (age["ci_low"] < age["log_hr"]).all()


def test_delayed_entry_counts_in_the_kaplan_meier_transform() -> None:
    rossi = load_rossi()
    plain = fit_cox(rossi["week"], rossi["arrest"], rossi[["age"]])
    cut = rossi.loc[rossi.index.repeat(2)].reset_index(drop=True)
    first = cut.index % 2 == 0
    middle = cut["week"] / 2
    split = fit_cox(
        np.where(first, middle, cut["week"]),
        np.where(first, 0, cut["arrest"]),
        cut[["age"]],
        entry=np.where(first, 0, middle),
    )
    pd.testing.assert_frame_equal(
        proportional_hazards_test(plain).table, proportional_hazards_test(split).table
    )
