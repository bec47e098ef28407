"""Of classes and of an endpoint, too, baselines learn from training patients alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch

from cmil.comparison.baseline_fits import fit_prevalence, fit_regression
from cmil.comparison.baselines import (
    BAG_SIZE,
    CENTRE,
    COVARIATES,
    EMBEDDINGS,
    baseline_scores,
    baselines_of,
)
from cmil.concordance import concordance
from cmil.patient_bags import PatientBag, PatientBags

CLASSES = ("none", "few", "many")
TASKS = ("classes", "endpoint")
SEED = np.random.SeedSequence(0)


def patients_of(task: str) -> pd.DataFrame:
    """36 development and 12 external patients, who are of kind 0, 1, 2 in turn."""
    rng = np.random.default_rng(2)
    kind = np.arange(48) % 3
    known = pd.DataFrame(
        {
            "centre": np.where(np.arange(48) < 36, np.array(["Lund", "Oslo"])[kind // 2], "Bern"),
            "split": ["development"] * 36 + ["external"] * 12,
            "age": np.where(rng.random(48) < 0.2, np.nan, 40 + 10 * kind + rng.normal(0, 4, 48)),
        },
        index=pd.Index([f"P{i:02d}" for i in range(48)], name="patient_id"),
    )
    if task == "classes":
        return known.assign(label=kind)
    time = np.ceil(rng.exponential(90 / 8.0**kind) * 4) / 4 + 0.25
    return known.assign(time=time, event=(rng.random(48) < 0.8).astype(float))


def bags_of(patients: pd.DataFrame) -> PatientBags:
    """A patient of a higher kind has more patches, which lie further out."""
    rng = np.random.default_rng(3)
    bags = {}
    for number, patient in enumerate(patients.index):
        kind = number % 3
        rows = rng.normal(1.5 * kind, 1, (int(rng.integers(4, 7)) + 4 * kind, 3))
        bags[str(patient)] = PatientBag(torch.from_numpy(rows.astype(np.float16)), {})
    return PatientBags(bags, {}, 3, "digest")


def score(patients: pd.DataFrame, bags: PatientBags, seed: int = 0) -> Mapping[str, pd.DataFrame]:
    development = patients.index[patients["split"] == "development"]
    fold_of = pd.Series(np.arange(36) // 3 % 3, development)
    classes = CLASSES if "label" in patients else ()
    known = baselines_of(patients, bags, ["age"])
    table = baseline_scores(patients, known, [fold_of], seed, classes)
    return {str(n): t.set_index("patient_id") for n, t in table.groupby("model", sort=False)}


def said(table: pd.DataFrame) -> pd.DataFrame:
    return table.filter(regex="^(score_(?!kind)|risk)")


@pytest.mark.parametrize("task", TASKS)
def test_who_is_held_out_or_external_teaches_nothing(task: str) -> None:
    """All that is known of two patients changes: of their folds, nobody else may notice."""
    patients = patients_of(task)
    bags = bags_of(patients)
    before = score(patients, bags)
    spoilt = patients.copy()
    spoilt.loc["P00", ["centre", "age"]] = spoilt.loc["P40", ["centre", "age"]] = ["Rome", 400.0]
    learnt = {"label": 2} if task == "classes" else {"time": 500.0, "event": 1.0}
    spoilt.loc[["P00", "P40"], list(learnt)] = list(learnt.values())
    other = PatientBag(torch.full((50, 3), 9.0, dtype=torch.float16), {})
    after = score(spoilt, PatientBags({**bags.bags, "P00": other, "P40": other}, {}, 3, "digest"))
    mates = [f"P{i:02d}" for i in range(1, 36) if i // 3 % 3 == 0]
    taught = [f"P{i:02d}" for i in range(36) if i // 3 % 3 != 0]
    assert list(before) == [EMBEDDINGS, BAG_SIZE, CENTRE, COVARIATES]
    for name, table in before.items():
        assert said(table).loc[mates].equals(said(after[name]).loc[mates]), name
        assert not np.allclose(said(table).loc[taught], said(after[name]).loc[taught]), name


@pytest.mark.parametrize("task", TASKS)
def test_external_patients_teach_nobody(task: str) -> None:
    patients = patients_of(task)
    bags = bags_of(patients)
    inside = patients[patients["split"] == "development"]
    alone, together = score(inside, bags), score(patients, bags)
    for name, table in alone.items():
        assert said(table).equals(said(together[name]).loc[inside.index]), name


@pytest.mark.parametrize("task", TASKS)
def test_baselines_find_what_they_look_at_and_not_what_is_permuted(task: str) -> None:
    patients = patients_of(task)
    bags = bags_of(patients)
    learnt = ["label"] if task == "classes" else ["time", "event"]
    rng = np.random.default_rng(4)
    drawn = patients.copy()
    drawn.iloc[:36, [drawn.columns.get_loc(n) for n in learnt]] = patients.iloc[:36][
        learnt
    ].to_numpy()[rng.permutation(36)]

    def right(table: pd.DataFrame) -> float:
        inside = table[table["split"] == "development"]
        if task == "classes":
            return float((said(inside).to_numpy().argmax(axis=1) == inside["label"]).mean())
        return concordance(inside["risk"], inside["time"], inside["event"]).value

    chance = 1 / 3 if task == "classes" else 0.5
    found, lost = score(patients, bags), score(drawn, bags)
    for name in (EMBEDDINGS, BAG_SIZE, COVARIATES):
        assert right(found[name]) > chance + 0.2, name
        assert right(lost[name]) < chance + 0.15, name


@pytest.mark.parametrize("task", TASKS)
def test_same_seed_gives_the_same_scores(task: str) -> None:
    patients = patients_of(task)
    bags = bags_of(patients)
    assert score(patients, bags)[EMBEDDINGS].equals(score(patients, bags)[EMBEDDINGS])


def test_unseen_centres_score_alike() -> None:
    for task in TASKS:
        scored = score(patients_of(task), bags_of(patients_of(task)))[CENTRE]
        unseen = said(scored[scored["split"] == "external"]).to_numpy()
        assert (unseen == (0.0 if task == "endpoint" else 1 / 3)).all()


def test_centre_is_the_share_of_each_class_with_classes_weighing_the_same() -> None:
    """Weights 8/12, 8/6 and 8/6: centre 0 has 2, 0 and 4/3."""
    centres = np.array([0, 0, 0, 1, 0, 1, 1, 1.0])[:, None]
    classes = np.array([0, 0, 0, 0, 2, 1, 1, 2])
    logits = fit_prevalence(centres, classes, np.array([[0.0]]), SEED)
    shares = np.array([2 + 0.5, 0.5, 4 / 3 + 0.5])
    assert logits - logits.mean() == pytest.approx((np.log(shares) - np.log(shares).mean())[None])


def test_an_input_that_no_training_patient_has_moves_no_risk() -> None:
    known = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan], [4.0, np.nan]])
    outcome = np.array([[4.0, 1.0], [3.0, 1.0], [2.0, 1.0], [1.0, 0.0]])
    risks = fit_regression(known, outcome, np.array([[2.5, np.nan], [2.5, 7.0]]), SEED)
    assert risks == pytest.approx([0, 0], abs=1e-9)
