"""What a validation asks of the bags: shift of a centre, patches needed, detection limit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.bundle import ModelBundle
from cmil.explanations.patch_truth import patch_truth
from cmil.patient_bags import PatientBags, read_patient_bags
from cmil.prediction import check_encoding
from cmil.progress import say
from cmil.protocol.lock import SHIFT, Lock
from cmil.referral.detection_limit import DetectionCurve, detection_by_fraction, detection_curve
from cmil.referral.patch_number import score_parts, stability
from cmil.referral.patient_descriptions import describe_patients, development_reference
from cmil.referral.planted_study import planted_scores
from cmil.referral.shift import shift_table
from cmil.referral.shift_file import read_shift_reference
from cmil.study import Study
from cohorts.manifest import Cohort
from feature_extraction.bags import bag_path, read_bag

MOST_PATIENTS = 30


@dataclass(frozen=True)
class BagTables:
    """As `cmil.validation_results.ValidationResults` has them; None where not made."""

    shift: pd.DataFrame | None = None
    stability: pd.DataFrame | None = None
    detection_points: pd.DataFrame | None = None
    detection: DetectionCurve | None = None


def ask_bags(
    study: Study, bundle: ModelBundle, cohort: Cohort, threshold: float, lock: Lock | None
) -> BagTables:
    """Read the bags once, and ask all that can be asked of them.

    Stability is of at most 30 patients, external ones where there are any. So is the detection
    limit, where `[explanations] annotations` mark patches.

    Parameters
    ----------
    cohort
        Patients with a score and a bag.
    threshold
        A score of at least this is a decision for metastasis.
    lock
        Under whose reference a shift is told; without a lock development is looked at here.

    Raises
    ------
    DataError
        If the bags are of another encoder or preprocessing than the model's.
    """
    bags = read_patient_bags(cohort, study.bags, memory_gb=study.settings.mil.memory_gb)
    check_encoding(bundle, bags)
    looked_at = cohort.external if cohort.external.slides else cohort.development
    points, curve = _detection(study, bundle, looked_at, bags, threshold)
    return BagTables(
        shift=_shift(study, cohort, bags, lock),
        stability=_stability(bundle, looked_at, bags, threshold, study.settings.seed),
        detection_points=points,
        detection=curve,
    )


def _shift(
    study: Study, cohort: Cohort, bags: PatientBags, lock: Lock | None
) -> pd.DataFrame | None:
    path, seed = study.model / SHIFT, study.settings.seed
    if cohort.external.patients.empty or (lock and not path.exists()):
        return None
    described = describe_patients(bags)
    reference = (
        read_shift_reference(path) if lock else development_reference(cohort, described, seed)
    )
    if reference is None:
        say("validate: too few development patients to tell the shift of a centre by")
        return None
    centres = {
        str(centre): np.stack([described[str(patient)] for patient in patients.index])
        for centre, patients in cohort.external.patients.groupby("centre", sort=True)
    }
    return shift_table(reference, centres, np.random.SeedSequence(seed))


def _stability(
    bundle: ModelBundle, cohort: Cohort, bags: PatientBags, threshold: float, seed: int
) -> pd.DataFrame | None:
    names = [str(patient) for patient in cohort.patients.index]
    drawn = np.random.default_rng(seed).permutation(len(names))[:MOST_PATIENTS]
    chosen = {names[number]: bags.bags[names[number]] for number in sorted(drawn)}
    parts = score_parts(bundle, chosen, seed)
    return None if parts.empty else stability(parts, threshold)


def _detection(
    study: Study, bundle: ModelBundle, cohort: Cohort, bags: PatientBags, threshold: float
) -> tuple[pd.DataFrame | None, DetectionCurve | None]:
    annotations = study.settings.explanations.annotations
    if annotations is None:
        return None, None
    labels = cohort.patients["label"]
    positive = [str(patient) for patient in labels.index[labels == 1]]
    marked = {patient: _marked(study, patient, annotations) for patient in positive}
    own = {str(patient): bags.bags[str(patient)] for patient in labels.index}
    scores = planted_scores(bundle, own, marked, labels, study.settings.seed)
    if scores.empty:
        say("validate: annotations mark too few patches to plant: no detection limit")
        return None, None
    detected = scores["score"] >= threshold
    points = detection_by_fraction(scores["fraction"], detected)
    curve = detection_curve(scores["fraction"], detected, scores["patient_id"])
    return points.assign(patches=int(scores["patches"].iloc[0])), curve


def _marked(study: Study, patient: str, annotations: Path) -> NDArray[np.float64]:
    """Tell which rows of a patient's bag are marked, in its order."""
    return np.concatenate(
        [
            patch_truth(
                annotations,
                slide.slide_id,
                read_bag(bag_path(study.bags, slide.slide_id), mapped=True),
                study.settings.explanations.annotation_class,
            )
            for slide in study.cohort.slides_of(patient)
        ]
    )
