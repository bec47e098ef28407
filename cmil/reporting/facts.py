"""What a study's files say, a sentence or two by name: the answers to the checklists."""

from collections.abc import Mapping

import pandas as pd

from cmil import __version__
from cmil.reporting.openings import openings_text
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.words import intervals
from cohorts.random_effects import adhoc_is_wider
from survival import median_follow_up


def study_facts(study: StudyFiles, headline: str) -> Mapping[str, str]:
    """Collect what is known of a study by the names that the checklists ask for."""
    return {
        "title": f"{study.settings.title}. {headline}",
        **_facts_of_purpose(study),
        **_facts_of_patients(study),
        **_facts_of_images(study),
        **_facts_of_model(study),
        **_facts_of_evaluation(study),
    }


def _facts_of_purpose(study: StudyFiles) -> dict[str, str]:
    external = study.predictions[study.predictions["split"] == "external"]
    evaluated = (
        f", and its evaluation, frozen, in {len(external)} patients of "
        f"{external['centre'].nunique()} external centres"
        if len(external)
        else "; no external centre has been scored"
    )
    learnt = study.bundle.facts.out_of_fold
    objective = f"Development of a model in {learnt.patients} patients{evaluated}."
    if study.is_opening:
        objective = (
            f"Evaluation of a model, developed in {learnt.patients} other patients and locked, in "
            f"{len(external)} patients of {external['centre'].nunique()} external centres."
        )
    return {
        "intended_use": "Research use only: a score of metastasis from digital images of stained "
        "bone marrow smears. Patches, score and decision come from the frozen bundle; its user "
        "chooses none of them.",
        "objective": objective,
        "software": f"cMIL {__version__}, Apache-2.0; the model was trained by cMIL "
        f"{study.bundle.facts.software_version}.",
    }


def _facts_of_patients(study: StudyFiles) -> dict[str, str]:
    patients, scored = study.cohort.patients, study.predictions
    settings = study.settings.cohort
    by_centre = ", ".join(
        f"{centre} ({split}) {len(rows)}"
        for (split, centre), rows in patients.groupby(["split", "centre"])
    )
    flow = ", ".join(
        f"{split}: {int(rows['label'].sum())} of {len(rows)} with the outcome"
        for split, rows in scored.groupby("split")
    )
    endpoints = "; ".join(
        f"{name} (columns {e.time} in {e.unit}, {e.event})"
        for name, e in settings.endpoints.items()
    )
    facts = {
        "data_sources": f"Manifest {study.cohort.manifest.name}: {len(patients)} patients, "
        f"{len(study.cohort.slides)} image sources.",
        "centres": f"Patients by centre: {by_centre}.",
        "outcome": f"Metastasis as in column {settings.label} (1 is metastasis)"
        f"{f'; endpoints {endpoints}' if endpoints else ''}.",
        "flow": f"{len(patients)} patients in the manifest, {len(study.excluded)} excluded, "
        f"{len(scored)} analysed ({flow}).",
        "missing_data": f"Patients without a readable image are left out ({len(study.excluded)}); "
        "a label is required; patients without an endpoint are left out of its analysis and named. "
        "Nothing is imputed.",
        "overlap": "Development patients are refused, by id and by image file, as the lock knows "
        "them."
        if study.is_opening
        else "No patient is in both splits: such a manifest is refused.",
    }
    if study.settings.survival.covariates:
        names = ", ".join(study.settings.survival.covariates)
        facts["case_mix"] = f"Label and covariates ({names}) by centre are in a table."
    if settings.endpoints:
        facts["follow_up"] = _follow_up(study)
    return facts


def _follow_up(study: StudyFiles) -> str:
    said = []
    for name, endpoint in study.settings.cohort.endpoints.items():
        known = study.cohort.patients[list(endpoint.columns)].dropna()
        entry = known[endpoint.entry] if endpoint.entry else None
        middle = median_follow_up(known[endpoint.time], known[endpoint.event], entry=entry)
        text = "not reached" if pd.isna(middle.median) else f"{middle.median:.1f} {endpoint.unit}"
        said.append(f"{name}: {text}")
    return f"Median follow-up (reverse Kaplan-Meier) of {'; '.join(said)}."


def _facts_of_images(study: StudyFiles) -> dict[str, str]:
    encoding = study.bundle.facts.encoding
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in encoding.items())
    failed = int((study.slides["state"] == "failed").sum())
    unread = f"{failed} of {len(study.slides)} image sources could not be read"
    if study.slides.empty:
        unread = "bags were made elsewhere"
    rule = study.settings.extraction.rule.model_dump(exclude_none=True)
    limits = ", ".join(f"{name} {value}" for name, value in rule.items())
    return {
        "preprocessing": f"Frozen with the model: {told}.",
        "quality_control": "Patches are measured for sharpness, stain, overlap and ink and kept "
        f"by one rule ({limits or 'all are kept'}); {unread}, and "
        f"{int(study.predictions['n_patches'].sum()):,} patches were scored.",
        "predictors": "Embeddings of patches alone; no clinical variable and no reader's judgement "
        "enters the score.",
        "encoding": f"A patch is {study.bundle.facts.dimension} numbers, standardised by the "
        "training patients of each fold; a patient is all of them.",
        "stored": "Scores, decisions, maps of every slide and the digests of what made them are "
        "files of the study; each stage leaves its record.",
        "blinding": "Scores are computed from images alone; the label is not read.",
    }


def _facts_of_model(study: StudyFiles) -> dict[str, str]:
    facts, mil = study.bundle.facts, study.bundle.facts.mil
    held_out = "a centre" if mil.hold_out == "centres" else "a fold of patients"
    searched = "; ".join(f"{name}: {values}" for name, values in mil.searched.items())
    balance = {
        "loss": "Classes are weighted in the loss by their inverse frequency",
        "sampling": "Classes are sampled equally often",
        "none": "Nothing is done about it",
    }[mil.balance]
    link = facts.calibration.link
    named = "The manifest names development and external patients"
    if study.is_opening:
        named = "All patients of the manifest are external; others, before, were development"
    return {
        "partition": f"{named}. Within development "
        f"{len(study.bundle.models)} models are trained, each without {held_out}; patients are "
        "never divided, folds are stratified by label and centre, and development is reported by "
        "out-of-fold scores.",
        "model": f"{mil.aggregator.replace('_', ' ')} ({mil.epochs} epochs, {mil.optimiser}, "
        f"learning rate {mil.learning_rate:g}, weight decay {mil.weight_decay:g}, dropout "
        f"{mil.dropout:g}, seed {facts.seed}).",
        "tuning": f"Nested search within each fold over {searched}."
        if searched
        else "No setting was searched for.",
        "imbalance": f"{balance}; the score is calibrated on out-of-fold logits afterwards.",
        "prediction": "The mean logit of the models, calibrated; by cmil predict or cmil validate.",
        "output": f"A probability: mean logit, calibrated ({link}) on out-of-fold logits.",
        "threshold": f"A score of {facts.threshold:.4f} or more is a decision for metastasis "
        f"({facts.threshold_method}, on out-of-fold scores of development).",
        "indeterminate": "Every patient with one patch or more has a score and a decision.",
        "model_object": f"Bundle {study.bundle.digest[:12]}: weights in safetensors, settings and "
        "calibration in JSON.",
        **_lock_fact(study),
    }


def _lock_fact(study: StudyFiles) -> dict[str, str]:
    told = {"openings": openings_text(study)}
    if study.lock:
        told["lock"] = f"Model, thresholds, cut-points and preprocessing: lock {study.lock}."
    return {name: said for name, said in told.items() if said}


def _facts_of_evaluation(study: StudyFiles) -> dict[str, str]:
    found = study.validation.tables
    facts = {
        "measures": "AUC, average precision, sensitivity, specificity, predictive values and "
        "likelihood ratios at locked thresholds, calibration (intercept, slope, O:E, Brier), net "
        "benefit, each with a 95% interval whose method is named beside it.",
        "heterogeneity_methods": "Each centre by itself; random effects over centres (REML, "
        "Hartung-Knapp) with a prediction interval, and without each centre in turn.",
        "updating": "The model was not updated: the frozen score is what is reported."
        + ("" if study.recalibration is None else " Recalibration is shown beside it."),
        "limitations": _looks(study)
        + "What a centre beyond these would see is told by the prediction interval only, and by "
        "that as far as these centres are a sample of it. Numbers of development are out-of-fold, "
        "but threshold and calibration were chosen on them.",
    }
    auc = found.discrimination[found.discrimination["measure"] == "auc"]
    reached = zip(auc["cohort"], intervals(auc), strict=True)
    facts["performance"] = " ".join(f"AUC, {cohort}: {text}." for cohort, text in reached)
    facts["cross_table"] = "Numerators and denominators at each threshold: tables/decisions.csv."
    pooled = found.heterogeneity[found.heterogeneity["measure"] == "auc"]
    if len(pooled) and pd.notna(pooled["tau2"].iloc[0]):
        facts["heterogeneity"] = _heterogeneity(pooled)
    shift = study.validation.shift
    if shift is not None and len(shift):
        told = zip(shift["centre"], shift["verdict"], strict=True)
        centres = ", ".join(f"{centre} {verdict}" for centre, verdict in told)
        facts["shift"] = f"Distance of embeddings from development: {centres}."
    if study.validation.referral_rule is not None:
        facts["indeterminate"] = study.validation.referral_rule.guarantee
    if len(found.subgroups):
        facts["subgroups"] = "Discrimination by subgroup, with tests of interaction, is in a table."
    return facts


def _looks(study: StudyFiles) -> str:
    """Say what a second look at external patients may have done, if there was one."""
    if len(study.evaluations) < 2:
        return ""
    return (
        f"External patients were evaluated {len(study.evaluations)} times: what was chosen after "
        "the first time may have followed from it, which no number here shows. "
    )


def _heterogeneity(pooled: pd.DataFrame) -> str:
    row = pooled.iloc[0]
    said = [f"AUC over {row['centres']} centres {intervals(pooled)[0]}"]
    if adhoc_is_wider(row.to_dict()):
        said.append(f"ad hoc {row['adhoc_ci_low']:.3f} to {row['adhoc_ci_high']:.3f}")
    if pd.notna(row["prediction_low"]):
        low, high = row["prediction_low"], row["prediction_high"]
        said.append(f"prediction interval {low:.3f} to {high:.3f}")
    said.append(f"tau2 {row['tau2']:.3f}")
    note = f" ({row['note']})" if row["note"] else ""
    return f"{', '.join(said)}{note}."
