"""Ridge-penalised Cox regression: another implementation's numbers, its limits, and its choice."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi

from survival import (
    CutPointRule,
    Endpoint,
    Penalty,
    SurvivalSettings,
    analyse,
    cox_regression,
    fit_cox,
    fit_ridge,
    ridge_table,
)
from survival.cox_design import SeparationError

TERMS = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]


@pytest.fixture(scope="module")
def rossi() -> pd.DataFrame:
    """Columns standardised with n, so that no convention of standard deviations is in play."""
    table = load_rossi()
    x = table[TERMS]
    return table.assign(**((x - x.mean()) / x.std(ddof=0)))


def test_all_terms_shrunken_equal_lifelines(rossi: pd.DataFrame) -> None:
    n = len(rossi)
    found = fit_ridge(rossi["week"], rossi["arrest"], rossi[TERMS], TERMS, 50.0)
    # lifelines standardises by n - 1 and multiplies its penalty by n.
    theirs = CoxPHFitter(penalizer=50 / n * (n - 1) / n, l1_ratio=0).fit(
        rossi[[*TERMS, "week", "arrest"]], "week", "arrest"
    )
    assert found.coefficients == pytest.approx(theirs.params_.to_numpy(), abs=2e-5)
    penalised = found.loglik - 50 / 2 * found.coefficients @ found.coefficients
    assert penalised == pytest.approx(theirs.log_likelihood_, abs=1e-3)


def test_slope_of_the_penalised_likelihood_is_zero_and_the_score_stays_free(rossi) -> None:
    """At the maximum the likelihood's slope is the penalty times the coefficient."""
    outcome, shrunken = (rossi["week"], rossi["arrest"]), TERMS[1:]
    found = fit_ridge(*outcome, rossi[TERMS], shrunken, 30.0)
    step = 1e-4
    for place, term in enumerate(TERMS):
        offsets = [found.coefficients + sign * step * np.eye(7)[place] for sign in (-1, 1)]
        low, high = (_loglik(rossi, beta) for beta in offsets)
        expected = 30 * found.coefficients[place] if term in shrunken else 0
        assert (high - low) / (2 * step) == pytest.approx(expected, abs=1e-3), term
    table = ridge_table(found).set_index("term")
    assert table[["ci_low", "ci_high", "p"]].isna().all(axis=None)
    assert table["hr"].to_numpy() == pytest.approx(np.exp(found.coefficients))


def _loglik(rossi: pd.DataFrame, beta: np.ndarray) -> float:
    """Efron's log partial likelihood, from its definition."""
    risk = np.exp(rossi[TERMS].to_numpy() @ beta)
    time, event = rossi["week"].to_numpy(), rossi["arrest"].to_numpy() == 1
    total = float(np.log(risk[event]).sum())
    for moment in np.unique(time[event]):
        dying = risk[event & (time == moment)]
        at_risk = risk[time >= moment].sum()
        shares = np.arange(len(dying)) / len(dying)
        total -= float(np.log(at_risk - shares * dying.sum()).sum())
    return total


def test_ends_are_no_penalty_and_no_term(rossi) -> None:
    outcome = (rossi["week"], rossi["arrest"])
    plain = fit_cox(*outcome, rossi[TERMS])
    weak = fit_ridge(*outcome, rossi[TERMS], TERMS[1:], 1e-9)
    assert weak.coefficients == pytest.approx(plain.coefficients, abs=1e-6)
    assert weak.effective_parameters == pytest.approx(7, abs=1e-6)
    strong = fit_ridge(*outcome, rossi[TERMS], TERMS[1:], 1e9)
    alone = fit_cox(*outcome, rossi[["fin"]])
    assert strong.coefficients[0] == pytest.approx(alone.coefficients[0], abs=1e-4)
    assert strong.effective_parameters == pytest.approx(1, abs=1e-4)


def test_noise_is_shrunken_more_than_signal(rossi) -> None:
    noise = np.random.default_rng(2).normal(size=(len(rossi), 6))
    names = [f"noise {i}" for i in range(6)]
    table = rossi[["fin"]].assign(**dict(zip(names, noise.T, strict=True)))
    outcome = (rossi["week"], rossi["arrest"])
    of_noise = fit_ridge(*outcome, table, names)
    of_signal = fit_ridge(*outcome, rossi[TERMS], TERMS[1:])
    again = fit_ridge(*outcome, rossi[TERMS], TERMS[1:])
    assert of_noise.penalty > 2 * of_signal.penalty
    assert again.penalty == of_signal.penalty


def test_free_term_that_separates_is_refused_and_a_shrunken_one_is_not(rossi) -> None:
    table = rossi[["fin"]].assign(seen=rossi["arrest"].astype(float))
    outcome = (rossi["week"], rossi["arrest"])
    with pytest.raises(SeparationError, match='"seen"'):
        fit_ridge(*outcome, table, ["fin"], 1.0)
    assert np.isfinite(fit_ridge(*outcome, table, ["seen"], 1.0).coefficients).all()
    firth = cox_regression(*outcome, table, penalty=Penalty("ridge", ("fin",)))
    assert "Firth's penalised likelihood" in firth.note


@pytest.mark.parametrize(("kind", "says"), [("firth", "as set: Firth's"), ("ridge", "shrunken by")])
def test_penalty_lets_few_events_bear_an_adjusted_model(study, tmp_path, kind, says) -> None:
    predictions, patients = study
    seen = patients["os_event"].cumsum() <= 12
    patients = patients.assign(os_event=patients["os_event"].where(seen, 0))
    found = {
        chosen: analyse(
            predictions,
            patients,
            {"OS": Endpoint(time="os_months", event="os_event")},
            SurvivalSettings(
                covariates=("age", "mycn"),
                penalty=chosen,
                bootstrap_samples=20,
                cutpoint=CutPointRule(),
            ),
            tmp_path / chosen,
            "digest",
        )
        for chosen in ("none", kind)
    }
    plain, penalised = (
        result.cox.query("stratum == 'development (out-of-fold)' and term == 'score, per SD'")
        for result in found.values()
    )
    assert plain["adjusted_for"].tolist() == ["", "age, mycn"]
    assert plain.iloc[0].equals(penalised.iloc[0])
    assert "not estimable" in plain["note"].iloc[1]
    adjusted = penalised.iloc[1]
    assert says in adjusted["note"]
    has_interval = adjusted["ci_low"] < adjusted["hr"] < adjusted["ci_high"]
    assert has_interval == (kind == "firth") and adjusted["hr"] > 0
    assert kind.capitalize() in found[kind].methods or "ridge penalty" in found[kind].methods
