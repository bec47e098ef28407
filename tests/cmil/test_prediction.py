"""Who may speak of whom, which bags a model serves, and the table of predictions."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

from cmil.aggregators import BagModel, BagScore
from cmil.bundle import ModelBundle
from cmil.patient_bags import PatientBags
from cmil.prediction import (
    COLUMNS,
    PatientPrediction,
    check_encoding,
    predict,
    predict_patient,
    prediction_row,
    read_predictions,
)
from cohorts.errors import DataError
from cohorts.manifest import Cohort

Trained = tuple[ModelBundle, Path]


@pytest.fixture
def said(
    trained: Trained, toy: tuple[Cohort, Path], toy_bags: PatientBags
) -> dict[str, PatientPrediction]:
    return dict(predict(trained[0], toy[0], toy_bags))


def resplit(cohort: Cohort, patient: str, split: str) -> Cohort:
    patients = cohort.patients.copy()
    patients.loc[patient, "split"] = split
    return replace(cohort, patients=patients)


def test_external_score_is_the_calibrated_mean_logit_of_all_folds(
    trained: Trained, toy_bags: PatientBags, said: dict[str, PatientPrediction]
) -> None:
    bundle = trained[0]
    results = [model.score(toy_bags.bags["P19"].instances) for model in bundle.models]
    logits = [result.logit for result in results]
    calibrate = bundle.facts.calibration
    assert said["P19"].logit == pytest.approx(np.mean(logits))
    assert said["P19"].score == pytest.approx(
        1 / (1 + math.exp(-(calibrate.slope * np.mean(logits) + calibrate.intercept)))
    )
    each = calibrate(logits)
    assert said["P19"].score_sd == pytest.approx(math.sqrt(sum((each - each.mean()) ** 2) / 2))
    np.testing.assert_allclose(
        said["P19"].attention, sum(r.attention[:, 0] for r in results) / 3, rtol=1e-6
    )
    np.testing.assert_allclose(
        said["P19"].contributions, sum(r.contributions[:, 0] for r in results) / 3, rtol=1e-6
    )


def test_development_patient_is_scored_by_the_one_model_that_has_not_seen_it(
    trained: Trained, toy_bags: PatientBags, said: dict[str, PatientPrediction]
) -> None:
    bundle = trained[0]
    for patient, fold in bundle.facts.fold_of.items():
        alone = bundle.models[fold].score(toy_bags.bags[patient].instances)
        assert said[patient].logit == alone.logit
        assert math.isnan(said[patient].score_sd)
        assert np.array_equal(said[patient].attention, alone.attention[:, 0])


def test_everyone_is_scored_in_the_cohorts_order(
    toy: tuple[Cohort, Path], said: dict[str, PatientPrediction]
) -> None:
    assert list(said) == list(toy[0].patients.index)


def test_planted_instance_contributes_most_in_external_positives(
    toy_bags: PatientBags, said: dict[str, PatientPrediction]
) -> None:
    for patient in ("P19", "P21", "P23"):
        planted = int(toy_bags.bags[patient].instances[:, 0].argmax())
        assert said[patient].contributions.argmax() == planted


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("encoder", "timm:vit_base_patch16_224"),
        ("encoder_digest", "f" * 64),
        ("mpp_used", 0.25),
        ("patch_px", 256),
    ],
)
def test_bags_of_another_preprocessing_are_refused(
    trained: Trained, toy_bags: PatientBags, name: str, other: str | float
) -> None:
    mine = toy_bags.encoding[name]
    foreign = replace(toy_bags, encoding={**toy_bags.encoding, name: other})
    with pytest.raises(DataError, match=f"with {name} {mine}, these have {other}"):
        check_encoding(trained[0], foreign)


def test_bags_that_state_less_or_more_are_refused(trained: Trained, toy_bags: PatientBags) -> None:
    silent = replace(toy_bags, encoding={})
    with pytest.raises(DataError, match="with encoder timm:resnet18, these have None"):
        check_encoding(trained[0], silent)
    facts = trained[0].facts.model_copy(update={"encoding": {}})
    with pytest.raises(DataError, match="with encoder None, these have timm:resnet18"):
        check_encoding(replace(trained[0], facts=facts), toy_bags)


def test_bags_of_another_width_are_refused(trained: Trained, toy_bags: PatientBags) -> None:
    with pytest.raises(DataError, match="takes vectors of 4 numbers, the bags hold 5"):
        check_encoding(trained[0], replace(toy_bags, dimension=5))


def test_prediction_checks_the_bags(
    trained: Trained, toy: tuple[Cohort, Path], toy_bags: PatientBags
) -> None:
    with pytest.raises(DataError, match="takes vectors"):
        list(predict(trained[0], toy[0], replace(toy_bags, dimension=5)))


def test_external_patient_who_was_trained_on_is_refused(
    trained: Trained, toy: tuple[Cohort, Path], toy_bags: PatientBags
) -> None:
    with pytest.raises(DataError, match='external patient "P03" is among'):
        next(predict(trained[0], resplit(toy[0], "P03", "external"), toy_bags))


def test_development_patient_without_a_fold_is_refused(
    trained: Trained, toy: tuple[Cohort, Path], toy_bags: PatientBags
) -> None:
    with pytest.raises(DataError, match='development patient "P20" has no out-of-fold model'):
        next(predict(trained[0], resplit(toy[0], "P20", "development"), toy_bags))


def test_row_of_the_table(
    trained: Trained,
    toy: tuple[Cohort, Path],
    toy_bags: PatientBags,
    said: dict[str, PatientPrediction],
) -> None:
    bundle = trained[0]
    rows = {
        patient: prediction_row(bundle, toy[0], patient, toy_bags.bags[patient], said[patient])
        for patient in ("P01", "P18")
    }
    assert tuple(rows["P01"]) == COLUMNS
    assert (rows["P01"]["split"], rows["P01"]["score_kind"]) == ("development", "oof")
    assert (rows["P18"]["split"], rows["P18"]["score_kind"]) == ("external", "external")
    assert (rows["P01"]["label"], rows["P18"]["label"]) == (1, 0)
    assert rows["P01"]["n_patches"] == 5 + 6
    assert rows["P01"]["model_digest"] == bundle.digest
    at = replace(said["P01"], score=bundle.facts.threshold)
    below = replace(said["P01"], score=math.nextafter(bundle.facts.threshold, 0))
    decided = [
        prediction_row(bundle, toy[0], "P01", toy_bags.bags["P01"], each)["decision"]
        for each in (at, below)
    ]
    assert decided == [1, 0]


def test_patient_unknown_to_the_bundle_is_scored_by_all(
    trained: Trained, toy_bags: PatientBags
) -> None:
    bag = toy_bags.bags["P00"]
    renamed = predict_patient(trained[0], "someone else", bag)
    assert renamed.logit != predict_patient(trained[0], "P00", bag).logit
    assert renamed.score_sd > 0


class Silent(BagModel):
    """A model that gives neither attention nor contributions."""

    def score(self, instances: Tensor) -> BagScore:
        return BagScore(instances[:, 0].double().mean().reshape(1).numpy(), None, None)


def test_model_that_says_nothing_of_its_instances_gets_an_attribution(
    trained: Trained, toy_bags: PatientBags, said: dict[str, PatientPrediction]
) -> None:
    assert said["P19"].attribution is None
    silent = replace(trained[0], models=[Silent()] * 3)
    bag = toy_bags.bags["P19"]
    found = predict_patient(silent, "P19", bag)
    assert found.attention is None
    assert found.contributions is None
    assert found.attribution.argmax() == int(bag.instances[:, 0].argmax())


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "patient_id": ["007", "NA", "1e5"],
            "centre": ["NA", "Bern", "Bern"],
            "split": ["development", "external", "external"],
            "score_kind": ["oof", "external", "external"],
            "score": rng.random(3),
            "logit": rng.normal(size=3),
            "score_sd": [math.nan, 0.1, 0.2],
            "label": [0, 1, 1],
            "decision": [0, 1, 0],
            "n_patches": [10, 20, 30],
            "model_digest": ["00", "00", "00"],
        }
    )


@pytest.fixture
def reread(tmp_path: Path) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def write_and_read(table: pd.DataFrame) -> pd.DataFrame:
        table.to_csv(tmp_path / "predictions.csv", index=False)
        return read_predictions(tmp_path / "predictions.csv")

    return write_and_read


Reread = Callable[[pd.DataFrame], pd.DataFrame]


def test_table_is_read_as_it_was_written(table: pd.DataFrame, reread: Reread) -> None:
    pd.testing.assert_frame_equal(reread(table), table, check_exact=True)


def test_scores_are_read_to_the_last_digit(table: pd.DataFrame, reread: Reread) -> None:
    scores = np.random.default_rng(1).random(500)
    ids = [f"P{i}" for i in range(500)]
    many = table.iloc[[1] * 500].assign(patient_id=ids, score=scores)
    assert np.array_equal(reread(many)["score"], scores)


def test_unknown_label_is_missing(table: pd.DataFrame, reread: Reread) -> None:
    assert reread(table.assign(label=["", 1, 0]))["label"].isna().tolist() == [True, False, False]


def test_missing_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not exist; run cmil predict"):
        read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize("column", COLUMNS)
def test_absent_column_is_named(table: pd.DataFrame, reread: Reread, column: str) -> None:
    with pytest.raises(DataError, match=f'no column "{column}"'):
        reread(table.drop(columns=column))


def test_patient_who_occurs_twice_is_refused(table: pd.DataFrame, reread: Reread) -> None:
    with pytest.raises(DataError, match='patient "007" occurs twice'):
        reread(pd.concat([table, table.iloc[:1]]))


@pytest.mark.parametrize("score", [-0.01, 1.01, math.nan, math.inf, "high"])
def test_score_that_is_no_probability_is_refused(
    table: pd.DataFrame, reread: Reread, score: object
) -> None:
    spoilt = table.astype({"score": object})
    spoilt.loc[1, "score"] = score
    with pytest.raises(DataError, match='score of "NA" is not a number in'):
        reread(spoilt)


@pytest.mark.parametrize(("column", "value"), [("split", "Extern"), ("split", ""), ("centre", "")])
def test_patient_who_would_fall_out_of_every_cohort_is_refused(
    table: pd.DataFrame, reread: Reread, column: str, value: str
) -> None:
    table.loc[2, column] = value
    with pytest.raises(DataError, match='"1e5" needs a centre and a split'):
        reread(table)
