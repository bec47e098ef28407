"""`cmil lock`: gather what a study has decided, and freeze it into its bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cmil.bundle import FACTS, WEIGHTS, ModelBundle, ModelFacts, facts_text, read_bundle
from cmil.extraction_stage import encoding_asked_for
from cmil.patient_bags import read_patient_bags, shortened
from cmil.prediction import check_encoding, read_predictions
from cmil.progress import say
from cmil.protocol.decision_rules import fit_decision_rules, need_scores
from cmil.protocol.development import salted_digest, salted_digests
from cmil.protocol.lock import LOCK, SHIFT, Development, Lock, read_lock, write_lock
from cmil.referral.patient_descriptions import describe_patients, development_reference
from cmil.referral.shift_file import write_shift_reference
from cmil.study import Study, refuse_other_task
from cmil.validation.settings import CostSettings, ValidationSettings
from cmil.validation.thresholds import Cost
from cohorts.errors import DataError, SettingsError
from cohorts.files import digest_of, digest_of_file, digest_of_text
from feature_extraction.bags import bag_path, read_bag_attributes
from survival.cutpoint import CutPoint
from survival.cutpoint import read_lock as read_cutpoint

# Where files lie and how fast they are read is the matter of each machine.
_OF_A_MACHINE: Mapping[str, Any] = {
    "title": True,
    "cohort": {"manifest"},
    "extraction": {"weights", "batch_size"},
    "explanations": True,
    "validation": {"ratings"},
}


@dataclass(frozen=True)
class ThresholdRules:
    """Rules of further thresholds, each in the place of the one `[validation]` states, if it does.

    `sensitivity` and `specificity` are at least reached by theirs; `cost` is of wrong decisions.
    """

    sensitivity: float | None = None
    specificity: float | None = None
    cost: Cost | None = None

    def into(self, asked: ValidationSettings) -> ValidationSettings:
        """Put these into the settings of a study."""
        cost = self.cost and CostSettings(**vars(self.cost))
        given = {"sensitivity": self.sensitivity, "specificity": self.specificity, "cost": cost}
        stated = {name: rule for name, rule in given.items() if rule is not None}
        return asked.model_copy(update=stated)


def lock_study(study: Study, rules: ThresholdRules = ThresholdRules()) -> Lock:
    """Lock the model of a study with all that an external cohort will be opened under.

    A second lock of the same content has the same digest.

    Parameters
    ----------
    study
        That was run: its model and, where these are asked for, scores and cut-point.
    rules
        Of thresholds beside the model's own; those of `[validation]` where they state none.

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
    asked = rules.into(study.settings.validation)
    settings = study.settings.model_copy(update={"validation": asked})
    own = {facts.threshold_method: facts.threshold}
    decided = fit_decision_rules(own, _development_scores(study, asked, bundle.digest), asked)
    travelling = without_ids(facts, bundle.digest)
    weights, model_json = study.model / WEIGHTS, study.model / FACTS
    sources, cutpoint = _sources(study, facts), _cutpoint(study, bundle.digest)
    lock = Lock(
        label=facts.label,
        model_digest=bundle.digest,
        travelling_model_digest=digest_of(travelling.stated()),
        files={
            WEIGHTS: (digest_of_file(weights),),
            FACTS: (digest_of_file(model_json), digest_of_text(facts_text(travelling))),
            **_shift_reference(study, bundle),
        },
        calibration=facts.calibration,
        thresholds=decided.thresholds,
        referral=decided.referral,
        cutpoint=cutpoint,
        encoding=facts.encoding,
        settings=settings.model_dump(mode="json", exclude=dict(_OF_A_MACHINE)),
        development=Development(
            salt=bundle.digest,
            patients=salted_digests(facts.fold_of, bundle.digest),
            sources=sources,
            centres=tuple(facts.centres),
            cohort_digest=facts.cohort_digest,
        ),
    ).sealed()
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


def _development_scores(study: Study, asked: ValidationSettings, model_digest: str) -> pd.DataFrame:
    """Read the scores that thresholds and referral are fitted on, where they are asked for."""
    if not need_scores(asked):
        return pd.DataFrame(columns=["score", "label"])
    refuse_other_task(
        study.settings.mil.task, "lock, with further thresholds or a rule of referral,"
    )
    scores = read_predictions(study.predictions)
    scores = scores[scores["split"] == "development"]
    if (scores["model_digest"] != model_digest).any() or (scores["score_kind"] != "oof").any():
        raise DataError(
            f'"{study.predictions}": thresholds are chosen on out-of-fold development scores of '
            "the model that is locked; run cmil predict"
        )
    return scores


def _shift_reference(study: Study, bundle: ModelBundle) -> dict[str, tuple[str, ...]]:
    """Write what development looks like beside the model, and give the file's digest.

    That of a lock which is there stands: made again, its last digits may differ.
    """
    path = study.model / SHIFT
    if (study.model / LOCK).exists():
        locked = read_lock(study.model).files
        return {SHIFT: locked[SHIFT]} if SHIFT in locked else {}
    cohort = study.cohort.development
    if not study.is_binary or not cohort.slides:
        return {}
    bags = read_patient_bags(cohort, study.bags, memory_gb=study.settings.mil.memory_gb)
    check_encoding(bundle, bags)
    reference = development_reference(cohort, describe_patients(bags), study.settings.seed)
    if reference is None:
        say("lock: too few development patients to tell a shift of a centre by; none will be told")
        return {}
    write_shift_reference(reference, path)
    return {SHIFT: (digest_of_file(path),)}


def _cutpoint(study: Study, model_digest: str) -> CutPoint | None:
    if not study.settings.cohort.endpoints:
        return None
    path = study.out / "survival" / "cutpoint.json"
    if not path.exists():
        raise DataError(
            f'"{path}" does not exist, and the study names endpoints; run cmil survival, so that '
            "the cut-point is locked with the model"
        )
    cutpoint = read_cutpoint(path)
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
