"""Cross-validation lets no fold see its own patients, and survives a kill."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cmil.aggregators import Aggregator
from cmil.bundle import ModelBundle, read_bundle
from cmil.calibration import fit_platt
from cmil.patient_bags import PatientBags
from cmil.settings import MilSettings
from cmil.training.cross_validation import EpochDone, train
from cmil.validation import cohort_auc
from cmil.validation.discrimination import auc_delong
from cmil.validation.thresholds import youden_threshold
from cohorts.errors import DataError
from cohorts.manifest import Cohort

Trained = tuple[ModelBundle, Path]


def same_weights(one: Aggregator, other: Aggregator) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def logit_of(model: Aggregator, bags: PatientBags, patient: str) -> float:
    return model.score(bags.bags[patient].instances).logit


def own_fold_logits(bundle: ModelBundle, bags: PatientBags) -> "pd.Series[float]":
    return pd.Series(
        {p: logit_of(bundle.models[fold], bags, p) for p, fold in bundle.facts.fold_of.items()}
    )


def relabelled(cohort: Cohort, labels: "pd.Series[int]") -> Cohort:
    return replace(cohort, patients=cohort.patients.assign(label=labels))


@pytest.fixture(scope="module")
def development(toy: tuple[Cohort, Path]) -> Cohort:
    return toy[0].development


@pytest.fixture
def train_toy(
    development: Cohort, toy_bags: PatientBags, quick: MilSettings, tmp_path: Path
) -> Callable[..., ModelBundle]:
    """Trains as the `trained` fixture did, but for what the test changes."""

    def run(
        cohort: Cohort = development,
        bags: PatientBags = toy_bags,
        settings: MilSettings = quick,
        seed: int = 1,
        **options,
    ) -> ModelBundle:
        return train(cohort, bags, settings, tmp_path, label="metastasis", seed=seed, **options)

    return run


def test_out_of_fold_results_are_those_of_the_model_that_has_not_seen_the_patient(
    trained: Trained, development: Cohort, toy_bags: PatientBags
) -> None:
    facts = trained[0].facts
    logits = own_fold_logits(trained[0], toy_bags)
    labels = development.patients["label"]
    assert list(logits.index) == list(labels.index)
    reported = facts.out_of_fold
    assert reported.auc == auc_delong(logits, labels).value
    patients = development.patients.assign(score=logits).reset_index(names="patient_id")
    auc = cohort_auc(patients, np.random.SeedSequence(facts.seed))
    assert (reported.auc_ci_low, reported.auc_ci_high) == (auc.ci_low, auc.ci_high)
    assert (reported.patients, reported.positives) == (18, 9)
    fold_of = pd.Series(facts.fold_of)
    assert reported.auc_of_folds == tuple(
        auc_delong(logits[fold_of == fold], labels[fold_of == fold]).value for fold in range(3)
    )
    assert facts.calibration == fit_platt(logits, labels)
    assert facts.threshold == youden_threshold(facts.calibration(logits), labels)
    # Scored by the models that did see them, the patients would have other logits.
    seen = [logit_of(trained[0].models[(f + 1) % 3], toy_bags, p) for p, f in fold_of.items()]
    assert not np.isclose(seen, logits).any()


def test_planted_instance_is_found(trained: Trained) -> None:
    assert trained[0].facts.out_of_fold.auc > 0.85


def test_bag_of_a_held_out_patient_teaches_its_fold_nothing(
    trained: Trained, train_toy: Callable[..., ModelBundle], toy_bags: PatientBags
) -> None:
    patient, fold = next(iter(trained[0].facts.fold_of.items()))
    bag = toy_bags.bags[patient]
    other = replace(bag, instances=bag.instances.flip(0) * 3 + 1)

    spoilt = train_toy(bags=replace(toy_bags, bags={**toy_bags.bags, patient: other}))

    assert spoilt.facts.fold_of == trained[0].facts.fold_of
    for k in range(3):
        assert same_weights(spoilt.models[k], trained[0].models[k]) == (k == fold)


def test_label_of_a_held_out_patient_teaches_its_fold_nothing(
    trained: Trained, train_toy: Callable[..., ModelBundle], development: Cohort
) -> None:
    """The folds are stratified by label, so a single flip would deal everyone anew.

    Two neighbours of the manifest with different labels take each other's place in their strata:
    where both are of one fold, exchanging their labels leaves all folds as they are.
    """
    fold_of, patients = trained[0].facts.fold_of, development.patients
    one, other = next(
        (a, b)
        for a, b in zip(patients.index, patients.index[1:], strict=False)
        if fold_of[a] == fold_of[b] and patients["centre"][a] == patients["centre"][b]
    )
    labels = patients["label"].copy()
    labels[[one, other]] = 1 - labels[[one, other]]
    assert labels[one] != labels[other]

    swapped = train_toy(relabelled(development, labels))

    assert swapped.facts.fold_of == fold_of
    for k in range(3):
        assert same_weights(swapped.models[k], trained[0].models[k]) == (k == fold_of[one])


def test_labels_that_mean_nothing_are_not_learnt_out_of_fold(
    train_toy: Callable[..., ModelBundle], development: Cohort, toy_bags: PatientBags
) -> None:
    """One AUC of 9 against 9 has a standard deviation of sqrt(19 / (12 * 81)) = 0.14 by chance.

    The mean of six, were they independent, has 0.057; they share their bags, and stratified
    folds pull the pooled AUC of a chance model somewhat below one half. The interval is three and
    a half times as wide, and still far from what the same models reach on patients they saw.
    """
    rng = np.random.default_rng(0)
    held_out, seen = [], []
    for _ in range(6):
        labels = development.patients["label"].copy()
        labels[:] = rng.permutation(labels)
        bundle = train_toy(relabelled(development, labels))
        held_out.append(bundle.facts.out_of_fold.auc)
        for fold, model in enumerate(bundle.models):
            known = [p for p, f in bundle.facts.fold_of.items() if f != fold]
            logits = [logit_of(model, toy_bags, patient) for patient in known]
            seen.append(auc_delong(logits, labels[known]).value)
    assert 0.3 < np.mean(held_out) < 0.7
    assert np.mean(seen) > 0.8


def test_killed_training_resumes_with_the_finished_folds(
    trained: Trained, train_toy: Callable[..., ModelBundle], quick: MilSettings, tmp_path: Path
) -> None:
    def kill(event: EpochDone) -> None:
        if event.fold == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_toy(on_epoch=kill)
    assert not (tmp_path / "model.json").exists()
    told: list[EpochDone] = []

    resumed = train_toy(on_epoch=told.append)

    last = quick.epochs - 1
    assert told[:2] == [EpochDone(fold, last, None, None, quick.epochs) for fold in (0, 1)]
    assert [(event.fold, event.epoch) for event in told[2:-1]] == [(2, e) for e in range(last + 1)]
    assert all(event.loss is not None and event.steps == 1 for event in told[2:-1])
    assert told[-1] == EpochDone(2, last, None, None, 0)
    assert resumed.digest == trained[0].digest
    assert not (tmp_path / "folds").exists()


def test_folds_of_other_settings_are_not_resumed(
    train_toy: Callable[..., ModelBundle], quick: MilSettings
) -> None:
    def kill(event: EpochDone) -> None:
        if event.fold == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_toy(on_epoch=kill)
    told: list[EpochDone] = []
    train_toy(settings=quick.model_copy(update={"epochs": 2}), on_epoch=told.append)
    assert all(event.loss is not None for event in told if event.steps)


def test_bundle_on_disk_is_the_one_returned(trained: Trained) -> None:
    assert read_bundle(trained[1]).digest == trained[0].digest


def test_seed_decides_the_model_and_the_folds(
    trained: Trained, train_toy: Callable[..., ModelBundle], quick: MilSettings
) -> None:
    short = quick.model_copy(update={"epochs": 1})
    other = train_toy(settings=short, seed=2)
    assert other.facts.fold_of != trained[0].facts.fold_of
    # How long the training lasts does not change who is in which fold.
    assert train_toy(settings=short).facts.fold_of == trained[0].facts.fold_of


def test_external_patient_is_refused(
    train_toy: Callable[..., ModelBundle], toy: tuple[Cohort, Path]
) -> None:
    with pytest.raises(DataError, match='"P18" is external'):
        train_toy(toy[0])


def test_one_class_is_refused(train_toy: Callable[..., ModelBundle], development: Cohort) -> None:
    with pytest.raises(DataError, match="both labels"):
        train_toy(relabelled(development, development.patients["label"] * 0))


def test_fewer_patients_of_a_class_than_folds_are_refused(
    train_toy: Callable[..., ModelBundle], development: Cohort
) -> None:
    kept = [
        p for p in development.patients.index if p not in {f"P{i:02d}" for i in range(5, 18, 2)}
    ]
    with pytest.raises(DataError, match="label 1 has 2 development patients for 3 folds"):
        train_toy(development.restricted_to(kept))


def test_diverged_training_is_named(
    toy: tuple[Cohort, Path], toy_bags: PatientBags, quick: MilSettings, tmp_path: Path
) -> None:
    wild = quick.model_copy(update={"optimiser": "sgd", "learning_rate": 1e6, "epochs": 4})
    with pytest.raises(DataError, match=r"training of model 1 diverged.*lower learning_rate"):
        train(toy[0].development, toy_bags, wild, tmp_path, label="metastasis", seed=1)


def test_search_passes_over_what_diverges(
    toy: tuple[Cohort, Path], toy_bags: PatientBags, quick: MilSettings, tmp_path: Path
) -> None:
    tried = {"learning_rate": (1e6, 0.01)}
    settings = quick.model_copy(
        update={"optimiser": "sgd", "epochs": 4, "search": tried, "search_folds": 2}
    )
    bundle = train(toy[0].development, toy_bags, settings, tmp_path, label="metastasis", seed=1)
    assert [point["learning_rate"] for point in bundle.facts.searched] == [0.01] * 3
