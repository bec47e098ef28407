"""The stage of a study that evaluates its frozen score and decision."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cmil.progress import say
from cmil.study import Study, refuse_other_task
from cmil.validation_results import (
    ValidationResults,
    read_validation,
    remove_validation,
    write_validation,
)
from cohorts.errors import DataError, SettingsError
from cohorts.files import digest_of_file, digest_of_text
from cohorts.manifest import Cohort
from cohorts.patient_columns import read_patient_columns

if TYPE_CHECKING:
    from cmil.bundle import ModelBundle
    from cmil.protocol.decision_rules import DecisionRules
    from cmil.protocol.lock import Lock
    from cmil.readers.comparison import ReaderTables
    from cmil.validation_bags import BagTables


@dataclass(frozen=True)
class _Frozen:
    """What nobody chooses at validation time.

    Attributes
    ----------
    rules
        Of the lock, or fitted on the development scores at hand.
    lock
        None where the model is not locked.
    bundle
        None where the scores were made elsewhere and their model is not here.
    """

    rules: "DecisionRules"
    lock: "Lock | None"
    bundle: "ModelBundle | None"

    @property
    def threshold(self) -> float:
        """The model's own."""
        return next(iter(self.rules.thresholds.values()))


def validate_scores(study: Study) -> ValidationResults:
    """Evaluate the frozen score and decision, cohort by cohort and over centres.

    Under a lock its thresholds, rule of referral and reference of shift count; without one they are
    fitted on the development scores and bags at hand. What needs bags is left out where there are
    none. That external patients are evaluated is logged in the bundle, once for each set of scores.

    Raises
    ------
    SettingsError
        If the study is not of a binary label, or names a subgroup that has another role.
    ManifestError
        If a column that `[validation]` names is not there.
    DataError
        If scores are of another model or do not serve, no threshold can be told, or readers have
        read somebody without a score.
    """
    from cmil.prediction import read_predictions
    from cmil.protocol.own_opening import log_own_opening
    from cmil.validation.validate import refuse_unfit_predictions

    refuse_other_task(study.settings.mil.task, "validate")
    predictions = read_predictions(study.predictions)
    refuse_unfit_predictions(predictions)
    refuse_unfit_questions(study, set(predictions["patient_id"]))
    frozen, asked = _frozen(study, predictions), study.settings.validation
    columns = read_patient_columns(study.manifest.manifest, asked.columns)
    cohort = study.cohort.restricted_to(predictions["patient_id"])
    if frozen.bundle:
        log_own_opening(study, predictions, frozen.lock.digest if frozen.lock else "")
    inputs = _inputs(study, frozen, cohort, columns)
    stage = study.stage(
        "validate", "validation", inputs, asked.model_dump(mode="json", exclude={"ratings"})
    )
    folder = study.out / "validation"
    if stage.is_done():
        say("validate: up to date")
        return read_validation(folder)
    written: list[Path] = []
    with stage.recorded(lambda: written):
        remove_validation(folder)
        described = _described(predictions, columns, asked.comparator)
        written += write_validation(folder, _evaluated(study, frozen, cohort, described))
    return read_validation(folder)


def refuse_unfit_questions(study: Study, patients: Collection[str]) -> None:
    """Find what `[validation]` asks and the files cannot answer, before hours are spent.

    Parameters
    ----------
    patients
        Who is evaluated, and may have been read by readers.

    Raises
    ------
    SettingsError
        If a subgroup or the comparator has another role.
    ManifestError
        If a column is not there, or rows of a patient differ.
    DataError
        If the comparator has no number from 0 to 1 for one of them, the table of ratings is not
        valid, or it names a patient who is not one of them.
    """
    from cmil.prediction import COLUMNS
    from cmil.readers.comparison import refuse_unknown_patients
    from cmil.readers.ratings import read_ratings
    from cmil.validation.validate import refuse_taken_name

    asked = study.settings.validation
    taken = [name for name in asked.columns if name in COLUMNS]
    if taken:
        raise SettingsError(
            f'[validation] names column "{taken[0]}", which has a role of its own; centres are '
            "compared in any case"
        )
    refuse_taken_name(asked.comparator)
    columns = read_patient_columns(study.manifest.manifest, asked.columns)
    if asked.comparator:
        _refuse_unfit_comparator(columns[asked.comparator], asked.comparator, patients)
    if asked.ratings:
        refuse_unknown_patients(read_ratings(asked.ratings), patients)


def _refuse_unfit_comparator(
    column: "pd.Series[str]", comparator: str, patients: Collection[str]
) -> None:
    of_them = column[column.index.isin(list(patients))]
    without = of_them.index[~pd.to_numeric(of_them, errors="coerce").between(0, 1)]
    if len(without):
        also = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
        raise DataError(
            f'patient "{without[0]}"{also} has no number from 0 to 1 in comparator column '
            f'"{comparator}"; mend it in the manifest'
        )


def _frozen(study: Study, predictions: pd.DataFrame) -> _Frozen:
    from cmil.bundle import FACTS, read_bundle
    from cmil.protocol.decision_rules import DecisionRules, fit_decision_rules, need_scores
    from cmil.protocol.lock import LOCK, verify_lock
    from cmil.validation.thresholds import youden_threshold

    lock = verify_lock(study.model) if (study.model / LOCK).exists() else None
    bundle = read_bundle(study.model) if (study.model / FACTS).exists() else None
    own = {bundle.digest} if bundle else set()
    own |= {lock.model_digest, lock.travelling_model_digest} if lock else set()
    if own and not predictions["model_digest"].isin(own).all():
        raise DataError(
            f'"{study.predictions}" is of another model than "{study.model}"; run cmil predict'
        )
    if lock:
        return _Frozen(DecisionRules(lock.thresholds, lock.referral), lock, bundle)
    development = predictions[predictions["split"] == "development"]
    asked = study.settings.validation
    if development.empty and (need_scores(asked) or bundle is None):
        raise DataError(
            f'"{study.predictions}" holds no development patient, on whose scores thresholds are '
            "fitted; lock the model, and open the external cohort with cmil validate --model"
        )
    if bundle:
        threshold = {bundle.facts.threshold_method: bundle.facts.threshold}
    else:
        threshold = {"youden": youden_threshold(development["score"], development["label"])}
    return _Frozen(fit_decision_rules(threshold, development, asked), None, bundle)


def _inputs(
    study: Study, frozen: _Frozen, cohort: Cohort, columns: pd.DataFrame
) -> Mapping[str, str]:
    from cmil.explanation_stage import digest_of_known
    from cmil.patient_bags import digest_of_bags

    inputs = {"predictions": digest_of_file(study.predictions)}
    if len(columns.columns):
        inputs["columns"] = digest_of_text(columns.to_csv())
    if frozen.lock:
        inputs["lock"] = frozen.lock.digest
    if frozen.bundle:
        inputs["model"] = frozen.bundle.digest
    if frozen.bundle and cohort.slides:
        inputs["bags"] = digest_of_bags(cohort, study.bags)
        inputs["known of patches"] = digest_of_known(study)
    if study.settings.validation.ratings:
        inputs["ratings"] = digest_of_file(study.settings.validation.ratings)
    return inputs


def _described(
    predictions: pd.DataFrame, columns: pd.DataFrame, comparator: str | None
) -> pd.DataFrame:
    """Put the columns that `[validation]` names beside the scores; of a comparator as numbers."""
    described = predictions.join(columns, on="patient_id")
    if comparator:
        described[comparator] = pd.to_numeric(described[comparator], errors="coerce")
    return described


def _evaluated(
    study: Study, frozen: _Frozen, cohort: Cohort, predictions: pd.DataFrame
) -> ValidationResults:
    from cmil import validation
    from cmil.referral.performance import referral_performance

    seed, rule = study.settings.seed, frozen.rules.referral
    curves, areas = _risk_coverage(predictions, frozen.threshold, seed)
    of_bags = _of_bags(study, frozen, cohort)
    readers = _readers(study, predictions)
    return ValidationResults(
        performance=validation.performance(predictions, np.random.SeedSequence(seed)),
        tables=validation.validate_scores(
            predictions,
            frozen.rules.thresholds,
            np.random.SeedSequence(seed),
            study.settings.validation.questions,
        ),
        risk_coverage=curves,
        risk_coverage_area=areas,
        referral_rule=rule,
        referral=referral_performance(predictions, rule) if rule else None,
        shift=of_bags.shift,
        stability=of_bags.stability,
        detection_points=of_bags.detection_points,
        detection=of_bags.detection,
        readers_agreement=readers.agreement,
        readers_differences=readers.differences,
        readers_points=readers.points,
        readers_auc=readers.auc,
    )


def _risk_coverage(
    predictions: pd.DataFrame, threshold: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    from cmil.referral.risk_coverage import aurc, risk_coverage
    from cmil.validation import cohorts_of

    curves, areas = [], []
    for cohort, patients in cohorts_of(predictions):
        score, label = patients["score"], patients["label"]
        curve = risk_coverage(score, label, threshold)
        curve.insert(0, "cohort", cohort)
        curves.append(curve)
        rng = np.random.default_rng([seed, *cohort.encode()])
        areas.append({"cohort": cohort, **asdict(aurc(score, label, threshold, rng))})
    return pd.concat(curves, ignore_index=True), pd.DataFrame(areas)


def _of_bags(study: Study, frozen: _Frozen, cohort: Cohort) -> "BagTables":
    from cmil.validation_bags import BagTables, ask_bags

    if frozen.bundle is None or not cohort.slides:
        return BagTables()
    return ask_bags(study, frozen.bundle, cohort, frozen.threshold, frozen.lock)


def _readers(study: Study, predictions: pd.DataFrame) -> "ReaderTables":
    from cmil.readers.comparison import ReaderTables, compare_with_readers
    from cmil.readers.ratings import read_ratings

    path = study.settings.validation.ratings
    if not path:
        return ReaderTables()
    seed = np.random.SeedSequence(study.settings.seed)
    return compare_with_readers(predictions, read_ratings(path), seed)
