"""The whole path on drawn and on published patients: what each question answers of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_rossi

from cohorts.errors import DataError, SettingsError
from survival import (
    CutPointRule,
    Endpoint,
    NeuroblastomaColumns,
    SurvivalResults,
    SurvivalSettings,
    analyse,
    group_figure,
    write_figures,
)

DEVELOPMENT, BERN, OSLO, POOLED = "development (out-of-fold)", "Bern", "Oslo", "external, pooled"
FEW = 20


def settings(**given: object) -> SurvivalSettings:
    return SurvivalSettings.model_validate({"bootstrap_samples": FEW, **given})


def row(table: pd.DataFrame, **wanted: object) -> "pd.Series[float]":
    """Give the one row of a table with these values."""
    kept = np.logical_and.reduce([table[name] == value for name, value in wanted.items()])
    (found,) = table[kept].to_dict("records")
    return pd.Series(found)


@pytest.fixture(scope="module")
def in_thirds(pristine_study, tmp_path_factory: pytest.TempPathFactory) -> SurvivalResults:
    """Three groups, a competing event, a known risk group; nobody has the event in Oslo."""
    predictions, patients = pristine_study
    random = np.random.default_rng(2)
    oslo = (predictions["centre"] == OSLO).to_numpy()
    died_first = (patients["os_event"] == 1) & (random.random(len(patients)) < 0.3)
    patients = patients.assign(
        os_event=patients["os_event"].mask(oslo, 0),
        code=patients["os_event"].where(~died_first, 2).mask(oslo, 0),
        stage=random.choice(["L1", "L2", "M"], len(patients)),
        amplified=random.choice(["yes", "no"], len(patients)),
        sex=random.choice(["f", "m"], len(patients)),
    )
    endpoints = {
        "overall survival": Endpoint(time="os_months", event="os_event"),
        "relapse": Endpoint(time="os_months", event="code", competing=("death",)),
    }
    chosen = settings(
        cutpoint="tertiles",
        covariates=("age",),
        risk_group=NeuroblastomaColumns(
            age="age", age_unit="years", stage="stage", mycn="amplified"
        ),
        subgroups=("sex",),
        landmark=6.0,
    )
    out = tmp_path_factory.mktemp("thirds")
    return analyse(predictions, patients.round({"age": 3}).assign(age=patients["age"].abs()),
                   endpoints, chosen, out, "cohort-1")  # fmt: skip


def test_three_groups_are_compared_in_order_and_pair_by_pair(in_thirds: SurvivalResults) -> None:
    test = row(in_thirds.logrank, endpoint="overall survival", stratum=BERN)
    assert test["df"] == 2
    assert test[["n_low", "n_intermediate", "n_high"]].sum() == 50
    trend = in_thirds.further["logrank_trend"]
    ordered = row(trend, endpoint="overall survival", stratum=BERN)
    assert ordered["order"] == "low < intermediate < high"
    assert ordered["z"] > 2
    pairs = in_thirds.further["logrank_pairs"].query("stratum == @BERN")
    assert len(pairs) == 2 * 3
    assert (pairs["p_adjusted"] >= pairs["p"]).all()
    cox = in_thirds.cox.query("stratum == @BERN and endpoint == 'overall survival'")
    assert cox["term"].unique().tolist() == [
        "score, per SD",
        "high versus low score",
        "intermediate versus low score",
    ]
    assert cox["adjusted_for"].unique().tolist() == ["", "age, high versus other risk"]


def test_competing_events_have_incidences_and_no_predicted_risk(in_thirds: SurvivalResults) -> None:
    gray = in_thirds.further["gray"].query("stratum == @BERN")
    assert gray["event"].tolist() == ["relapse", "death"]
    hazards = in_thirds.further["competing_hazards"].query("stratum == @BERN")
    assert set(hazards["model"]) == {"cause-specific", "subdistribution"}
    brier = in_thirds.further["brier"].query("endpoint == 'relapse'")
    assert brier["note"].str.startswith("not given: events compete").all()
    assert (in_thirds.further["incidence"]["endpoint"] == "relapse").all()


def test_centre_without_event_has_reasons_for_numbers(in_thirds: SurvivalResults) -> None:
    for name, column in {
        "logrank": "p",
        "cox": "hr",
        "spline_tests": "p",
        "proportional_hazards": "p",
        "concordance": "value",
        "added_value": "p",
        "calibration": "value",
    }.items():
        table = in_thirds.tables[name].query("stratum == @OSLO and endpoint == 'overall survival'")
        assert table[column].isna().all(), name
        assert table["note"].str.len().gt(0).all(), name
    oslo = row(
        in_thirds.further["centres"],
        stratum=POOLED,
        centre=OSLO,
        endpoint="overall survival",
    )
    assert np.isnan(oslo["hr"])
    assert oslo["weight"] == 0


def test_landmark_leaves_out_whom_it_counts(in_thirds: SurvivalResults) -> None:
    where = {"stratum": BERN, "endpoint": "overall survival"}
    line = row(in_thirds.further["landmark"], **where)
    groups = in_thirds.further["landmark_groups"].query(
        "stratum == @BERN and endpoint == 'overall survival'"
    )
    left = groups[["event_before", "censored_before"]].to_numpy().sum()
    assert line["n"] - line["kept"] == left > 0


def test_every_question_with_a_picture_draws_it(in_thirds: SurvivalResults) -> None:
    pooled = [d for d in in_thirds.drawings if d.stratum == POOLED]
    overall = {d.name: d.draw() for d in pooled if d.endpoint == "overall survival"}
    assert set(overall) == {
        *("forest", "schoenfeld", "spline", "dynamic_auc", "brier", "calibration"),
        *("decision_curve", "centres", "subgroups", "restricted_means"),
    }
    assert all(figure.axes for figure in overall.values())
    means = overall["restricted_means"]
    row = in_thirds.further["rmst_contrasts"].query(
        "endpoint == 'overall survival' and stratum == 'external, pooled'"
    )
    said = "\n".join(text.get_text() for text in means.texts)
    assert f"{row['measure'].iloc[0]} {row['estimate'].iloc[0]:.2f} (95% CI" in said
    assert overall["spline"].get_suptitle() == "Overall survival: external, pooled"


def test_figures_are_files_in_the_colours_of_three_groups(
    in_thirds: SurvivalResults, tmp_path: Path
) -> None:
    bern = in_thirds.logrank[in_thirds.logrank["stratum"] == BERN]
    forests = [d for d in in_thirds.drawings if d.name == "forest" and d.stratum == BERN]
    written = write_figures(replace(in_thirds, logrank=bern, drawings=forests), tmp_path)
    endpoints, names = ("overall-survival", "relapse"), ("curves-{}-bern", "forest-{}-bern")
    expected = {name.format(e) for e in endpoints for name in (*names, "hazard_ratios-{}")}
    assert {path.name for path in written} == {f"{e}.{s}" for e in expected for s in ("svg", "pdf")}
    drawn = (tmp_path / "curves-overall-survival-bern.svg").read_text()
    assert all(colour in drawn.lower() for colour in ("#0072b2", "#009e73", "#d55e00"))
    assert "Gray" in (tmp_path / "curves-relapse-bern.svg").read_text()


def test_external_outcomes_move_neither_lock_nor_development(
    pristine_study, overall_survival, tmp_path: Path
) -> None:
    """Nothing of an external patient, score or outcome, reaches a development number."""
    predictions, patients = pristine_study
    external = predictions["split"] == "external"
    rule = CutPointRule(method="maximally_selected", endpoint="overall survival")
    chosen = settings(cutpoint=rule, covariates=("age",))
    other = (
        predictions.assign(score=predictions["score"].mask(external, 1 - predictions["score"])),
        patients.assign(os_event=patients["os_event"].mask(external.to_numpy(), 1)),
    )
    first = analyse(
        predictions, patients, overall_survival, chosen, tmp_path / "a", "cohort-1", seed=3
    )
    second = analyse(*other, overall_survival, chosen, tmp_path / "b", "cohort-1", seed=3)
    assert first.cutpoint == second.cutpoint
    assert first.cutpoint.outcomes_digest
    searched = first.logrank.set_index("stratum")["p_corrected"]
    assert searched[DEVELOPMENT] == first.cutpoint.p_corrected
    assert searched[[BERN, OSLO, POOLED]].isna().all()
    for stratum in (DEVELOPMENT, BERN):
        drawn = group_figure(first, "overall survival", stratum).axes[0].texts[0].get_text()
        assert ("corrected for the search p" in drawn) == (stratum == DEVELOPMENT)
    for name, table in first.tables.items():
        if "stratum" in table:
            mine, theirs = (
                t[t["stratum"] == DEVELOPMENT].reset_index(drop=True)
                for t in (table, second.tables[name])
            )
            pd.testing.assert_frame_equal(mine, theirs, check_dtype=False)


def test_predicted_risks_come_from_development_alone(
    pristine_study, overall_survival, tmp_path: Path
) -> None:
    """Without development patients there is a lock to apply, but no probability to calibrate."""
    predictions, patients = pristine_study
    chosen = settings()
    whole = analyse(predictions, patients, overall_survival, chosen, tmp_path, "cohort-1")
    assert (whole.further["calibration"]["value"].notna()).any()
    alone = predictions[predictions["split"] == "external"]
    seen = patients.loc[alone["patient_id"]]
    fewer = analyse(alone, seen, overall_survival, chosen, tmp_path, "cohort-1")
    assert fewer.cutpoint == whole.cutpoint
    assert fewer.further["calibration"]["value"].isna().all()
    assert fewer.further["calibration"]["note"].str.contains("no development patient").all()
    ratio = {"stratum": BERN, "term": "score, per SD"}
    assert row(fewer.cox, **ratio)["hr"] == row(whole.cox, **ratio)["hr"]


def test_exploratory_cut_is_stamped_and_never_locked(
    pristine_study, overall_survival, tmp_path: Path
) -> None:
    predictions, patients = pristine_study
    alone = predictions[predictions["split"] == "external"]
    seen = patients.loc[alone["patient_id"]]
    with pytest.raises(DataError, match="no development patient to fit"):
        analyse(alone, seen, overall_survival, settings(), tmp_path, "x")
    found = analyse(alone, seen, overall_survival, settings(), tmp_path, "x", exploratory=True)
    assert found.cutpoint.n == len(alone)
    assert not (tmp_path / "cutpoint.json").exists()
    assert "exploratory" in (tmp_path / "cox.csv").read_text().splitlines()[1]
    assert "**Exploratory.**" in (tmp_path / "methods.md").read_text()
    few = replace(found, logrank=found.logrank[:1], drawings=found.drawings[:1])
    for path in write_figures(few, tmp_path / "figures"):
        if path.suffix == ".svg":
            assert "exploratory" in path.read_text()


@pytest.mark.parametrize("rows", [1, 2])
def test_centre_of_one_or_two_patients_is_rows_with_reasons(
    study, overall_survival, tmp_path: Path, rows: int
) -> None:
    predictions, patients = study
    kept = (predictions["centre"] != OSLO) | (predictions["centre"] == OSLO).cumsum().le(rows)
    found = analyse(
        predictions[kept],
        patients[kept.to_numpy()],
        overall_survival,
        settings(covariates=("age",)),
        tmp_path,
        "cohort-1",
    )
    tiny = found.cox[found.cox["stratum"] == OSLO]
    assert tiny["hr"].isna().all()
    assert tiny["note"].str.startswith("not estimable").all()
    assert row(found.medians, stratum=OSLO, group="all")["n"] == rows


def test_times_are_refused_for_endpoints_of_several_units(study, tmp_path: Path) -> None:
    predictions, patients = study
    endpoints = {
        "overall survival": Endpoint(time="os_months", event="os_event"),
        "other": Endpoint(time="os_months", event="os_event", unit="years"),
    }
    with pytest.raises(SettingsError, match="horizons: a time means nothing"):
        analyse(predictions, patients, endpoints, settings(horizons=(12,)), tmp_path, "cohort-1")


def test_rule_reads_an_endpoint_that_is_there(study, overall_survival, tmp_path: Path) -> None:
    rule = CutPointRule(method="maximally_selected", endpoint="relapse")
    with pytest.raises(SettingsError, match='endpoint "relapse" is none of the endpoints'):
        analyse(*study, overall_survival, settings(cutpoint=rule), tmp_path, "cohort-1")


def test_absent_column_is_named(study, overall_survival, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='patients: column "sex" is missing'):
        analyse(*study, overall_survival, settings(subgroups=("sex",)), tmp_path, "cohort-1")


@pytest.fixture(scope="module")
def rossi(tmp_path_factory: pytest.TempPathFactory) -> SurvivalResults:
    """Rossi et al. 1980 as a study: the number of prior convictions is the score."""
    data = load_rossi()
    ids = [f"R{number}" for number in range(len(data))]
    predictions = pd.DataFrame(
        {
            "patient_id": ids,
            "centre": "Georgia",
            "split": "development",
            "score_kind": "oof",
            "score": data["prio"] / 18,
            "model_digest": "prio",
        }
    )
    patients = data.set_axis(pd.Index(ids, name="patient_id"))
    chosen = settings(covariates=("fin", "age", "race", "wexp", "mar", "paro"), horizons=(52,))
    return analyse(
        predictions,
        patients,
        {"arrest": Endpoint(time="week", event="arrest", unit="days")},
        chosen,
        tmp_path_factory.mktemp("rossi"),
        "rossi",
    )


def test_rossi_is_that_of_r(rossi: SurvivalResults) -> None:
    """Fox & Weisberg 2018, Cox regression for survival data in R: coxph and cox.zph of Rossi."""
    adjusted = rossi.further["cox_models"].query(
        "model == 'score, per SD, fin, age, race, wexp, mar, paro'"
    )
    coefficient = adjusted.set_index("term")["coefficient"]
    published = {
        "fin": -0.37942,
        "age": -0.05744,
        "race": 0.31390,
        "wexp": -0.14980,
        "mar": -0.43370,
        "paro": -0.08487,
    }
    for term, value in published.items():
        assert coefficient[term] == pytest.approx(value, abs=5e-6)
    per_sd = 0.09150 * 18 * rossi.cutpoint.score_sd
    assert coefficient["score, per SD"] == pytest.approx(per_sd, abs=5e-5)
    assert adjusted["likelihood_ratio"].iloc[0] == pytest.approx(33.27, abs=0.005)
    assert row(rossi.medians, group="all")["events"] == 114


def test_processes_change_no_number(
    pristine_study, overall_survival, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (pristine_study[0]["centre"] == "Lund").to_numpy()
    study = tuple(table[kept] for table in pristine_study)
    chosen = settings(covariates=("age",))
    here = analyse(*study, overall_survival, chosen, tmp_path / "a", "cohort-1", seed=1)
    monkeypatch.setattr("survival.analysis._WORTH_A_PROCESS", 0)
    there = analyse(*study, overall_survival, chosen, tmp_path / "b", "cohort-1", seed=1)
    for name, table in here.tables.items():
        pd.testing.assert_frame_equal(table, there.tables[name])
    assert [d.name for d in here.drawings] == [d.name for d in there.drawings]


@pytest.mark.parametrize("seed", [6, 11])
def test_a_handful_of_patients_is_no_crash_and_no_warning(seed: int, tmp_path: Path) -> None:
    """Ties, few scores, separation: drawn so that Cox's and Firth's likelihoods run off the map."""
    random = np.random.default_rng(seed)
    sizes = [int(random.integers(*limits)) for limits in ((4, 25), (1, 12), (1, 8))]
    centre = np.repeat(["A", "B", "C"], sizes)
    n, split = len(centre), np.where(centre == "A", "development", "external")
    score = random.choice([0.1, 0.2, 0.5, 0.9], n) if seed % 3 == 0 else random.random(n).round(2)
    ids = [f"P{number}" for number in range(n)]
    kind = np.where(centre == "A", "oof", "external")
    predictions = pd.DataFrame(
        {"patient_id": ids, "centre": centre, "split": split, "score_kind": kind, "score": score}
    ).assign(model_digest="m")
    time = random.integers(1, 40, n).astype(float)
    event = (random.random(n) < random.choice([0, 0.1, 0.5, 1])).astype(int)
    patients = pd.DataFrame(
        {"time": time, "event": event, "age": random.normal(size=n)}, index=pd.Index(ids)
    )
    endpoints = {"death": Endpoint(time="time", event="event")}
    chosen = settings(covariates=("age",))
    found = analyse(predictions, patients, endpoints, chosen, tmp_path, "cohort-1")
    assert all(drawing.draw().axes for drawing in found.drawings)
    silent = found.cox["hr"].isna() & (found.cox["note"] == "")
    assert not silent.any()
