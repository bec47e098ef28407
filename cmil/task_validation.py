"""The stage that evaluates a frozen model of classes or of an endpoint, cohort by cohort."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cmil.progress import say
from cmil.study import Study, refuse_other_task
from cmil.validation_results import (
    CLASS_SCORES,
    CLASSES,
    CONFUSION,
    ENDPOINT,
    OF_TASKS,
    remove_validation,
)
from cohorts.errors import DataError, FileFormatError
from cohorts.files import digest_of_file, write_text

if TYPE_CHECKING:
    from cmil.bundle import ModelFacts

_WORDS = ("cohort", "class", "predicted_class", "measure", "method", "note")


@dataclass(frozen=True)
class TaskValidation:
    """What a frozen model of classes or of an endpoint is worth.

    Attributes
    ----------
    performance
        As `class_performance` or `endpoint_performance` gives it.
    confusion
        As `confusion` gives it; None of an endpoint.
    """

    performance: pd.DataFrame
    confusion: pd.DataFrame | None = None


def validate_task(study: Study) -> TaskValidation:
    """Evaluate the frozen model of classes or of an endpoint, and write `validation/`.

    Patients of whom the outcome is not known are left out, and named. That external patients are
    evaluated is logged in the bundle, once for each set of scores.

    Raises
    ------
    DataError
        If the scores are of another model, or nobody has both a score and an outcome.
    SettingsError
        If readers' ratings are given, which are compared with decisions on a label.
    FileFormatError
        If the bundle is missing or damaged, or a locked file was changed.
    """
    from cmil.bundle import read_bundle
    from cmil.comparison.comparable_scores import outcomes_of
    from cmil.prediction import read_predictions
    from cmil.protocol.lock import LOCK, verify_lock
    from cmil.protocol.own_opening import log_own_opening

    refuse_label_questions(study)
    predictions = read_predictions(study.predictions)
    bundle = read_bundle(study.model)
    lock = verify_lock(study.model) if (study.model / LOCK).exists() else None
    own = {bundle.digest, *([lock.travelling_model_digest] if lock else [])}
    if not predictions["model_digest"].isin(own).all():
        raise DataError(
            f'"{study.predictions}" is of another model than "{study.model}"; run cmil predict'
        )
    cohort = study.manifest.restricted_to(predictions["patient_id"])
    outcomes = outcomes_of(cohort.patients, bundle.facts)
    unknown = without_outcome(study, predictions)
    if unknown:
        say(f"validate: no time or event, left out: {', '.join(unknown)}")
    log_own_opening(study, predictions, lock.digest if lock else "")
    inputs = {
        "model": bundle.digest,
        "outcomes": cohort.outcomes_digest,
        "predictions": digest_of_file(study.predictions),
        **({"lock": lock.digest} if lock else {}),
    }
    stage, folder = study.stage("validate", "validation", inputs, {}), study.out / "validation"
    if stage.is_done():
        say("validate: up to date")
        return read_task_validation(folder)
    scores = told_and_known(predictions, outcomes, bundle.facts)
    files = [folder / name for name in OF_TASKS]
    with stage.recorded(lambda: [path for path in files if path.exists()]):
        remove_validation(folder)
        for name, table in _tables(scores, bundle.facts, study.settings.seed).items():
            write_text(folder / name, table.to_csv(index=False))
    return read_task_validation(folder)


def refuse_label_questions(study: Study) -> None:
    """Refuse ratings, and say which questions of `[validation]` are of a binary label only.

    Raises
    ------
    SettingsError
        If readers' ratings are given.
    """
    asked = study.settings.validation
    if asked.ratings:
        refuse_other_task(study.settings.mil.task, "validate with ratings of readers")
    idle = [name for name in ("subgroups", "comparator") if getattr(asked, name)]
    if idle:
        say(f"validate: [validation] {' and '.join(idle)} are of a binary label, and not asked")


def told_and_known(
    predictions: pd.DataFrame, outcomes: pd.DataFrame, facts: "ModelFacts"
) -> pd.DataFrame:
    """Put what the model says of every patient beside what is known.

    Parameters
    ----------
    predictions
        As `cmil.prediction.read_predictions` gives them.
    outcomes
        As `cmil.comparison.comparable_scores.outcomes_of` gives them.
    facts
        Of the model.

    Returns
    -------
    DataFrame
        As `class_performance` or `endpoint_performance` takes it.

    Raises
    ------
    DataError
        If the predictions lack a class, or somebody is called what is none.
    """
    from cmil.comparison.comparable_scores import scores_of

    ranked = scores_of(predictions, outcomes, facts)
    told = predictions.set_index("patient_id").loc[ranked["patient_id"]].reset_index(drop=True)
    if facts.endpoint is not None:
        return ranked.assign(score=told["score"])
    probabilities = [f"score_{name}" for name in facts.classes]
    ranked = ranked.rename(columns={f"score_{name}": f"rank_{name}" for name in facts.classes})
    said = pd.Categorical(told["predicted_class"], categories=list(facts.classes)).codes
    if (said < 0).any():
        called = told["predicted_class"][said < 0].iloc[0]
        raise DataError(f'"{called}" is no class of the model; run cmil predict')
    return pd.concat([ranked.assign(said=said), told[probabilities]], axis=1)


def read_task_validation(folder: Path) -> TaskValidation:
    """Read what `validate_task` wrote.

    Raises
    ------
    FileFormatError
        If it is missing.
    """
    if (folder / ENDPOINT).exists():
        return TaskValidation(_read(folder / ENDPOINT))
    return TaskValidation(_read(folder / CLASSES), _read(folder / CONFUSION))


def _tables(scores: pd.DataFrame, facts: "ModelFacts", seed: int) -> Mapping[str, pd.DataFrame]:
    from cmil.validation.class_performance import class_performance, confusion
    from cmil.validation.endpoint_performance import endpoint_performance

    draws = np.random.SeedSequence(seed)
    if facts.endpoint is not None:
        return {ENDPOINT: endpoint_performance(scores, facts.mil.horizon, draws)}
    names = dict(enumerate(facts.classes))
    written = scores.assign(
        **{"class": scores["label"].map(names), "predicted_class": scores["said"].map(names)}
    )
    return {
        CLASSES: class_performance(scores, facts.classes, draws),
        CONFUSION: confusion(scores, facts.classes),
        CLASS_SCORES: written.drop(columns=["label", "said"]),
    }


def without_outcome(study: Study, predictions: pd.DataFrame) -> list[str]:
    """Give the patients with a score of whom it is not known what was learnt.

    Raises
    ------
    DataError
        If it is known of nobody.
    """
    from cmil.bundle import read_bundle
    from cmil.comparison.comparable_scores import outcomes_of

    patients = study.manifest.restricted_to(predictions["patient_id"]).patients
    outcomes = outcomes_of(patients, read_bundle(study.model).facts)
    unknown = [name for name in predictions["patient_id"] if name not in outcomes.index]
    if len(unknown) == len(predictions):
        raise DataError("of no patient with a score it is known what was learnt")
    return unknown


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise FileFormatError(f'"{path}" does not exist; run cmil validate')
    # Only an empty field is missing, and in words it is no word: a centre may be called "NA".
    return pd.read_csv(
        path,
        converters=dict.fromkeys(_WORDS, str),
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
    )
