"""The whole analysis: strata, tables, files, and what is said where a stratum holds too little."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cohorts.errors import DataError, SettingsError
from cohorts.strata import DEVELOPMENT
from survival import (
    CutPointRule,
    Endpoint,
    SurvivalResults,
    SurvivalSettings,
    analyse,
    apply_cutpoint,
    fit_cox,
    hazard_ratio,
    logrank_test,
    median_follow_up,
    write_figures,
)

SETTINGS = SurvivalSettings(covariates=("age", "mycn"), bootstrap_samples=20)
STRATA = ["development (out-of-fold)", "Bern", "Oslo", "external, pooled"]
TABLES = ["kaplan_meier", "numbers_at_risk", "medians", "logrank", "cox"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("survival")


@pytest.fixture(scope="module")
def results(pristine_study, overall_survival, out: Path) -> SurvivalResults:
    return analyse(*pristine_study, overall_survival, SETTINGS, out, "cohort-1")


def test_each_table_holds_every_stratum_and_is_a_file(results: SurvivalResults, out: Path) -> None:
    for name in TABLES:
        table = getattr(results, name)
        assert table["stratum"].unique().tolist() == STRATA
        written = (out / f"{name}.csv").read_text()
        assert written.splitlines()[0].split(",") == table.columns.tolist()
        assert written.count("\n") == len(table) + 1
    files = {path.name for path in out.iterdir()}
    assert files == {"cutpoint.json", "methods.md", *(f"{name}.csv" for name in results.tables)}


def test_cut_point_splits_the_development_cohort_in_halves(results: SurvivalResults) -> None:
    row = results.logrank.iloc[0]
    assert (row["n_low"], row["n_high"]) == (46, 45)


def test_centre_is_analysed_alone_and_the_pool_within_centres(
    study, results: SurvivalResults
) -> None:
    predictions, patients = study
    table = patients.assign(**predictions.set_index("patient_id")[["centre", "score"]])
    table["group"] = apply_cutpoint(table["score"], results.cutpoint)
    bern = table[table["centre"] == "Bern"]
    pool = table[table["centre"].isin(["Bern", "Oslo"])]
    tests = results.logrank.set_index("stratum")
    alone = logrank_test(bern["os_months"], bern["os_event"], bern["group"])
    within = logrank_test(pool["os_months"], pool["os_event"], pool["group"], pool["centre"])
    assert tests.loc["Bern", "p"] == alone.p
    assert tests.loc["external, pooled", "p"] == within.p
    assert tests["stratified_by"].tolist() == ["centre", "", "", "centre"]

    row = results.cox.set_index(["stratum", "term", "adjusted_for"])["hr"]
    pooled = hazard_ratio(
        pool["os_months"],
        pool["os_event"],
        pd.DataFrame(
            {
                "x": pool["score"] / results.cutpoint.score_sd,
                "age": pool["age"],
                "mycn": pool["mycn"],
            }
        ),
        pool["centre"],
    )
    assert row["external, pooled", "score, per SD", "age, mycn"] == pytest.approx(pooled.hr)
    medians = results.medians.set_index(["stratum", "group"])
    followed = median_follow_up(bern["os_months"], bern["os_event"])
    assert medians.loc[("Bern", "all"), "follow_up_median"] == followed.median
    assert medians.loc[("Bern", "all"), ["n", "events"]].tolist() == [50, bern["os_event"].sum()]


def test_each_term_is_univariable_and_adjusted(results: SurvivalResults) -> None:
    bern = results.cox[results.cox["stratum"] == "Bern"]
    assert list(zip(bern["term"], bern["adjusted_for"], strict=True)) == [
        ("score, per SD", ""),
        ("score, per SD", "age, mycn"),
        ("high versus low score", ""),
        ("high versus low score", "age, mycn"),
    ]
    assert (bern["hr"] > 1).all()


def test_without_covariates_nothing_is_adjusted(study, overall_survival, tmp_path: Path) -> None:
    results = analyse(
        *study, overall_survival, SurvivalSettings(bootstrap_samples=20), tmp_path, "cohort-1"
    )
    assert (results.cox["adjusted_for"] == "").all()
    assert len(results.cox) == 2 * len(STRATA)


def test_two_endpoints_share_one_cut_point(study, tmp_path: Path) -> None:
    predictions, patients = study
    patients = patients.assign(relapse_days=patients["os_months"] * 20, relapse=1)
    endpoints = {
        "overall survival": Endpoint(time="os_months", event="os_event"),
        "event-free survival": Endpoint(time="relapse_days", event="relapse", unit="days"),
    }
    results = analyse(predictions, patients, endpoints, SETTINGS, tmp_path, "cohort-1")
    assert results.logrank["endpoint"].unique().tolist() == list(endpoints)
    units = results.kaplan_meier.groupby("endpoint", sort=False)["unit"].unique().explode()
    assert units.to_dict() == {"overall survival": "months", "event-free survival": "days"}
    curves = results.kaplan_meier[results.kaplan_meier["endpoint"] == "event-free survival"]
    assert curves["n_event"].sum() == 91 + 2 * 94


def test_same_input_gives_the_same_bytes(study, overall_survival, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        analyse(*study, overall_survival, SETTINGS, tmp_path / folder, "cohort-1")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


def test_other_external_scores_change_no_development_number(
    study, overall_survival, results: SurvivalResults, tmp_path: Path
) -> None:
    predictions, patients = study
    external = predictions["split"] == "external"
    changed = predictions.assign(score=predictions["score"].mask(external, 0.99))
    again = analyse(changed, patients, overall_survival, SETTINGS, tmp_path, "cohort-1")
    assert again.cutpoint == results.cutpoint
    for name in TABLES:
        before, after = (getattr(r, name).query("stratum == @STRATA[0]") for r in (results, again))
        pd.testing.assert_frame_equal(before, after)


def test_one_external_centre_is_not_pooled_with_itself(
    study, overall_survival, tmp_path: Path
) -> None:
    predictions, patients = study
    kept = predictions[predictions["centre"] != "Oslo"]
    results = analyse(
        kept, patients.loc[kept["patient_id"]], overall_survival, SETTINGS, tmp_path, "cohort-1"
    )
    assert results.logrank["stratum"].tolist() == STRATA[:2]


@pytest.mark.parametrize(
    ("spoil", "tested", "fitted"),
    [
        (
            {"score": 0.999},
            "not estimable: every patient is in the high group",
            'not estimable: "score, per SD" is the same for all 44 patients',
        ),
        ({"os_event": 0}, "not estimable: no event", "not estimable: no event"),
    ],
)
def test_stratum_without_comparison_is_a_row_with_a_note(
    study, overall_survival, tmp_path: Path, spoil: dict[str, float], tested: str, fitted: str
) -> None:
    predictions, patients = study
    oslo = predictions["centre"] == "Oslo"
    for column, value in spoil.items():
        table, rows = (predictions, oslo) if column == "score" else (patients, oslo.to_numpy())
        table.loc[rows, column] = value
    results = analyse(predictions, patients, overall_survival, SETTINGS, tmp_path, "cohort-1")
    row = results.logrank.set_index("stratum").loc["Oslo"]
    assert row["note"] == tested
    assert np.isnan(row["p"])
    cox = results.cox[results.cox["stratum"] == "Oslo"]
    assert cox["hr"].isna().all()
    assert cox["note"].iloc[0] == fitted
    assert results.cox.loc[results.cox["stratum"] == "Bern", "hr"].notna().all()


def test_groups_that_are_never_at_risk_together_are_a_row_with_a_note(
    study, overall_survival, tmp_path: Path
) -> None:
    """The one event of the centre happens when only its group is left."""
    predictions, patients = study
    oslo = predictions["patient_id"][predictions["centre"] == "Oslo"]
    last = predictions.set_index("patient_id").loc[oslo, "score"].idxmax()
    patients.loc[oslo, ["os_months", "os_event"]] = [5.0, 0]
    patients.loc[last, ["os_months", "os_event"]] = [9.0, 1]
    results = analyse(predictions, patients, overall_survival, SETTINGS, tmp_path, "cohort-1")
    note = results.logrank.set_index("stratum").loc["Oslo", "note"]
    assert note == "not estimable: the groups are never at risk together when an event occurs"


def test_scores_of_a_training_fold_leave_no_file(study, overall_survival, tmp_path: Path) -> None:
    predictions, patients = study
    seen = predictions.assign(score_kind="train")
    with pytest.raises(DataError, match="a score from a training fold"):
        analyse(seen, patients, overall_survival, SETTINGS, tmp_path, "cohort-1")
    assert not list(tmp_path.iterdir())


def test_numbers_at_risk_start_with_everyone_at_legible_times(results: SurvivalResults) -> None:
    table = results.numbers_at_risk.query("stratum == 'Bern'")
    assert table["time"].unique().tolist() == [0, 12, 24, 36, 48, 60]
    assert table.query("time == 0")["n_risk"].sum() == 50


def test_importing_the_package_imports_nothing_slow() -> None:
    """A command's --help may not wait for lifelines or matplotlib."""
    code = "import sys, survival; print({'lifelines', 'matplotlib', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_patients_without_an_outcome_are_left_out_of_its_curves_and_listed(
    study, overall_survival, tmp_path: Path
) -> None:
    predictions, patients = study
    whole = analyse(predictions, patients, overall_survival, SETTINGS, tmp_path / "a", "cohort-1")
    patients["os_event"] = patients["os_event"].astype(float)
    patients.loc["B136", "os_months"] = None
    patients.loc["O182", ["os_months", "os_event"]] = None
    fewer = analyse(predictions, patients, overall_survival, SETTINGS, tmp_path / "b", "cohort-1")
    assert fewer.left_out[["patient_id", "centre", "missing"]].to_numpy().tolist() == [
        ["B136", "Bern", "os_months"],
        ["O182", "Oslo", "os_months, os_event"],
    ]
    assert fewer.cutpoint == whole.cutpoint
    n = [
        r.medians.set_index(["stratum", "group"])["n"]["external, pooled", "all"]
        for r in (whole, fewer)
    ]
    assert n[0] - n[1] == 2


def test_patient_without_a_covariate_is_left_out_of_the_adjusted_model_only(
    study, overall_survival, tmp_path: Path
) -> None:
    predictions, patients = study
    patients.loc["B136", "age"] = None
    results = analyse(predictions, patients, overall_survival, SETTINGS, tmp_path, "cohort-1")
    n = results.cox.set_index(["stratum", "adjusted_for", "term"])["n"]
    assert n["Bern", "", "score, per SD"] - n["Bern", "age, mycn", "score, per SD"] == 1
    assert results.left_out.empty


def test_late_entry_is_honoured_or_the_question_left_out(study, tmp_path: Path) -> None:
    """Equal to `survfit` and `coxph` of `Surv(seen, os_months, os_event)` through their own tests.

    Weights by censoring and pairs of patients know no late entry; what rests on them is not given.
    """
    predictions, patients = study
    patients = patients.assign(seen=patients["os_months"] * np.linspace(0, 0.9, len(patients)))
    endpoint = Endpoint(time="os_months", event="os_event", entry="seen")
    settings = SurvivalSettings(bootstrap_samples=20, landmark=6)
    results = analyse(predictions, patients, {"OS": endpoint}, settings, tmp_path, "digest")
    named = predictions[predictions["split"] == "development"]
    here = patients.loc[named["patient_id"]]
    outcome = here["os_months"], here["os_event"]
    score = pd.DataFrame({"score": named["score"].to_numpy() / results.cutpoint.score_sd})
    centres = named["centre"].to_numpy()
    late = np.exp(fit_cox(*outcome, score, entry=here["seen"], strata=centres).coefficients[0])
    at_once = np.exp(fit_cox(*outcome, score, strata=centres).coefficients[0])
    cox = results.cox[results.cox["stratum"] == DEVELOPMENT]
    assert cox["hr"].iloc[0] == pytest.approx(late, rel=1e-6) != pytest.approx(at_once, rel=1e-3)
    group = apply_cutpoint(named["score"], results.cutpoint)
    test = logrank_test(*outcome, group, centres, entry=here["seen"])
    assert results.logrank["chi2"].iloc[0] == pytest.approx(test.chi2)
    left_out = results.further["not_estimated"]
    assert set(left_out["question"]) == {
        *("group means", "score discrimination", "from landmark", "score beside clinical"),
        *("net benefit", "calibration", "prediction error"),
    }
    assert left_out["note"].str.startswith("not given with delayed entry").all()
    absent = ("rmst", "concordance", "brier", "landmark")
    assert not {*absent} & set(results.further) and "concordance" not in results.methods
    assert "entry < t <= time" in results.methods
    write_figures(results, tmp_path / "figures")


def test_rule_that_reads_outcomes_takes_no_late_entry(study, tmp_path: Path) -> None:
    predictions, patients = study
    endpoint = Endpoint(time="os_months", event="os_event", entry="seen")
    rule = CutPointRule(method="youden", endpoint="OS", horizon=12.0)
    with pytest.raises(SettingsError, match='"youden" reads endpoint "OS", whose patients enter'):
        analyse(
            predictions,
            patients.assign(seen=0.0),
            {"OS": endpoint},
            SurvivalSettings(cutpoint=rule),
            tmp_path,
            "digest",
        )
    assert not list(tmp_path.iterdir())
