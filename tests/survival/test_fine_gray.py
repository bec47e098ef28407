"""Subdistribution hazards against R's cmprsk::crr, and what is said where there is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from survival.fine_gray import fine_gray

EXAMPLE = pd.read_csv(Path(__file__).parent / "data" / "cmprsk_example.csv")
"""`ss, cc, gg, strt, cv, dd$ss` of cmprsk's tests/test.R, drawn as R 1.6.2 draws from seed 2."""


@pytest.mark.parametrize(
    ("columns", "coefficients", "errors", "p"),
    [
        (
            ["x1", "x2", "x3"],
            [-0.29130, -0.06346, -0.47510],
            [0.3698, 0.3566, 0.3544],
            [0.43, 0.86, 0.18],
        ),
        (["x1"], [-0.1753], [0.3540], [0.62]),
    ],
)
def test_example_equals_cmprsk(columns, coefficients, errors, p) -> None:
    """cmprsk 2.2-9 tests/test.Rout.save: crr(ss, cc, cv) and crr(ss, cc, cv[, 1])."""
    data = EXAMPLE.dropna()
    fit = fine_gray(data["time"], data["event"], data[columns])
    assert fit.terms["coefficient"].tolist() == pytest.approx(coefficients, abs=5e-5)
    assert fit.terms["std_err"].tolist() == pytest.approx(errors, abs=6e-5)
    assert fit.terms["p"].tolist() == pytest.approx(p, abs=5e-3)
    assert (fit.n, fit.events, fit.competing) == (97, 31, (data["event"] == 2).sum())


@pytest.mark.shared
def test_transplants_equal_cmprsk(reference) -> None:
    """reference_values.json, finegray_bmt: cmprsk::crr, relapse, phase as 0 to 3."""
    data = reference("casebase_bmtcrr.csv")
    covariates = pd.DataFrame(
        {
            "male": data["Sex"].eq("M"),
            "AML": data["D"].eq("AML"),
            "phase": data["Phase"].map({"CR1": 0, "CR2": 1, "CR3": 2, "Relapse": 3}),
            "age": data["Age"],
            "peripheral blood": data["Source"].eq("PB"),
        }
    ).astype(float)
    fit = fine_gray(data["ftime"], data["Status"], covariates)
    coefficients = [0.0494, -0.4860, 0.4144, -0.0174, 0.9526]
    assert fit.terms["coefficient"].tolist() == pytest.approx(coefficients, abs=1e-4)
    errors = [0.2867, 0.3040, 0.1194, 0.0118, 0.5469]
    assert fit.terms["std_err"].tolist() == pytest.approx(errors, abs=1e-4)
    assert fit.log_likelihood == pytest.approx(-267, abs=0.5)
    assert fit.lrt == pytest.approx(23.6, abs=0.05)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), fit.terms["std_err"])


def test_without_competing_events_it_is_a_robust_cox_model() -> None:
    random = np.random.default_rng(5)
    data = pd.DataFrame(random.normal(size=(150, 2)), columns=["x", "y"])
    data["time"] = random.exponential(np.exp(-0.5 * data["x"])) + 1e-3
    data["event"] = random.integers(0, 2, len(data))
    fit = fine_gray(data["time"], data["event"], data[["x", "y"]])
    cox = CoxPHFitter().fit(data, "time", "event", robust=True)
    assert fit.terms["coefficient"].tolist() == pytest.approx(cox.params_.tolist(), abs=1e-6)
    assert fit.terms["std_err"].tolist() == pytest.approx(cox.standard_errors_.tolist(), rel=1e-5)
    assert fit.log_likelihood == pytest.approx(cox.log_likelihood_)


def test_unit_and_origin_of_a_covariate_do_not_matter() -> None:
    data = EXAMPLE.dropna()
    one = fine_gray(data["time"], data["event"], data[["x1", "x2"]])
    other = fine_gray(data["time"], data["event"], data[["x1", "x2"]].assign(x1=7 - 30 * data.x1))
    first, second = one.terms.iloc[0], other.terms.iloc[0]
    assert second["coefficient"] == pytest.approx(-first["coefficient"] / 30)
    assert second["p"] == pytest.approx(first["p"])


def test_one_censoring_group_is_none_and_two_are_not() -> None:
    data = EXAMPLE.dropna()
    alike, one, two = (
        fine_gray(data["time"], data["event"], data[["x1", "x2", "x3"]], censoring_groups=groups)
        for groups in (None, np.ones(len(data)), data["x3"])
    )
    pd.testing.assert_frame_equal(alike.terms, one.terms)
    # comprisk 0.8.0, FineGrayRegression(cengroup=x3); crr's own printed example adds time effects.
    expected = [-0.29935, -0.07158, -0.41574]
    assert two.terms["coefficient"].tolist() == pytest.approx(expected, abs=2e-5)


def test_interval_covers_the_subdistribution_ratio() -> None:
    """Fine & Gray's own simulation (1999, section 5): F1 = 1 - (1 - p (1 - e^-t))^exp(beta x)."""
    random = np.random.default_rng(3)
    truth, covered, estimates = 0.7, 0, []
    for _ in range(200):
        x = random.integers(0, 2, 150).astype(float)
        ever = 1 - (1 - 0.5) ** np.exp(truth * x)
        of_cause = random.random(150) < ever
        u = random.random(150) * ever
        of_cause_time = -np.log1p(-(1 - (1 - u) ** np.exp(-truth * x)) / 0.5)
        time = np.where(of_cause, of_cause_time, random.exponential(1, 150))
        censored = random.uniform(0.5, 4, 150)
        event = np.where(censored < time, 0, np.where(of_cause, 1, 2))
        fit = fine_gray(np.minimum(time, censored), event, pd.DataFrame({"x": x}))
        line = fit.terms.iloc[0]
        covered += line["ci_low"] <= np.exp(truth) <= line["ci_high"]
        estimates.append(line["coefficient"])
    assert np.mean(estimates) == pytest.approx(truth, abs=0.06)
    assert 0.91 < covered / 200 < 0.985


@pytest.mark.parametrize(
    ("event", "covariates", "reason"),
    [
        ([0, 2] * 20, {"x": range(40)}, "no event"),
        ([1, 2] * 20, {"x": [1.0] * 40}, '"x" is the same for all 40 patients'),
        ([1, 2] * 20, {"x": range(40), "y": range(40)}, "collinearity"),
        ([1, 0, 0, 2] * 4, {"x": range(16)}, "4.0 events per parameter, fewer than 5"),
        ([1, 0] * 20, {"x": [1.0, 0.0] * 20}, 'no maximum in "x" (separation)'),
        ([], {"x": []}, "no patient has all covariates"),
    ],
)
def test_what_has_no_estimate_says_why(event, covariates, reason: str) -> None:
    table = pd.DataFrame(covariates, dtype=float)
    fit = fine_gray(np.arange(1, len(event) + 1), event, table)
    assert fit.note.startswith("not estimable")
    assert reason in fit.note
    assert fit.terms[["shr", "ci_low", "ci_high", "p"]].isna().all(axis=None)


def test_few_events_are_noted() -> None:
    data = EXAMPLE.dropna().iloc[:50]
    fit = fine_gray(data["time"], data["event"], data[["x1", "x2", "x3"]])
    assert "events per parameter, fewer than 10" in fit.note
    assert fit.terms.notna().all(axis=None)
