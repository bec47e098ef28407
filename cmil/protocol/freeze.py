"""`cmil lock`: gather what a study has decided, and freeze it into its bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmil.bundle import FACTS, WEIGHTS, ModelFacts, facts_text, read_bundle
from cmil.extraction_stage import encoding_asked_for
from cmil.patient_bags import shortened
from cmil.prediction import read_predictions
from cmil.protocol.development import salted_digest, salted_digests
from cmil.protocol.lock import Development, Lock, write_lock
from cmil.study import Study
from cmil.validation.thresholds import (
    Cost,
    cost_threshold,
    sensitivity_threshold,
    specificity_threshold,
)
from cohorts.errors import DataError, SettingsError
from cohorts.files import digest_of, digest_of_file, digest_of_text
from feature_extraction.bags import bag_path, read_bag_attributes
from survival.cutpoint import CutPoint, read_lock

# Where files lie and how fast they are read is the matter of each machine.
_OF_A_MACHINE: Mapping[str, Any] = {
    "title": True,
    "cohort": {"manifest"},
    "extraction": {"weights", "batch_size"},
    "explanations": True,
}


@dataclass(frozen=True)
class ThresholdRules:
    """Rules by which further thresholds are chosen, on out-of-fold development scores.

    `sensitivity` and `specificity` are at least reached by theirs; `cost` is of wrong decisions.
    """

    sensitivity: float | None = None
    specificity: float | None = None
    cost: Cost | None = None


def lock_study(study: Study, rules: ThresholdRules = ThresholdRules()) -> Lock:
    """Lock the model of a study with all that an external cohort will be opened under.

    A second lock of the same content has the same digest.

    Parameters
    ----------
    study
        That was run: its model and, where these are asked for, scores and cut-point.
    rules
        Of thresholds beside the model's own.

    Raises
    ------
    SettingsError
        If the study's settings are not those its model or its bags were made with.
    DataError
        If the cut-point is missing or of another model, or another lock is there.
    FileFormatError
        If a file of the bundle is missing, damaged or changed.
    """
    bundle = read_bundle(study.model)
    facts = bundle.facts
    _refuse_other_settings(study, facts)
    travelling = without_ids(facts, bundle.digest)
    weights, model_json = study.model / WEIGHTS, study.model / FACTS
    lock = Lock(
        label=facts.label,
        model_digest=bundle.digest,
        travelling_model_digest=digest_of(travelling.model_dump(mode="json")),
        files={
            WEIGHTS: (digest_of_file(weights),),
            FACTS: (digest_of_file(model_json), digest_of_text(facts_text(travelling))),
        },
        calibration=facts.calibration,
        thresholds={
            facts.threshold_method: facts.threshold,
            **_further(study, rules, bundle.digest),
        },
        cutpoint=_cutpoint(study, bundle.digest),
        encoding=facts.encoding,
        settings=study.settings.model_dump(mode="json", exclude=dict(_OF_A_MACHINE)),
        development=Development(
            salt=bundle.digest,
            patients=salted_digests(facts.fold_of, bundle.digest),
            sources=_sources(study, facts),
            centres=tuple(facts.centres),
            cohort_digest=facts.cohort_digest,
        ),
    )
    write_lock(lock, study.model)
    return lock


def without_ids(facts: ModelFacts, salt: str) -> ModelFacts:
    """Put salted digests in place of the development patients' ids, in the digests' order."""

    def hidden(fold_of: Mapping[str, int]) -> dict[str, int]:
        return dict(sorted((salted_digest(name, salt), fold) for name, fold in fold_of.items()))

    later = tuple(hidden(fold_of) for fold_of in facts.later_fold_of)
    return facts.model_copy(update={"fold_of": hidden(facts.fold_of), "later_fold_of": later})


def _refuse_other_settings(study: Study, facts: ModelFacts) -> None:
    settings = study.settings
    asked = {
        **settings.mil.model_dump(mode="json"),
        "label": settings.cohort.label,
        "seed": settings.seed,
    }
    trained = {**facts.mil.model_dump(mode="json"), "label": facts.label, "seed": facts.seed}
    for name, value in asked.items():
        if trained[name] != value:
            raise SettingsError(
                f"the study asks for {name} {shortened(str(value))}, its model was trained with "
                f"{shortened(str(trained[name]))}; lock the study as it was run"
            )
    for name, (setting, value) in encoding_asked_for(study).items():
        if facts.encoding.get(name, value) != value:
            raise SettingsError(
                f"extraction.{setting} asks for {name} {shortened(value)}, the model was trained "
                f"on bags with {shortened(facts.encoding[name])}; lock the study as it was run"
            )


def _further(study: Study, rules: ThresholdRules, model_digest: str) -> dict[str, float]:
    """Choose the thresholds of the rules, as they are named in the lock."""
    if rules == ThresholdRules():
        return {}
    study.refuse_other_tasks("lock, with further thresholds,")
    scores = read_predictions(study.predictions)
    scores = scores[scores["split"] == "development"]
    if (scores["model_digest"] != model_digest).any() or (scores["score_kind"] != "oof").any():
        raise DataError(
            f'"{study.predictions}": thresholds are chosen on out-of-fold development scores of '
            "the model that is locked; run cmil predict"
        )
    of, score, label = {}, scores["score"], scores["label"]
    if rules.sensitivity is not None:
        name = f"sensitivity {rules.sensitivity:g}"
        of[name] = sensitivity_threshold(score, label, rules.sensitivity)
    if rules.specificity is not None:
        name = f"specificity {rules.specificity:g}"
        of[name] = specificity_threshold(score, label, rules.specificity)
    if rules.cost is not None:
        of["cost"] = cost_threshold(score, label, rules.cost)
    return of


def _cutpoint(study: Study, model_digest: str) -> CutPoint | None:
    if not study.settings.cohort.endpoints:
        return None
    path = study.out / "survival" / "cutpoint.json"
    if not path.exists():
        raise DataError(
            f'"{path}" does not exist, and the study names endpoints; run cmil survival, so that '
            "the cut-point is locked with the model"
        )
    cutpoint = read_lock(path)
    if cutpoint.model_digest != model_digest:
        raise DataError(f'"{path}" was fitted on another model; run cmil survival')
    return cutpoint


def _sources(study: Study, facts: ModelFacts) -> tuple[str, ...]:
    """Collect digests of the source files of the development slides, as their bags state them."""
    slides = study.cohort.development.slides
    if slides and study.cohort.development.digest != facts.cohort_digest:
        raise DataError(
            f'"{study.model}" was trained on other development patients, labels or slides than the '
            "cohort has now; lock the study as it was run"
        )
    stated = [_source_of(bag_path(study.bags, slide.slide_id)) for slide in slides]
    return tuple(sorted({digest for digest in stated if digest}))


def _source_of(path: Path) -> str:
    return str(read_bag_attributes(path).get("source_digest", ""))
