"""A study's comparison: same folds, files that stay true, and nothing of the model's changes."""

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from cmil.bundle import read_bundle
from cmil.comparison.baselines import CENTRE
from cmil.comparison_stage import compare_models, read_comparison
from cmil.settings import MilSettings
from cmil.study import Study, predict_scores, train_model
from cmil.study_settings import StudySettings
from cohorts.errors import DataError
from cohorts.files import digest_of_file
from cohorts.manifest import Cohort
from cohorts.settings import CohortSettings
from feature_extraction.settings import ExtractionSettings


def study_of(out: Path, toy: tuple[Cohort, Path], mil: MilSettings, seed: int = 1) -> Study:
    settings = StudySettings(
        seed=seed,
        cohort=CohortSettings(manifest=toy[0].manifest, label="label"),
        extraction=ExtractionSettings(encoder="stain-filters", mpp="native"),
        mil=mil,
    )
    return Study.at(out, settings, bags=toy[1])


@pytest.fixture(scope="module")
def few(quick: MilSettings) -> MilSettings:
    return quick.model_copy(update={"epochs": 3})


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, toy: tuple[Cohort, Path], few: MilSettings
) -> Study:
    mil = few.model_copy(update={"compare": ("mean",)})
    study = study_of(tmp_path_factory.mktemp("compared"), toy, mil)
    train_model(study)
    predict_scores(study)
    compare_models(study)
    return study


def test_others_are_trained_on_the_folds_of_the_model(compared: Study) -> None:
    ours, theirs = read_bundle(compared.model), read_bundle(compared.out / "models/mean/model")
    assert theirs.facts.mil.aggregator == "mean"
    assert theirs.facts.fold_of == ours.facts.fold_of
    assert theirs.facts.seed == ours.facts.seed
    predictions = pd.read_csv(compared.out / "models/mean/predictions.csv")
    assert set(predictions["model_digest"]) == {theirs.digest}


def test_table_holds_model_others_and_baselines(compared: Study) -> None:
    table = read_comparison(compared.out / "comparison")
    of_development = table[table["cohort"] == "development (out-of-fold)"]
    assert list(of_development["role"]) == [
        "model",
        "aggregator",
        "baseline",
        "baseline",
        "baseline",
    ]
    assert list(table["cohort"].unique()) == ["development (out-of-fold)", "Bern"]
    ours = read_bundle(compared.model)
    assert of_development["auc"].iloc[0] == pytest.approx(ours.facts.out_of_fold.auc)
    assert of_development["model_digest"].iloc[0] == ours.digest
    scores = pd.read_csv(compared.out / "comparison" / "baselines.csv")
    unseen = scores[(scores["model"] == CENTRE) & (scores["split"] == "external")]
    assert set(unseen["score"]) == {0.5}


def test_the_picture_names_every_model(compared: Study) -> None:
    drawn = ElementTree.parse(compared.out / "comparison" / "comparison.svg")  # noqa: S314 our own
    words = {"".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    table = read_comparison(compared.out / "comparison")
    assert set(table["model"]) | {"Research use only"} <= words


def test_compared_again_nothing_is_done_again(
    compared: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in compared.out.rglob("*") if p.is_file()}
    table = compare_models(compared)
    assert capsys.readouterr().err.count("up to date") == 3
    assert {p: p.stat().st_mtime_ns for p in before} == before
    pd.testing.assert_frame_equal(table, read_comparison(compared.out / "comparison"))


def test_what_it_is_compared_with_changes_nothing_in_the_model(
    compared: Study, toy: tuple[Cohort, Path], few: MilSettings, tmp_path: Path
) -> None:
    alone = study_of(tmp_path, toy, few)
    train_model(alone)
    predict_scores(alone)
    table = compare_models(alone)
    assert "mean" not in set(table["model"])
    assert not (tmp_path / "models").exists()
    for name in ("model/model.json", "model/model.safetensors", "predictions.csv"):
        assert digest_of_file(tmp_path / name) == digest_of_file(compared.out / name)


def test_model_of_other_folds_is_refused(
    compared: Study, toy: tuple[Cohort, Path], tmp_path: Path
) -> None:
    settings = study_of(tmp_path, toy, compared.settings.mil, seed=2).settings
    elsewhere = Study.at(
        tmp_path,
        settings,
        bags=toy[1],
        model=compared.model,
        predictions=compared.predictions,
    )
    with pytest.raises(DataError, match="other folds than mean"):
        compare_models(elsewhere)


@pytest.mark.parametrize("names", [("gated_attention",), ("mean", "mean")])
def test_names_that_compare_nothing_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="names"):
        MilSettings(compare=names)
