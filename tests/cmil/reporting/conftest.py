"""A study of a development cohort and three external centres, drawn here."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.aggregators import build_aggregator
from cmil.bundle import WEIGHTS, ModelFacts, OutOfFold, read_bundle, save_weights, write_facts
from cmil.calibration import Calibration
from cmil.referral.conformal import fit_referral
from cmil.referral.performance import referral_performance
from cmil.referral.risk_coverage import aurc, risk_coverage
from cmil.reporting.study_files import StudyFiles
from cmil.settings import MilSettings
from cmil.study_settings import StudySettings
from cmil.validation import Questions, cohorts_of, performance, validate_scores
from cmil.validation_results import ValidationResults
from cohorts.endpoints import Endpoint
from cohorts.files import digest_of_file
from cohorts.manifest import Cohort, Slide, SourceKind
from cohorts.settings import CohortSettings
from feature_extraction.settings import ExtractionSettings
from survival import SurvivalSettings, analyse

NASTY = "<b>Málaga</b> & $Sons$"
CENTRES = {"Lund": "development", NASTY: "external", "Oslo": "external", "Wien": "external"}
PER_CENTRE = 30


def draw_predictions() -> pd.DataFrame:
    random = np.random.default_rng(3)
    centre = np.repeat(list(CENTRES), PER_CENTRE)
    label = np.tile([0, 1], len(centre) // 2)
    score = np.clip(0.3 + 0.4 * label + random.normal(0, 0.2, len(label)), 0.02, 0.98)
    split = np.array([CENTRES[name] for name in centre])
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(len(centre))],
            "centre": centre,
            "split": split,
            "score_kind": np.where(split == "development", "oof", "external"),
            "score": score,
            "logit": np.log(score / (1 - score)),
            "score_sd": 0.05,
            "label": label,
            "decision": (score >= 0.5).astype(int),
            "n_patches": 100,
            "mycn": np.where(np.arange(len(label)) % 3 == 0, "amplified", "single"),
        }
    )


def write_model(folder: Path) -> None:
    mil = MilSettings(folds=2, hidden=4, attention_width=2)
    folder.mkdir()
    save_weights([build_aggregator(mil, 3) for _ in range(2)], folder / WEIGHTS)
    reached = OutOfFold(
        patients=PER_CENTRE,
        positives=PER_CENTRE // 2,
        auc=0.91,
        auc_ci_low=0.8,
        auc_ci_high=0.98,
        auc_of_folds=(0.9, 0.92),
    )
    facts = ModelFacts(
        software_version="0.0.9",
        label="metastasis",
        seed=0,
        mil=mil,
        dimension=3,
        encoding={"encoder": "stain-filters", "patch_px": 224},
        fold_of={f"P{i:03d}": i % 2 for i in range(PER_CENTRE)},
        centres=["Lund"],
        calibration=Calibration(slope=1.5, intercept=-0.25),
        threshold=0.5,
        threshold_method="youden",
        out_of_fold=reached,
        cohort_digest="c" * 64,
        bags_digest="b" * 64,
        weights_digest=digest_of_file(folder / WEIGHTS),
    )
    write_facts(facts, folder)


def validated(predictions: pd.DataFrame) -> ValidationResults:
    rule = fit_referral(
        predictions[predictions["split"] == "development"], 0.5, miss_rate=0.2, false_alarm_rate=0.2
    )
    cohorts = dict(cohorts_of(predictions))
    curves = [
        risk_coverage(p["score"], p["label"], 0.5).assign(cohort=c) for c, p in cohorts.items()
    ]
    areas = [
        {"cohort": c, **asdict(aurc(p["score"], p["label"], 0.5, np.random.default_rng(0), 50))}
        for c, p in cohorts.items()
    ]
    return ValidationResults(
        performance=performance(predictions, np.random.SeedSequence(0)),
        tables=validate_scores(
            predictions,
            {"youden": 0.5, "sensitivity 0.95": 0.3},
            np.random.SeedSequence(0),
            Questions(prevalences=(0.1,), subgroups=("mycn",), samples=50),
        ),
        risk_coverage=pd.concat(curves, ignore_index=True),
        risk_coverage_area=pd.DataFrame(areas),
        referral_rule=rule,
        referral=referral_performance(predictions, rule),
    )


@pytest.fixture(scope="session")
def study_files(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    folder = tmp_path_factory.mktemp("reported")
    write_model(folder / "model")
    bundle = read_bundle(folder / "model")
    predictions = draw_predictions().assign(model_digest=bundle.digest)
    random = np.random.default_rng(5)
    patients = predictions.set_index("patient_id")[["centre", "split", "label"]]
    time = random.exponential(30 / (1 + 4 * patients["label"])) + 0.5
    patients = patients.assign(
        months=np.minimum(time, 40), died=(time <= 40).astype(int), age=random.uniform(1, 90, 120)
    )
    endpoints = {"overall survival": Endpoint(time="months", event="died")}
    survival = SurvivalSettings(covariates=("age",), bootstrap_samples=20)
    slides = tuple(
        Slide(f"{patient}-1", str(patient), Path("x"), SourceKind.FOLDER, None, row)
        for row, patient in enumerate(patients.index, start=2)
    )
    return StudyFiles(
        StudySettings(
            title=f"Study of {NASTY}",
            cohort=CohortSettings(manifest=Path("cohort.csv"), endpoints=endpoints),
            extraction=ExtractionSettings(encoder="stain-filters", mpp=0.5),
            survival=survival,
        ),
        Cohort(slides, patients, Path("cohort.csv")),
        {},
        bundle,
        predictions,
        pd.DataFrame([{"patient_id": s.patient_id, "state": "made"} for s in slides]),
        validated(predictions),
        analyse(predictions, patients, endpoints, survival, folder / "survival", "cohort-1"),
        lock="1f" * 32,
    )
