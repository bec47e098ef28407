"""Search, early stopping, repeats, centres, classes and survival, all without a leak."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from cmil.bundle import ModelBundle, read_bundle
from cmil.patient_bags import PatientBag, PatientBags
from cmil.prediction import attribution_of, predict, predict_patient, prediction_row
from cmil.settings import MilSettings
from cmil.training.cross_validation import EpochDone, train
from cmil.training.fit_plan import planned_epochs
from cmil.validation.discrimination import auc_delong
from cohorts.endpoints import Endpoint
from cohorts.errors import DataError, SettingsError
from cohorts.manifest import Cohort

QUICK: Mapping[str, Any] = {
    "folds": 3,
    "epochs": 6,
    "hidden": 8,
    "attention_width": 4,
    "dropout": 0.0,
    "learning_rate": 0.02,
}
OS = Endpoint(time="months", event="died")
Run = Callable[..., ModelBundle]


def cohort_of(patients: int = 24, classes: int = 2) -> Cohort:
    """Patients of two centres; the label, the class and the hazard go together."""
    rng = np.random.default_rng(0)
    label = np.arange(patients) % classes
    table = pd.DataFrame(
        {
            "centre": np.where(np.arange(patients) < patients // 2, "Lund", "Oslo"),
            "split": "development",
            "label": label,
            "months": np.ceil(rng.exponential(60 * np.exp(-2.5 * label)) + 1),
            "died": (rng.random(patients) < 0.8).astype(float),
        },
        index=pd.Index([f"P{i:02d}" for i in range(patients)], name="patient_id"),
    )
    names = ("healthy", "AML", "ALL") if classes > 2 else ()
    return Cohort((), table, Path("cohort.csv"), names)


def bags_of(cohort: Cohort) -> PatientBags:
    """Noise; instances of a patient lie the further out the higher the label."""
    rng = np.random.default_rng(1)
    bags = {}
    for patient, label in cohort.patients["label"].items():
        rows = rng.normal(size=(5, 3))
        rows[:, 0] += 3 * label
        bags[str(patient)] = PatientBag(torch.tensor(rows, dtype=torch.float32), {})
    return PatientBags(bags, {}, 3, "0")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def trained(
        cohort: Cohort,
        bags: PatientBags | None = None,
        **changes: Any,
    ) -> ModelBundle:
        options = {"endpoint": changes.pop("columns", None)}
        if "on_epoch" in changes:
            options["on_epoch"] = changes.pop("on_epoch")
        settings = MilSettings.model_validate({**QUICK, **changes})
        bags = bags or bags_of(cohort)
        return train(cohort, bags, settings, tmp_path, label="label", seed=1, **options)

    return trained


def same(one: ModelBundle, other: ModelBundle, model: int) -> bool:
    ours, theirs = (bundle.models[model].state_dict() for bundle in (one, other))
    return all(
        ours[name].shape == theirs[name].shape and torch.equal(ours[name], theirs[name])
        for name in ours
    )


def test_held_out_patients_touch_neither_search_nor_stopping_of_their_fold(run: Run) -> None:
    """Two held-out patients of one centre exchange labels and get other bags; folds stay."""
    cohort = cohort_of()
    nested = {"search": {"hidden": [4, 8]}, "search_folds": 2, "patience": 2}
    before = run(cohort, **nested)
    assert before.facts.searched
    fold_of, patients = before.facts.fold_of, cohort.patients
    one, other = next(
        (a, b)
        for a, b in zip(patients.index, patients.index[1:], strict=False)
        if fold_of[a] == fold_of[b] and patients["centre"][a] == patients["centre"][b]
    )
    labels = patients["label"].copy()
    labels[[one, other]] = 1 - labels[[one, other]]
    bags = bags_of(cohort)
    spoilt = {p: PatientBag(bags.bags[p].instances * -3, {}) for p in (one, other)}

    after = run(
        replace(cohort, patients=patients.assign(label=labels)),
        replace(bags, bags={**bags.bags, **spoilt}, digest="1"),
        **nested,
    )

    assert after.facts.fold_of == fold_of
    assert same(before, after, fold_of[one])
    assert after.facts.searched[fold_of[one]] == before.facts.searched[fold_of[one]]
    assert not all(same(before, after, fold) for fold in range(3))


def test_permuted_labels_are_not_learnt_through_the_search(run: Run) -> None:
    """The mean of six AUCs of 12 against 12 has a standard error of 0.05 by chance."""
    rng = np.random.default_rng(0)
    cohort = cohort_of()
    reached = []
    for _ in range(6):
        labels = cohort.patients["label"].to_numpy()
        shuffled = replace(cohort, patients=cohort.patients.assign(label=rng.permutation(labels)))
        bundle = run(shuffled, bags_of(cohort), search={"epochs": [1, 6]}, search_folds=2)
        reached.append(bundle.facts.out_of_fold.auc)
    assert 0.5 - 3.5 * 0.05 < np.mean(reached) < 0.5 + 3.5 * 0.05


def test_search_takes_the_point_that_learns(run: Run, tmp_path: Path) -> None:
    bundle = run(cohort_of(), search={"learning_rate": [1e-9, 0.02]}, epochs=20)
    assert [point["learning_rate"] for point in bundle.facts.searched] == [0.02] * 3
    table = pd.read_csv(tmp_path / "search.csv")
    assert table.groupby("model")["chosen"].sum().tolist() == [1, 1, 1]
    assert (table[table["chosen"]]["discrimination"] > 0.7).all()


def test_bundle_of_models_of_different_width_is_read_back(run: Run, tmp_path: Path) -> None:
    bundle = run(cohort_of(), search={"hidden": [3, 8]}, search_folds=2)
    assert read_bundle(tmp_path).digest == bundle.digest


def test_progress_adds_up_to_what_was_planned(run: Run) -> None:
    told: list[EpochDone] = []
    changes = {"search": {"dropout": [0.0, 0.5]}, "search_folds": 2, "patience": 1}
    run(cohort_of(), on_epoch=told.append, **changes)
    planned = planned_epochs(MilSettings.model_validate({**QUICK, **changes}), 3)
    assert sum(event.steps for event in told) == planned == 3 * (6 + 2 * 2 * 6)


def test_repeats_score_a_patient_by_all_models_that_have_not_seen_it(run: Run) -> None:
    cohort = cohort_of()
    bags = bags_of(cohort)
    once, twice = run(cohort, bags), run(cohort, bags, repeats=2)
    assert len(twice.models) == 6
    assert twice.facts.fold_of == once.facts.fold_of
    assert all(same(once, twice, fold) for fold in range(3))
    (again,) = twice.facts.later_fold_of
    assert again != twice.facts.fold_of
    said = dict(predict(twice, cohort, bags))
    for patient, fold in twice.facts.fold_of.items():
        logits = [
            twice.models[number].score(bags.bags[patient].instances).logit
            for number in (fold, 3 + again[patient])
        ]
        assert said[patient].logit == pytest.approx(np.mean(logits))
    scores = [said[patient].logit for patient in cohort.patients.index]
    pooled = auc_delong(scores, cohort.patients["label"]).value
    assert twice.facts.out_of_fold.auc == pytest.approx(pooled)


def test_centre_is_scored_by_the_model_of_the_others(run: Run) -> None:
    cohort = cohort_of()
    bundle = run(cohort, hold_out="centres")
    centre = cohort.patients["centre"]
    assert dict(zip(centre, bundle.facts.fold_of.values(), strict=True)) == {
        "Lund": 0,
        "Oslo": 1,
    }
    lone = cohort.patients.copy()
    lone.loc[lone["centre"].eq("Oslo"), "label"] = 0
    with pytest.raises(DataError, match='label 1 are of centre "Lund"'):
        run(replace(cohort, patients=lone), hold_out="centres")


def test_centre_of_one_class_has_no_auc_of_its_own(run: Run) -> None:
    patients = cohort_of().patients.copy()
    patients["centre"] = ["Lund", "Lund", "Oslo", "Oslo"] * 5 + ["Bern"] * 4
    patients.loc[patients["centre"].eq("Bern"), "label"] = 0
    bundle = run(Cohort((), patients, Path("c")), hold_out="centres", epochs=1)
    assert [auc is None for auc in bundle.facts.out_of_fold.auc_of_folds] == [True, False, False]


def test_classes_have_a_score_each(run: Run, tmp_path: Path) -> None:
    cohort = cohort_of(30, classes=3)
    bags = bags_of(cohort)
    run(cohort, bags, task="classes", epochs=20)
    bundle = read_bundle(tmp_path)
    said = dict(predict(bundle, cohort, bags))
    rows = pd.DataFrame(
        [prediction_row(bundle, cohort, p, bags.bags[p], said[p]) for p in cohort.patients.index]
    )
    scores = rows[["score_healthy", "score_AML", "score_ALL"]]
    assert scores.sum(axis=1).to_numpy() == pytest.approx(1)
    assert (rows["score"] == rows["score_ALL"]).all()
    assert (rows["label"] == (cohort.patients["label"] == 2).astype(int).to_numpy()).all()
    assert (rows["class"] == rows["predicted_class"]).mean() > 0.6
    assert bundle.facts.out_of_fold.measure == "AUC of the last class"


@pytest.mark.parametrize("loss", ["cox", "discrete_hazard"])
def test_survival_is_a_probability_by_the_horizon(run: Run, loss: str, tmp_path: Path) -> None:
    cohort = cohort_of(40)
    bags = bags_of(cohort)
    asked = {"task": "survival", "endpoint": "OS", "survival_loss": loss, "horizon": 20}
    run(cohort, bags, columns=OS, bags_per_step=27, epochs=20, time_bins=3, **asked)
    bundle = read_bundle(tmp_path)
    assert bundle.facts.out_of_fold.measure == "concordance"
    assert bundle.facts.out_of_fold.auc > 0.6
    assert len(bundle.facts.time_bins) == (3 if loss == "discrete_hazard" else 0)
    said = dict(predict(bundle, cohort, bags))
    scores = np.array([said[patient].score for patient in cohort.patients.index])
    assert ((scores > 0) & (scores < 1)).all()
    order = np.argsort([said[patient].logit for patient in cohort.patients.index])
    assert (np.diff(scores[order]) >= 0).all()
    # As many events as foretold, about: censoring takes some from those that are seen.
    early = cohort.patients["months"].le(20) & cohort.patients["died"].eq(1)
    assert scores.mean() == pytest.approx(early.mean(), abs=0.2)
    assert bundle.facts.threshold == pytest.approx(np.median(scores))


@pytest.mark.parametrize("task", ["classes", "survival"])
def test_maps_follow_what_patients_are_ranked_by(run: Run, task: str, tmp_path: Path) -> None:
    """Of the last output alone they would not: by the horizon its interval counts for nothing."""
    cohort = cohort_of(40, classes=3 if task == "classes" else 2)
    drawn = np.random.default_rng(2)
    bags = PatientBags(
        {
            str(patient): PatientBag(torch.tensor(drawn.normal(label, 3, (40, 3))).float(), {})
            for patient, label in cohort.patients["label"].items()
        },
        {},
        3,
        "0",
    )
    asked = {"task": task, "aggregator": "mean", "epochs": 40}
    if task == "survival":
        hazard = {"survival_loss": "discrete_hazard", "time_bins": 4, "horizon": 6}
        asked |= {"endpoint": "OS", "columns": OS, **hazard}
    run(cohort, bags, **asked)
    bundle, patient = read_bundle(tmp_path), "P00"
    (number,) = bundle.facts.models_unaware_of(patient)
    model, head = bundle.models[number], bundle.facts.head_of(number)
    rows = bags.bags[patient].instances

    def rank(kept: torch.Tensor) -> float:
        return float(head.rank(model.score(kept).logits.astype(float)[None])[0])

    lost = [rank(rows) - rank(torch.cat([rows[:i], rows[i + 1 :]])) for i in range(len(rows))]
    found = predict_patient(bundle, patient, bags.bags[patient]).contributions
    assert found is not None
    follows = spearmanr(found, lost).statistic
    of_last_alone = spearmanr(model.score(rows).contributions[:, -1], lost).statistic
    assert follows > 0.99
    assert of_last_alone < follows
    attributed = attribution_of(bundle, (number,), patient, bags.bags[patient])
    assert spearmanr(attributed, lost).statistic > 0.9


@pytest.mark.parametrize("task", ["classes", "survival"])
def test_several_models_attribute_what_they_say_together(
    run: Run, task: str, tmp_path: Path
) -> None:
    """Of classes the rank of their mean logits: the mean of each one's own is another number."""
    asked = {"task": task, "aggregator": "trans_mil", "folds": 3, "epochs": 8}
    if task == "survival":
        asked |= {"endpoint": "OS", "columns": OS, "horizon": 6, "bags_per_step": 27}
    run(cohort_of(40, classes=3 if task == "classes" else 2), **asked)
    bundle = read_bundle(tmp_path)
    rows = torch.tensor(np.random.default_rng(3).normal(1, 3, (6, 3))).float()

    def says(kept: list[int]) -> float:
        return predict_patient(bundle, "new", PatientBag(rows[kept], {})).logit

    everyone = list(range(6))
    alone = np.array([says([i]) for i in everyone])
    without = np.array([says(everyone[:i] + everyone[i + 1 :]) for i in everyone])
    expected = (says(everyone) - without + (alone - alone.mean()) / 6) / 2
    found = predict_patient(bundle, "new", PatientBag(rows, {})).attribution
    np.testing.assert_allclose(found, expected, atol=1e-4)
    if task == "classes":
        each = [attribution_of(bundle, (n,), "new", PatientBag(rows, {})) for n in range(3)]
        assert np.abs(np.mean(each, axis=0) - expected).max() > 1e-3


def test_endpoint_that_teaches_nothing_is_refused_before_training(run: Run) -> None:
    cohort = cohort_of()
    asked = {"task": "survival", "endpoint": "OS", "horizon": 20}
    with pytest.raises(SettingsError, match=r'"OS" is not one of \[cohort.endpoints\]'):
        run(cohort, **asked)
    unknown = cohort.patients.copy()
    unknown.loc["P03", "months"] = np.nan
    with pytest.raises(DataError, match=r'"P03" .* has no "months" or "died"'):
        run(replace(cohort, patients=unknown), columns=OS, **asked)
    with pytest.raises(DataError, match="horizon 5000 months"):
        run(cohort, columns=OS, **{**asked, "horizon": 5000})


def test_search_with_too_few_patients_says_so(run: Run) -> None:
    with pytest.raises(DataError, match="model 1 are too few for search_folds = 8"):
        run(cohort_of(12), search={"dropout": [0.1, 0.2]}, search_folds=8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search": {"folds": [2]}}, "search.folds is not a setting that can be searched"),
        ({"search": {"dropout": [2]}}, "search.dropout: 2: Input should be less than 1"),
        ({"search": {"dropout": []}}, "search.dropout has no value"),
        ({"task": "survival"}, "needs endpoint"),
        ({"hold_out": "centres", "repeats": 2}, "set repeats to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MilSettings.model_validate(changes)
