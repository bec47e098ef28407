"""Cox models against R's coxph: weights, delayed entry, strata, ties, robust errors, tests."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from lifelines.datasets import load_lung, load_rossi

from cohorts.errors import DataError
from survival.cox_design import NotEstimableError, SeparationError
from survival.cox_model import coefficient_table, fit_cox
from survival.partial_likelihood import score_residuals

ROSSI = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
# therneau/survival tests/doweight.Rout.save, data set testw1.
TESTW1 = pd.DataFrame(
    {
        "time": [1, 1, 2, 2, 2, 2, 3, 4, 5],
        "status": [1, 0, 1, 1, 1, 0, 0, 1, 0],
        "x": [2, 0, 1, 1, 0, 1, 0, 1, 0],
        "wt": [1, 2, 3, 4, 3, 2, 1, 2, 1],
    }
)
# The same patients as intervals at risk: data set testw3.
TESTW3 = pd.DataFrame(
    {
        "id": [1, 1, 2, 3, 3, 3, 4, 5, 5, 6, 7, 8, 8, 9],
        "begin": [0, 5, 0, 0, 10, 15, 0, 0, 14, 0, 0, 0, 23, 0],
        "time": [5, 10, 10, 10, 15, 20, 20, 14, 20, 20, 30, 23, 40, 50],
        "status": [0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0],
        "x": [2, 2, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0],
        "wt": [1, 1, 2, 3, 3, 3, 4, 3, 3, 2, 1, 2, 2, 1],
    }
)
R_SCORE_RESIDUALS = {
    "efron": [
        0.88116056,
        0.02477248,
        0.06057806,
        0.06057806,
        -0.59724033,
        -0.16737066,
        0.38040295,
        -0.13750290,
        0.66631324,
    ],
    "breslow": [
        0.88681615,
        0.02497653,
        0.03608964,
        0.03608964,
        -0.54297652,
        -0.12528780,
        0.29564605,
        -0.09476911,
        0.58400064,
    ],
}
R_WEIGHTED = {"efron": (0.8726, 0.7126, 1.75), "breslow": (0.8596, 0.7131, 1.69)}


def residuals(model) -> np.ndarray:
    """Score residuals in the order of the patients given."""
    given_order = np.empty((model.n, len(model.terms)))
    given_order[model.sets.order] = score_residuals(model.sets, model.x, model.at_maximum())
    return given_order


@pytest.mark.shared
def test_both_log_likelihoods_of_rossi_equal_r(reference) -> None:
    """reference_values.json, cox_rossi: likelihood ratio, -log likelihood by Efron and Breslow."""
    rossi = reference("lifelines_rossi.csv")
    efron = fit_cox(rossi["week"], rossi["arrest"], rossi[ROSSI])
    breslow = fit_cox(rossi["week"], rossi["arrest"], rossi[ROSSI], ties="breslow")
    assert -efron.loglik == pytest.approx(658.7477, abs=6e-5)
    assert -breslow.loglik == pytest.approx(659.1206, abs=6e-5)
    assert efron.likelihood_ratio.chi2 == pytest.approx(33.27, abs=6e-3)


@pytest.mark.shared
def test_tests_of_stratified_ovarian_equal_r(reference) -> None:
    """therneau/survival tests/ovarian.Rout.save: coxph(... ~ age + ecog.ps + strata(rx))."""
    ovarian = reference("Rsurvival_ovarian.csv")
    model = fit_cox(
        ovarian["futime"], ovarian["fustat"], ovarian[["age", "ecog.ps"]], strata=ovarian["rx"]
    )
    assert model.likelihood_ratio == pytest.approx((12.71, 2, 0.001736), abs=5e-3)
    assert model.wald == pytest.approx((8.43, 2, 0.01476), abs=5e-3)
    assert model.score_test == pytest.approx((12.24, 2, 0.002195), abs=5e-3)


def test_tests_of_stratified_lung_equal_r() -> None:
    """therneau/survival tests/cancer.Rout.save; delayed entry at 0 is no delay."""
    lung = load_lung().dropna()
    terms = lung[["ph.ecog", "ph.karno", "pat.karno", "wt.loss", "sex", "age", "meal.cal"]]
    for entry in (None, np.zeros(len(lung))):
        model = fit_cox(lung["time"], lung["status"], terms, strata=lung["inst"], entry=entry)
        assert model.likelihood_ratio.p == pytest.approx(7.377e-05, rel=1e-4)
        assert model.wald.p == pytest.approx(0.0002066, rel=3e-4)
        assert model.score_test.p == pytest.approx(7e-05, rel=1e-2)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_weighted_model_equals_r(ties) -> None:
    model = fit_cox(
        TESTW1["time"], TESTW1["status"], TESTW1[["x"]], weights=TESTW1["wt"], ties=ties
    )
    row = coefficient_table(model).iloc[0]
    coefficient, error, chi2 = R_WEIGHTED[ties]
    assert (row["coefficient"], row["se"]) == pytest.approx((coefficient, error), abs=6e-5)
    assert model.likelihood_ratio.chi2 == pytest.approx(chi2, abs=6e-3)
    assert residuals(model)[:, 0] == pytest.approx(R_SCORE_RESIDUALS[ties], abs=6e-9)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_intervals_at_risk_give_the_same_model(ties) -> None:
    model = fit_cox(
        TESTW3["time"],
        TESTW3["status"],
        TESTW3[["x"]],
        entry=TESTW3["begin"],
        weights=TESTW3["wt"],
        ties=ties,
    )
    assert model.coefficients[0] == pytest.approx(R_WEIGHTED[ties][0], abs=6e-5)
    by_patient = pd.Series(residuals(model)[:, 0]).groupby(TESTW3["id"]).sum()
    assert by_patient.to_numpy() == pytest.approx(R_SCORE_RESIDUALS[ties], abs=6e-9)


def test_robust_variance_of_replicated_patients_equals_r() -> None:
    """therneau/survival tests/doweight.Rout.save: cluster(id), where a weight 3 is 3 patients."""
    once = pd.DataFrame({"t": [9, 1, 1, 6, 6, 8], "e": [1, 1, 0, 1, 1, 0], "x": [0, 1, 1, 1, 0, 0]})
    weight = np.array([3, 1, 1, 1, 1, 1])
    weighted = fit_cox(
        once["t"],
        once["e"],
        once[["x"]],
        weights=weight,
        cluster=np.arange(6),
        ties="breslow",
    )
    thrice = once.loc[np.repeat(once.index, weight)]
    replicated = fit_cox(
        thrice["t"], thrice["e"], thrice[["x"]], cluster=np.arange(8), ties="breslow"
    )
    influence = residuals(weighted)[:, 0] * weighted.covariance[0, 0]
    assert replicated.robust[0, 0] == pytest.approx((influence**2) @ weight)
    assert weighted.robust[0, 0] == pytest.approx((influence**2) @ weight**2)


@pytest.mark.shared
def test_robust_errors_equal_lifelines_without_ties(reference) -> None:
    """With ties lifelines 0.30 departs from R's score residuals."""
    ovarian = reference("Rsurvival_ovarian.csv").assign(centre=lambda rows: rows.index % 9)
    columns = ["futime", "fustat", "age", "rx", "centre"]
    theirs = CoxPHFitter().fit(
        ovarian[columns],
        "futime",
        "fustat",
        cluster_col="centre",
        fit_options={"precision": 1e-10},
    )
    ours = fit_cox(
        ovarian["futime"], ovarian["fustat"], ovarian[["age", "rx"]], cluster=ovarian["centre"]
    )
    table = coefficient_table(ours)
    assert table["robust_se"].to_numpy() == pytest.approx(
        theirs.standard_errors_.to_numpy(), rel=1e-5
    )
    assert table["method"].unique().tolist() == ["Cox, robust Wald, 9 clusters"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 3))
def test_one_stratum_or_several_equal_lifelines(seed: int, ties: int, strata: int) -> None:
    random = np.random.default_rng(seed)
    n = 80
    x = pd.DataFrame(random.normal(size=(n, 2)), columns=["a", "b"])
    data = x.assign(
        time=random.integers(1, 5 * ties, n),
        event=random.random(n) < 0.7,
        stratum=random.integers(0, strata, n),
    )
    theirs = CoxPHFitter().fit(
        data, "time", "event", strata=["stratum"], fit_options={"precision": 1e-10}
    )
    ours = fit_cox(data["time"], data["event"], x, strata=data["stratum"])
    assert ours.coefficients == pytest.approx(theirs.params_.to_numpy(), abs=1e-5)
    assert ours.loglik == pytest.approx(theirs.log_likelihood_, abs=1e-6)


def test_order_and_time_unit_of_patients_do_not_matter() -> None:
    rossi = load_rossi()
    shuffled = rossi.sample(frac=1, random_state=1)
    plain = fit_cox(rossi["week"], rossi["arrest"], rossi[ROSSI])
    other = fit_cox(np.sqrt(shuffled["week"]), shuffled["arrest"], shuffled[ROSSI])
    assert other.coefficients == pytest.approx(plain.coefficients, abs=1e-10)
    assert other.loglik == pytest.approx(plain.loglik)


def test_patients_of_weight_zero_are_not_there() -> None:
    rossi = load_rossi()
    some = rossi.index % 3 > 0
    zero = fit_cox(rossi["week"], rossi["arrest"], rossi[ROSSI], weights=some.astype(float))
    without = fit_cox(rossi["week"][some], rossi["arrest"][some], rossi.loc[some, ROSSI])
    assert zero.coefficients == pytest.approx(without.coefficients, abs=1e-12)
    assert (zero.n, zero.events) == (without.n, without.events)


def test_monotone_likelihood_is_recognised() -> None:
    time = np.arange(1.0, 31)
    table = pd.DataFrame({"age": np.sin(time), "spread": (time < 10).astype(float)})
    with pytest.raises(SeparationError, match='no maximum in "spread"'):
        fit_cox(time, time < 10, table)


def test_covariate_constant_within_every_stratum_is_named() -> None:
    rossi = load_rossi()
    with pytest.raises(NotEstimableError, match='"fin" never differs among patients at risk'):
        fit_cox(rossi["week"], rossi["arrest"], rossi[["age", "fin"]], strata=rossi["fin"])


def test_collinear_columns_are_named_and_no_other() -> None:
    rossi = load_rossi().assign(months=lambda rows: 12 * rows["age"] + rows["prio"])
    with pytest.raises(NotEstimableError) as refusal:
        fit_cox(rossi["week"], rossi["arrest"], rossi[["age", "fin", "months", "prio"]])
    assert str(refusal.value).startswith('"age", "months", "prio": collinearity')


def test_missing_covariate_names_column_and_row() -> None:
    rossi = load_rossi().astype(float)
    rossi.loc[4, "prio"] = np.nan
    with pytest.raises(DataError, match='covariate "prio": row "4" and 0 more'):
        fit_cox(rossi["week"], rossi["arrest"], rossi[ROSSI])
