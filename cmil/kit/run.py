"""`cmil kit run`: an outside centre scores its own patients, and shares no more than it chooses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cmil import __version__
from cmil.kit.aggregates import CentreQuality, aggregate, shared_count
from cmil.kit.archive import extract_members, opened_archive, read_member
from cmil.kit.build import FACTS_OF_KIT, FORMAT, MODEL_FILES, VERSION
from cmil.kit.pseudonyms import keyed_digest, pseudonym, read_secret
from cmil.kit.results import RESULTS, PatientScore, Results, write_results
from cmil.protocol.external import ExternalStudy, external_study
from cmil.protocol.lock import Lock, verify_lock
from cmil.protocol.log import LOG, append_entry, read_log
from cmil.protocol.opening import fit_scores, score_external
from cmil.protocol.own_opening import patients_of_centres
from cohorts.errors import FileFormatError, SettingsError
from cohorts.files import digest_of_file, write_text


@dataclass(frozen=True)
class Sharing:
    """What leaves the centre.

    Attributes
    ----------
    aggregates_only
        Counts and means of each centre, no patient.
    smallest_count
        Of aggregates, counts below it are hidden.
    """

    aggregates_only: bool
    smallest_count: int

    @property
    def hides_below(self) -> int:
        """Counts below this are hidden; of patients shared one by one, none."""
        return self.smallest_count if self.aggregates_only else 0


@dataclass(frozen=True)
class KitRun:
    """The file to send, and one line for each slide that failed."""

    results: Path
    lock: str
    failed: Sequence[str]


def run_kit(
    kit: Path,
    manifest: Path,
    out: Path,
    sharing: Sharing,
    *,
    bags: Path | None = None,
    weights: Path | None = None,
) -> KitRun:
    """Extract with the frozen preprocessing, predict, log, and write the file that may leave.

    In `out`, `results.json` and the log are for the study; `private/` stays: the unpacked model,
    bags, predictions, the secret, and which pseudonym is whose.

    Raises
    ------
    FileFormatError
        If the kit is damaged, was changed, or leads out of its folder.
    SettingsError
        If the smallest count is below 3, or the log of earlier runs holds smaller counts.
    DataError
        If the cohort holds development patients, or its bags are of another preprocessing.
    """
    if sharing.smallest_count < 3:
        raise SettingsError("--smallest-count must be 3 or more; 5 is usual")
    private = out / "private"
    model = private / "kit" / "model"
    lock = unpack_kit(kit, private / "kit")
    _refuse_told_counts(out / LOG, lock, sharing)
    study = external_study(lock, model, manifest, private, bags=bags, weights=weights)
    failed = score_external(lock, study, make_bags=bags is None)
    scores = fit_scores(lock, study)
    secret = read_secret(private / "secret.key")
    hides_below = sharing.hides_below
    counts = patients_of_centres(scores)
    cohort = keyed_digest(study.manifest.digest, secret)
    entry = append_entry(
        out / LOG,
        action="kit run",
        lock=lock.digest,
        cohort=cohort,
        # The log goes along with every later run, of aggregates too.
        centres={n: shared_count(count, sharing.smallest_count) for n, count in counts.items()},
        scores=keyed_digest(digest_of_file(study.predictions), secret),
    )
    names = {patient: pseudonym(patient, secret) for patient in scores["patient_id"]}
    _write_names(private / "pseudonyms.csv", names)
    only = sharing.aggregates_only
    results = Results(
        software=__version__,
        lock=lock.digest,
        cohort=cohort,
        shared="aggregates" if only else "patients",
        smallest_count=hides_below or None,
        patients=() if only else _patients(scores, names),
        aggregates=aggregate(scores, hides_below) if only else (),
        quality=quality_of(study, scores, hides_below),
        entry=entry.number,
        entry_digest=entry.digest,
        log=(out / LOG).read_text(encoding="utf-8"),
    )
    write_results(results, out / RESULTS)
    return KitRun(out / RESULTS, lock.digest, failed)


def unpack_kit(kit: Path, folder: Path) -> Lock:
    """Unpack the model of a kit, and check it against the kit's list and its lock.

    Raises
    ------
    FileFormatError
        If the file is no kit, is damaged, or was changed.
    """
    with opened_archive(kit) as archive:
        try:
            facts = json.loads(read_member(archive, FACTS_OF_KIT))
        except ValueError as error:
            raise FileFormatError(f'"{kit}": {FACTS_OF_KIT} is damaged; get it again') from error
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise FileFormatError(f'"{kit}" is no validation kit')
        if facts.get("format_version") != VERSION:
            raise FileFormatError(
                f'"{kit}" has format version {facts.get("format_version")}, this cMIL reads '
                f"{VERSION}; install cMIL from the kit"
            )
        extract_members(archive, MODEL_FILES, folder)
    for name in MODEL_FILES:
        if digest_of_file(folder / name) != facts.get("files", {}).get(name):
            raise FileFormatError(f'"{kit}": "{name}" was changed; get the kit again')
    lock = verify_lock(folder / "model")
    if facts.get("lock") != lock.digest:
        raise FileFormatError(f'"{kit}" states another lock than it holds; get it again')
    return lock


def quality_of(
    study: ExternalStudy, scores: pd.DataFrame, hides_below: int
) -> tuple[CentreQuality, ...]:
    """Count, centre by centre, slides with and without a bag, patients without score, patches."""
    centre_of = study.manifest.patients["centre"]
    with_bag = {slide.slide_id for slide in study.cohort.slides}
    slides = pd.DataFrame(
        {
            "centre": [centre_of[slide.patient_id] for slide in study.manifest.slides],
            "with_bag": [slide.slide_id in with_bag for slide in study.manifest.slides],
        }
    )
    unscored = centre_of[~centre_of.index.isin(scores["patient_id"])].value_counts()
    patches = scores.groupby("centre")["n_patches"].sum()
    return tuple(
        CentreQuality(
            centre=str(centre),
            slides_with_bag=shared_count(int(group["with_bag"].sum()), hides_below),
            slides_without_bag=shared_count(int((~group["with_bag"]).sum()), hides_below),
            patients_without_score=shared_count(int(unscored.get(centre, 0)), hides_below),
            patches=int(patches.get(centre, 0))
            if shared_count(int(group["with_bag"].sum()), hides_below) is not None
            else None,
        )
        for centre, group in slides.groupby("centre")
    )


def _refuse_told_counts(log: Path, lock: Lock, sharing: Sharing) -> None:
    if not (sharing.aggregates_only and log.exists()):
        return
    told = [count for entry in read_log(log, lock.digest) for count in entry.centres.values()]
    if any(count is not None and count < sharing.smallest_count for count in told):
        raise SettingsError(
            f'"{log}", which goes along, holds counts below {sharing.smallest_count} of an earlier '
            "run with a lower --smallest-count; give --out a new folder"
        )


def _patients(scores: pd.DataFrame, names: dict[str, str]) -> tuple[PatientScore, ...]:
    """Rename the patients; the manifest's order would tell who is who, so it is not kept."""
    rows = [
        PatientScore(
            pseudonym=names[row["patient_id"]],
            centre=str(row["centre"]),
            score=float(row["score"]),
            logit=float(row["logit"]),
            score_sd=None if pd.isna(row["score_sd"]) else float(row["score_sd"]),
            label=1 if row["label"] == 1 else 0,
            decision=1 if row["decision"] == 1 else 0,
            n_patches=int(row["n_patches"]),
        )
        for row in scores.to_dict("records")
    ]
    return tuple(sorted(rows, key=lambda row: row.pseudonym))


def _write_names(path: Path, names: dict[str, str]) -> None:
    table = pd.DataFrame({"pseudonym": list(names.values()), "patient_id": list(names)})
    write_text(path, table.to_csv(index=False))
