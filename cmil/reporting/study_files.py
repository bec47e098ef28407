"""What a report is made from: the files that the stages of one study left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cmil.bundle import ModelBundle
from cmil.protocol.log import Entry
from cmil.study_settings import StudySettings
from cmil.validation_results import ValidationResults
from cohorts.manifest import Cohort
from survival import SurvivalResults


@dataclass(frozen=True)
class StudyFiles:
    """A study after its last stage.

    Attributes
    ----------
    settings
        Of the study.
    cohort
        Everyone the manifest names.
    excluded
        patient_id -> why the patient is not analysed.
    bundle
        The frozen model.
    predictions
        One row a patient analysed.
    slides
        `patient_id, state` and the counts of patches of every slide; without a row where bags
        were made elsewhere.
    validation
        What the frozen score and decision are worth.
    survival
        What the score says of each endpoint, where the study names one.
    lock
        Digest of the protocol's lock, "" where the model was not locked.
    openings
        The log of openings, whole.
    scores_digest
        Of the file of the predictions, by which the log knows them.
    recalibration
        What recalibration at each centre would do, where that was asked for.
    """

    settings: StudySettings
    cohort: Cohort
    excluded: Mapping[str, str]
    bundle: ModelBundle
    predictions: pd.DataFrame
    slides: pd.DataFrame
    validation: ValidationResults
    survival: SurvivalResults | None = None
    lock: str = ""
    openings: Sequence[Entry] = ()
    scores_digest: str = ""
    recalibration: pd.DataFrame | None = None

    @property
    def is_opening(self) -> bool:
        """Whether it is an external cohort that was opened under the lock, and nothing else."""
        return bool(self.lock) and bool((self.cohort.patients["split"] == "external").all())

    @property
    def evaluations(self) -> Sequence[Entry]:
        """Openings in which external patients were evaluated."""
        return [entry for entry in self.openings if entry.action in ("study", "validate")]

    @property
    def provenance(self) -> str:
        """Digests under each figure."""
        parts = {
            "model": self.bundle.digest,
            "lock": self.lock,
            "cohort": self.cohort.digest,
        }
        known = ", ".join(f"{name} {digest[:12]}" for name, digest in parts.items() if digest)
        return f"{known[:1].upper()}{known[1:]}{'' if self.lock else ', not locked'}"
