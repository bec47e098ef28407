"""`cmil audit`: what would spoil a study, looked for before training and before validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.comparison.baselines import embedding_summary
from cmil.patient_bags import read_patient_bags
from cmil.progress import progress
from cmil.protocol.cohort_audits import audit_follow_up, audit_ids, audit_labels, audit_missing
from cmil.protocol.confounding import CentrePrediction, predict_centre
from cmil.protocol.findings import Finding, gravest_first
from cmil.study import Study
from cohorts.errors import DataError
from cohorts.manifest import Cohort, Slide
from feature_extraction.background_colour import background_colour
from feature_extraction.bags import bag_path, read_bag
from feature_extraction.duplicates import DuplicatePair, find_duplicates
from feature_extraction.failures import FAILURES

_CENTRE = "centre told"
_SHOWN = 20


@dataclass(frozen=True)
class Audit:
    """What all audits found.

    Attributes
    ----------
    findings
        Gravest first.
    labels, centres, missing, follow_up
        Tables; see `cmil.protocol.cohort_audits`. `centres` has one row for each kind of input
        by which centres were told apart: `inputs, patients, centres, accuracy, ci_low, ci_high,
        by_chance, method, note`.
    """

    findings: Sequence[Finding]
    labels: pd.DataFrame
    centres: pd.DataFrame
    missing: pd.DataFrame
    follow_up: pd.DataFrame

    @property
    def blocking(self) -> list[str]:
        """What must be mended first."""
        return [finding.says for finding in self.findings if finding.level == "blocking"]


def audit_study(study: Study, *, images: bool) -> Audit:
    """Look for what would spoil a study's model or its validation.

    Parameters
    ----------
    study
        With bags or before there are any; what needs bags is then noted as not done.
    images
        Read every image: for copies in two patients, and for the colour of the glass.

    Raises
    ------
    ManifestError
        If the manifest is not valid.
    DataError
        If the label is not binary or of classes, or bags are of different encoders.
    """
    if not study.settings.cohort.label:
        raise DataError("the study names no label; an audit of label and centre needs one")
    cohort = study.manifest
    patients = cohort.patients
    label_findings, labels = audit_labels(patients)
    missing_findings, missing = audit_missing(patients)
    follow_findings, follow_up = audit_follow_up(patients, study.settings.cohort.endpoints)
    confounded = bool((labels["ci_low"] > 0).any())
    told = _centres_told(study, images=images)
    findings = [
        *audit_ids(patients),
        *(_copies(cohort) if images else [_not_looked_at()]),
        *label_findings,
        *_of_centres(told, confounded=confounded),
        *missing_findings,
        *_without_bag(study),
        *follow_findings,
    ]
    centres = pd.DataFrame(
        [{"inputs": name, **vars(found)} for name, found in told.items()],
        columns=["inputs", *CentrePrediction.__dataclass_fields__],
    )
    return Audit(gravest_first(findings), labels, centres, missing, follow_up)


def quality_medians(study: Study) -> tuple[NDArray[np.float64], list[str]]:
    """Give each patient's median of each quality measure that all bags have.

    Returns
    -------
    (n, measures) in the order of `study.cohort.patients`, and the names.
    """
    medians = []
    for patient in study.cohort.patients.index:
        slides = study.cohort.slides_of(str(patient))
        bags = [read_bag(bag_path(study.bags, slide.slide_id), mapped=True) for slide in slides]
        names = set.intersection(*(set(bag.quality) for bag in bags))
        joined = {name: np.concatenate([bag.quality[name] for bag in bags]) for name in names}
        medians.append({name: float(np.median(values)) for name, values in joined.items()})
    table = pd.DataFrame(medians).dropna(axis="columns")
    table = table[sorted(table.columns)]
    return table.to_numpy(dtype=float), list(table.columns)


def _copies(cohort: Cohort) -> list[Finding]:
    with progress("images (slides)", len(cohort.slides)) as advance:
        report = find_duplicates(cohort, on_slide=lambda slide: advance(note=slide.slide_id))
    split = cohort.patients["split"]
    found = [_of_copy(pair, split) for pair in report.pairs[:_SHOWN]]
    if len(report.pairs) > _SHOWN:
        more = f"{len(report.pairs) - _SHOWN} more pairs: cmil cohort check --images lists them"
        grave = any(pair.kind == "exact" for pair in report.pairs[_SHOWN:])
        found.append(Finding("blocking" if grave else "warning", "copies", more))
    if report.unreadable:
        says = f"{len(report.unreadable)} images cannot be read; the first: {report.unreadable[0]}"
        found.append(Finding("warning", "copies", says))
    none = f"no image of {report.images} is in two patients"
    return found if report.pairs else [*found, Finding("note", "copies", none)]


def _of_copy(pair: DuplicatePair, split: "pd.Series[str]") -> Finding:
    first, second = pair.first.slide, pair.second.slide
    across = split[first.patient_id] != split[second.patient_id]
    where = "one in development, one external" if across else f"both {split[first.patient_id]}"
    whose = (
        f'patients "{first.patient_id}" (row {first.row}, {pair.first.name}) and '
        f'"{second.patient_id}" (row {second.row}, {pair.second.name}), {where}'
    )
    if pair.kind == "exact":
        says = f"the same image in {whose}: find out whose it is and remove the other"
        return Finding("blocking", "copies", says)
    says = (
        f"images that look the same (correlation {pair.correlation:.2f}) in {whose}: look at them"
    )
    return Finding("warning", "copies", says)


def _not_looked_at() -> Finding:
    says = "images were not looked at: copies in two patients were not sought"
    return Finding("warning", "copies", says)


def _centres_told(study: Study, *, images: bool) -> Mapping[str, CentrePrediction]:
    """Tell centres apart by embeddings, by quality, and by the colour of the glass."""
    told: dict[str, CentrePrediction] = {}
    seed = np.random.SeedSequence(study.settings.seed)
    rngs = [np.random.default_rng(child) for child in seed.spawn(3)]
    if study.cohort.slides:
        centres = study.cohort.patients["centre"]
        bags = read_patient_bags(study.cohort, study.bags, memory_gb=study.settings.mil.memory_gb)
        means = np.stack(
            [embedding_summary(bag.rows)[: bags.dimension] for bag in bags.of(study.cohort)]
        )
        told["mean embedding"] = predict_centre(means, centres, rngs[0])
        quality, names = quality_medians(study)
        if names:
            told[f"quality ({', '.join(names)})"] = predict_centre(quality, centres, rngs[1])
    if images:
        colours = _glass(study.manifest)
        centres = study.manifest.patients.loc[colours.index, "centre"]
        found = predict_centre(colours.to_numpy(dtype=float), centres, rngs[2])
        told["colour of the glass alone"] = found
    return told


def _glass(cohort: Cohort) -> pd.DataFrame:
    """Give the mean glass colour of each patient's slides, where one can be read."""
    rows = {}
    with progress("glass (slides)", len(cohort.slides)) as advance:
        for patient in map(str, cohort.patients.index):
            seen = [_colour_if_readable(slide) for slide in cohort.slides_of(patient)]
            advance(len(seen), note=patient)
            known = [colour for colour in seen if colour is not None]
            if known:
                rows[patient] = np.mean(known, axis=0)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["red", "green", "blue"])


def _colour_if_readable(slide: Slide) -> NDArray[np.float64] | None:
    try:
        return background_colour(slide)
    except FAILURES:
        return None  # the audit of copies has named it


def _of_centres(told: Mapping[str, CentrePrediction], *, confounded: bool) -> list[Finding]:
    if not told:
        return [Finding("note", _CENTRE, "there is no bag yet: run cmil extract, then audit again")]
    found = []
    for name, one in told.items():
        if np.isnan(one.accuracy):
            found.append(Finding("note", _CENTRE, f"by {name}: {one.note}"))
            continue
        says = (
            f"by {name}, the centre of {one.accuracy:.0%} (95% CI {one.ci_low:.0%} to "
            f"{one.ci_high:.0%}) of patients is told, {one.by_chance:.0%} by chance"
        )
        grave = one.beats_chance and confounded
        if grave:
            says += "; label and centre go together, so a model may have learnt the centre"
        found.append(Finding("warning" if grave else "note", _CENTRE, says))
    return found


def _without_bag(study: Study) -> list[Finding]:
    """Name the centres in which slides have no bag, once there are bags."""
    if not study.cohort.slides:
        return []
    centre_of = study.manifest.patients["centre"]
    with_bag = {slide.slide_id for slide in study.cohort.slides}
    slides = pd.DataFrame(
        [(centre_of[s.patient_id], s.slide_id in with_bag) for s in study.manifest.slides],
        columns=["centre", "with_bag"],
    )
    return [
        Finding(
            "warning",
            "missing data",
            f"{int((~group['with_bag']).sum())} of {len(group)} slides of {centre} have no bag",
        )
        for centre, group in slides.groupby("centre")
        if not group["with_bag"].all()
    ]
