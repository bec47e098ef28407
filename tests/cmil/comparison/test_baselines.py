"""Baselines learn from training patients alone, and say what they should of plain cases."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logit

from cmil.comparison.baseline_fits import (
    fit_penalised_regression,
    fit_prevalence,
    fit_regression,
)
from cmil.comparison.baselines import (
    BAG_SIZE,
    CENTRE,
    COVARIATES,
    EMBEDDINGS,
    Baseline,
    baseline_scores,
    baselines_of,
    embedding_summary,
)
from cmil.patient_bags import PatientBag, PatientBags
from cmil.validation.discrimination import auc_delong
from cohorts.errors import DataError

COLUMNS = ["patient_id", "centre", "split", "score_kind", "label", "model", "score"]
SEED = np.random.SeedSequence(0)


def patients_of(development: int, external: int) -> pd.DataFrame:
    """Labels alternate; two development centres, two external, one of which is a known one."""
    n = development + external
    rng = np.random.default_rng(2)
    age = rng.normal(40, 10, n)
    age[::5] = np.nan
    return pd.DataFrame(
        {
            "centre": [("Lund", "Oslo")[i // 2 % 2] for i in range(development)]
            + [("Bern", "Oslo")[i // 2 % 2] for i in range(external)],
            "split": ["development"] * development + ["external"] * external,
            "label": [i % 2 for i in range(n)],
            "age": age,
            "stage": rng.integers(1, 4, n).astype(float),
        },
        index=pd.Index([f"P{i:02d}" for i in range(n)], name="patient_id"),
    )


def bags_of(patients: pd.DataFrame, *, shift: float = 0.0, growth: int = 0) -> PatientBags:
    """Bags of 4 to 9 instances of 3 numbers; `shift` and `growth` tell the positive ones."""
    rng = np.random.default_rng(3)
    bags = {}
    for patient, label in patients["label"].items():
        size = int(rng.integers(4, 10)) + growth * int(label)
        instances = rng.normal(shift * label, 1, (size, 3)).astype(np.float16)
        bags[str(patient)] = PatientBag(torch.from_numpy(instances), {})
    return PatientBags(bags, {}, 3, "digest")


def folds_of(patients: pd.DataFrame, neighbours: int = 2) -> pd.Series:
    """Three folds, dealt out in packs of neighbours; an even number has both labels."""
    known = patients.index[patients["split"] == "development"]
    return pd.Series(np.arange(len(known)) // neighbours % 3, known)


def score(
    patients: pd.DataFrame, bags: PatientBags, *folds: pd.Series, seed: int = 0
) -> Mapping[str, pd.DataFrame]:
    baselines = baselines_of(patients, bags, ["age", "stage"])
    table = baseline_scores(patients, baselines, folds or (folds_of(patients),), seed)
    assert list(table.columns) == COLUMNS
    return {str(n): t.set_index("patient_id") for n, t in table.groupby("model", sort=False)}


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    return patients_of(24, 8)


@pytest.fixture(scope="module")
def scored(patients: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    return score(patients, bags_of(patients))


def test_every_patient_has_a_score_by_every_baseline(
    patients: pd.DataFrame, scored: Mapping[str, pd.DataFrame]
) -> None:
    assert list(scored) == [EMBEDDINGS, BAG_SIZE, CENTRE, COVARIATES]
    for table in scored.values():
        assert list(table.index) == list(patients.index)
        assert table["score"].between(0, 1).all()
        assert list(table["score_kind"]) == ["oof"] * 24 + ["external"] * 8


def test_held_out_patient_teaches_its_fold_nothing(
    patients: pd.DataFrame, scored: Mapping[str, pd.DataFrame]
) -> None:
    """All that is known of a patient changes: nobody else of the patient's fold may notice."""
    bags, fold_of = bags_of(patients), folds_of(patients)
    other = PatientBag(torch.full((50, 3), 9.0, dtype=torch.float16), {})
    spoilt = patients.copy()
    spoilt.loc["P00", ["centre", "label", "age", "stage"]] = ["Rome", 1, 400.0, np.nan]

    changed = score(spoilt, PatientBags({**bags.bags, "P00": other}, {}, 3, "digest"))

    mates = fold_of.index[(fold_of == fold_of["P00"]) & (fold_of.index != "P00")]
    taught = fold_of.index[fold_of != fold_of["P00"]]
    for name, table in scored.items():
        before, after = table["score"], changed[name]["score"]
        assert before[mates].equals(after[mates]), name
        assert not np.isclose(before[taught], after[taught]).all(), name


def test_external_patient_teaches_nobody_anything(
    patients: pd.DataFrame, scored: Mapping[str, pd.DataFrame]
) -> None:
    bags = bags_of(patients)
    other = PatientBag(torch.full((50, 3), 9.0, dtype=torch.float16), {})
    spoilt = patients.copy()
    spoilt.loc["P31", ["centre", "label", "age", "stage"]] = ["Lund", 0, 400.0, np.nan]
    changed = score(spoilt, PatientBags({**bags.bags, "P31": other}, {}, 3, "digest"))
    for name, table in scored.items():
        assert table["score"].drop("P31").equals(changed[name]["score"].drop("P31")), name


@pytest.mark.parametrize(
    ("given", "finder"), [({"shift": 1.0}, EMBEDDINGS), ({"growth": 8}, BAG_SIZE)]
)
def test_baseline_finds_what_it_looks_at(
    patients: pd.DataFrame, given: dict[str, float], finder: str
) -> None:
    scored = score(patients, bags_of(patients, **given))
    for split in ("development", "external"):
        table = scored[finder][scored[finder]["split"] == split]
        assert auc_delong(table["score"], table["label"]).value > 0.9


def test_covariates_find_what_is_missing_for_a_reason(patients: pd.DataFrame) -> None:
    known = patients.assign(age=np.where(patients["label"] == 1, np.nan, 40.0), stage=1.0)
    table = score(known, bags_of(known))[COVARIATES]
    assert auc_delong(table["score"], table["label"]).value == 1.0


def test_score_out_of_fold_is_the_mean_over_repeats(patients: pd.DataFrame) -> None:
    _, *drawing_nothing = baselines_of(patients, bags_of(patients), ["age", "stage"])
    dealt = (folds_of(patients), folds_of(patients, 8))
    once, again, both = (
        logit(baseline_scores(patients, drawing_nothing, folds, 0)["score"].to_numpy())
        for folds in (dealt[:1], dealt[1:], dealt)
    )
    assert not np.allclose(once, again)
    assert both == pytest.approx((once + again) / 2, abs=1e-5)


def test_what_does_not_vary_ranks_nobody(patients: pd.DataFrame) -> None:
    same = patients.assign(centre="Lund", age=np.nan, stage=2.0)
    bag = PatientBag(torch.ones(5, 3), {})
    scored = score(same, PatientBags(dict.fromkeys(same.index, bag), {}, 3, "digest"))
    for table in scored.values():
        assert (table["score"] == 0.5).all()


def test_same_seed_gives_the_same_scores(
    patients: pd.DataFrame, scored: Mapping[str, pd.DataFrame]
) -> None:
    again = score(patients, bags_of(patients))
    assert all(scored[name].equals(again[name]) for name in scored)


def test_columns_of_an_endpoint_beside_the_label_change_nothing(
    patients: pd.DataFrame, scored: Mapping[str, pd.DataFrame]
) -> None:
    followed = score(patients.assign(time=9.0, event=1.0), bags_of(patients))
    assert all(scored[name].equals(followed[name]) for name in scored)


def test_labels_that_mean_nothing_are_not_found(patients: pd.DataFrame) -> None:
    """One AUC of 12 against 12 has a standard deviation of 0.12 by chance, the mean of 6 0.05.

    Stratified folds pull a chance model below one half; three deviations either way.
    """
    known = patients[patients["split"] == "development"]
    embeddings, *_ = baselines_of(known, bags_of(patients), [])
    rng = np.random.default_rng(4)
    aucs = []
    for _ in range(6):
        drawn = known.assign(label=rng.permutation(known["label"]))
        table = baseline_scores(drawn, [embeddings], [folds_of(patients)], 0)
        aucs.append(auc_delong(table["score"], table["label"]).value)
    assert 0.35 < np.mean(aucs) < 0.65


def test_centre_is_its_prevalence_with_classes_weighing_the_same() -> None:
    """Weights 8/4 and 8/12: centre 0 has 1 and 3, centre 1 has 1 and 3 in the other class."""
    centres = np.array([0, 0, 0, 0, 1, 1, 1, 1.0])[:, None]
    labels = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    logits = fit_prevalence(centres, labels, np.array([[0.0], [1.0], [7.0]]), SEED)
    assert logits == pytest.approx([np.log(1.5 / 3.5), np.log(3.5 / 1.5), 0.0])


def test_unseen_centres_have_the_prevalence_of_all(scored: Mapping[str, pd.DataFrame]) -> None:
    table = scored[CENTRE]
    assert set(table.loc[table["centre"] == "Bern", "score"]) == {0.5}


def test_principal_axes_change_no_ridge_solution() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(5)
    inputs, others = rng.normal(size=(12, 30)) + 3, rng.normal(size=(4, 30)) + 3
    labels = np.array([0] * 11 + [1])  # nothing to choose by: the strongest penalty
    logits = fit_penalised_regression(inputs, labels, others, SEED)
    scaler = StandardScaler().fit(inputs)
    plain = LogisticRegression(C=1e-4, class_weight="balanced", tol=1e-9, max_iter=5000)
    plain.fit(scaler.transform(inputs), labels)
    assert logits == pytest.approx(plain.decision_function(scaler.transform(others)), abs=1e-6)


def test_an_input_that_no_training_patient_has_is_left_out() -> None:
    known = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan], [4.0, np.nan]])
    others = np.array([[2.5, np.nan], [2.5, 7.0]])
    logits = fit_regression(known, np.array([0, 0, 1, 1]), others, SEED)
    assert logits == pytest.approx([0, 0], abs=1e-3)


@pytest.mark.parametrize("instances", [1, 5, 9000])
def test_summary_is_mean_and_deviation_of_every_dimension(instances: int) -> None:
    bag = torch.from_numpy(np.random.default_rng(6).normal(5, 2, (instances, 3)).astype("float16"))
    expected = [*bag.double().mean(dim=0), *bag.double().std(dim=0, correction=0)]
    assert embedding_summary(bag) == pytest.approx(np.array(expected), abs=1e-6)


def test_development_patient_without_fold_is_refused(patients: pd.DataFrame) -> None:
    baseline = Baseline(BAG_SIZE, np.ones((len(patients), 1)), fit_regression)
    with pytest.raises(DataError, match='"P03" is in no fold'):
        baseline_scores(patients, [baseline], [folds_of(patients).drop("P03")], 0)
