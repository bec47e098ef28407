"""An external cohort, opened under a lock: its manifest, its scores, and what is refused."""

import csv
from collections.abc import Sequence, Set
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.progress import say
from cmil.protocol.lock import Lock, refuse_development
from cmil.study import Study
from cmil.study_settings import StudySettings
from cohorts.endpoints import Endpoint
from cohorts.errors import DataError, SettingsError
from cohorts.manifest import Cohort, read_cohort
from feature_extraction.bags import bag_path, read_bag_attributes
from survival.neuroblastoma_factors import NeuroblastomaColumns

# A score read back from text may differ from its logit's in the last digits.
_SCORE_TOLERANCE = 1e-9
# Where a class is nearly certain, little is left of the others' digits.
_LOGIT_TOLERANCE = 1e-6


class ExternalStudy(Study):
    """A study all whose patients are external, with the settings of a lock."""

    @cached_property
    def manifest(self) -> Cohort:
        """Everyone the manifest names; it need not have a column `split`."""
        settings = self.settings
        cohort = read_cohort(settings.cohort, settings.survival.covariates, settings.survival.words)
        development = cohort.patients.index[cohort.patients["split"] == "development"]
        if "split" in _header(cohort.manifest) and len(development):
            raise DataError(
                f'"{cohort.manifest.name}": patient "{development[0]}" is of split "development"; '
                "under a lock only external patients are evaluated"
            )
        return Cohort(
            cohort.slides,
            cohort.patients.assign(split="external"),
            cohort.manifest,
            cohort.classes,
        )


def external_study(
    lock: Lock,
    model: Path,
    manifest: Path,
    out: Path,
    *,
    bags: Path | None = None,
    predictions: Path | None = None,
    weights: Path | None = None,
    ratings: Path | None = None,
) -> ExternalStudy:
    """Lay out the evaluation of an external cohort with the settings of the lock.

    Parameters
    ----------
    lock
        That of `model`, verified.
    manifest
        Of the external cohort; columns are named as in the study that was locked.
    out
        Where results go; not the folder of the study that was locked.
    bags, predictions
        Made elsewhere, under the same lock.
    weights
        Of the encoder, where this machine has them.
    ratings
        What readers said of the patients.

    Raises
    ------
    SettingsError
        If `out` is the folder of the locked study.
    ManifestError
        If the manifest is not valid.
    DataError
        If it names development patients.
    """
    if out.resolve() == model.resolve().parent:
        raise SettingsError(
            f'--out "{out}" is the folder of the study that was locked; give the external cohort '
            "one of its own"
        )
    settings = _settings(lock, manifest, weights, ratings)
    study = ExternalStudy.at(out, settings, bags=bags, model=model, predictions=predictions)
    refuse_development(lock, list(study.manifest.patients.index))
    return study


def refuse_development_images(lock: Lock, study: Study) -> None:
    """Refuse bags that were made of the files of development slides.

    Raises
    ------
    DataError
        Naming the first slide.
    """
    known = set(lock.development.sources)
    for slide in study.cohort.slides:
        stated = read_bag_attributes(bag_path(study.bags, slide.slide_id))
        if str(stated.get("source_digest", "")) in known:
            raise DataError(
                f'slide "{slide.slide_id}" (manifest row {slide.row}) of patient '
                f'"{slide.patient_id}" is, file for file, a slide of a development patient; leave '
                "the patient out"
            )


def refuse_unfit_scores(lock: Lock, scores: pd.DataFrame) -> None:
    """Refuse scores and decisions that are not those of the locked model.

    Parameters
    ----------
    scores
        As `read_predictions` gives them.

    Raises
    ------
    DataError
        If a score is of another kind than external, of another model, or not given by the locked
        calibration from its logit, or a decision is not that of the locked threshold.
    """
    if scores.empty:
        raise DataError("no external patient has a score; predict at least one")
    own = {lock.model_digest, lock.travelling_model_digest}
    score = scores["score"].to_numpy(dtype=float)
    given, hint = "logit", " (cmil recalibrate reports what that would do)"
    if lock.settings["mil"]["task"] != "binary":
        given, hint = "logit, or another class than the most probable", ""
    checks: Sequence[tuple[Any, str]] = (
        (
            (scores["split"] == "external") & (scores["score_kind"] == "external"),
            "has a score of a training or out-of-fold model; only scores of all models, of kind "
            '"external", are evaluated',
        ),
        (scores["model_digest"].isin(own), "was scored by another model than the locked one"),
        (
            _are_calibrated(lock, scores),
            f"has a score that the locked calibration does not give for its {given}; scores are "
            f"not calibrated anew{hint}",
        ),
        (
            scores["decision"] == (score >= lock.threshold),
            f"has a decision that the locked threshold {lock.threshold:.6g} does not give; no "
            "threshold is chosen at validation time",
        ),
    )
    _refuse_first(scores, checks)


def _are_calibrated(lock: Lock, scores: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell whose scores, (n,), are what the locked calibration makes of their logits.

    Of classes the logit is the log-odds of the last before calibration, and the class called is the
    most probable one.
    """
    score = scores["score"].to_numpy(dtype=float)
    logit = pd.to_numeric(scores["logit"], errors="coerce").to_numpy(dtype=float)
    names = lock.settings["cohort"]["classes"]
    if not names:
        return np.abs(score - lock.calibration(logit)) <= _SCORE_TOLERANCE
    columns = [f"score_{name}" for name in names]
    absent = [name for name in (*columns, "class", "predicted_class") if name not in scores]
    if absent:
        raise DataError(f'the scores have no column "{absent[0]}"; run cmil predict')
    probable = scores[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    before = lock.calibration.undone(probable)
    with np.errstate(divide="ignore"):  # of a class that is certain
        log_odds = np.log(before[:, -1]) - np.log(before[:, :-1].sum(axis=1))
    called = scores["predicted_class"].to_numpy()
    within = np.abs(log_odds - logit) <= _LOGIT_TOLERANCE * np.maximum(1, np.abs(logit))
    same = np.abs(score - probable[:, -1]) <= _SCORE_TOLERANCE
    agree: NDArray[np.bool_] = within & same & (np.array(names)[probable.argmax(axis=1)] == called)
    return agree


def refuse_other_cohort(scores: pd.DataFrame, cohort: Cohort) -> None:
    """Refuse scores of patients whom a manifest does not name, or of whom it says otherwise.

    Raises
    ------
    DataError
        If a patient is not in the manifest, or label or centre differ from it.
    """
    patients = cohort.patients.reindex(scores["patient_id"])
    checks: Sequence[tuple[Any, str]] = (
        (patients["centre"].notna(), "has a score and is not in the manifest"),
        (patients["centre"].to_numpy() == scores["centre"].to_numpy(), "is of another centre"),
    )
    _refuse_first(scores, checks)
    if cohort.classes:
        known = patients["label"].map(dict(enumerate(cohort.classes))).to_numpy()
        last = patients["label"].to_numpy() == len(cohort.classes) - 1
        same = (known == scores["class"].to_numpy()) & (last == (scores["label"].to_numpy() == 1))
        _refuse_first(scores, [(same, "is of another class")])
    elif "label" in patients:
        same = patients["label"].to_numpy() == scores["label"].to_numpy()
        _refuse_first(scores, [(same, "has another label")])


def _refuse_first(scores: pd.DataFrame, checks: Sequence[tuple[Any, str]]) -> None:
    for fits, says in checks:
        wrong = scores["patient_id"][~np.asarray(fits, dtype=bool)]
        if len(wrong):
            also = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise DataError(f'patient "{wrong.iloc[0]}"{also} {says}')


def _settings(
    lock: Lock, manifest: Path, weights: Path | None, ratings: Path | None
) -> StudySettings:
    """Take the locked settings, with the paths of this machine and the columns of this manifest."""
    header, locked = set(_header(manifest)), lock.settings
    cohort = dict(locked["cohort"])
    known = {
        name: endpoint
        for name, endpoint in cohort["endpoints"].items()
        if set(Endpoint.model_validate(endpoint).columns) <= header
    }
    learnt = locked["mil"]["endpoint"] if locked["mil"]["task"] == "survival" else None
    if learnt and learnt not in known:
        columns = ", ".join(Endpoint.model_validate(cohort["endpoints"][learnt]).columns)
        raise DataError(
            f'"{manifest.name}" lacks a column of the endpoint that was learnt, {learnt}; it needs '
            f"{columns}"
        )
    survival, absent = _survival_settings(lock, header)
    absent += [name for name in cohort["endpoints"] if name not in known]
    if absent:
        say(f'"{manifest.name}" has no {", ".join(absent)}; survival is left without')
    asked = {**locked["validation"], "ratings": ratings}
    absent = [name for name in asked["subgroups"] if name not in header]
    asked["subgroups"] = [name for name in asked["subgroups"] if name in header]
    if asked["comparator"] not in header:
        absent += [asked["comparator"]] if asked["comparator"] else []
        asked["comparator"] = None
    if absent:
        say(f'"{manifest.name}" has no {", ".join(absent)}; the validation is left without')
    return StudySettings.model_validate(
        {
            **locked,
            "cohort": {**cohort, "endpoints": known, "manifest": manifest},
            "extraction": {**locked["extraction"], "weights": weights},
            "validation": asked,
            "survival": survival,
        }
    )


def _survival_settings(lock: Lock, header: Set[str]) -> tuple[dict[str, Any], list[str]]:
    """Take the locked `[survival]`, less what the manifest lacks, and name that.

    The cut-point is that of the lock: its rule, which may read an outcome, is of development.
    """
    survival = dict(lock.settings["survival"])
    absent = []
    for key in ("covariates", "subgroups"):
        absent += [name for name in survival[key] if name not in header]
        survival[key] = [name for name in survival[key] if name in header]
    if survival["risk_group"]:
        columns = NeuroblastomaColumns.model_validate(survival["risk_group"]).columns
        lacking = [name for name in columns if name not in header]
        absent += lacking
        survival["risk_group"] = None if lacking else survival["risk_group"]
    if lock.cutpoint:
        survival["cutpoint"] = {"method": "given", "values": lock.cutpoint.values}
    return survival, list(dict.fromkeys(absent))


def _header(manifest: Path) -> list[str]:
    """Give the names of the columns; of what is no manifest none, which reading it then says."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
