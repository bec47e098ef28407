"""The one file that leaves a centre: scores by pseudonym or aggregates, QC counts, and the log."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cmil.kit.aggregates import CentreAggregate, CentreQuality, refuse_inconsistent
from cmil.protocol.lock import Lock
from cmil.protocol.log import Entry, parse_log, refuse_shortened
from cohorts.errors import FileFormatError
from cohorts.files import digest_of, read_json, write_json

RESULTS = "results.json"
FORMAT_VERSION = 1
_LARGEST = 256 << 20


class PatientScore(BaseModel):
    """A patient under a pseudonym, as in `predictions.csv`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    pseudonym: str
    centre: str
    score: float
    logit: float
    score_sd: float | None
    label: Literal[0, 1]
    decision: Literal[0, 1]
    n_patches: int


class Results(BaseModel):
    """What a centre sends.

    Attributes
    ----------
    lock
        Digest of the lock the kit ran under.
    cohort
        Digest of the cohort, keyed by the centre's secret.
    shared
        "patients", or "aggregates" alone.
    smallest_count
        Counts below it are hidden; None where patients are shared.
    entry, entry_digest
        Of the run, in the log.
    log
        Text of the centre's log of openings.
    software
        Release that ran.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["cmil-results"] = "cmil-results"
    format_version: int = FORMAT_VERSION
    software: str
    lock: str
    cohort: str
    shared: Literal["patients", "aggregates"]
    smallest_count: int | None
    patients: tuple[PatientScore, ...]
    aggregates: tuple[CentreAggregate, ...]
    quality: tuple[CentreQuality, ...]
    entry: int
    entry_digest: str
    log: str

    @property
    def centres(self) -> list[str]:
        """Names of the centres, in their order."""
        of_patients = [row.centre for row in self.patients]
        return list(dict.fromkeys([*of_patients, *(one.centre for one in self.aggregates)]))

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""
        return digest_of(self.model_dump(mode="json"))


def write_results(results: Results, path: Path) -> None:
    """Write the file, with its digest."""
    write_json(path, {**results.model_dump(mode="json"), "digest": results.digest})


def read_results(path: Path, lock: Lock) -> tuple[Results, tuple[Entry, ...]]:
    """Read what a centre sent, and check it against the lock, its digest, and its own log.

    Raises
    ------
    FileFormatError
        If it is missing, damaged, too large, changed, of another lock or of a newer version, or
        does not add up.
    """
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise FileFormatError(f'"{path}" is too large for a results file; refused')
    content = read_json(path)
    results = _parsed(path, content)
    if content["digest"] != results.digest:
        raise FileFormatError(f'"{path}" was changed after the kit wrote it; ask for it again')
    if results.lock != lock.digest:
        raise FileFormatError(
            f'"{path}" is of lock {results.lock[:12]}..., this bundle has {lock.digest[:12]}...; '
            "the centre ran another kit"
        )
    if (results.shared == "patients") != bool(results.patients) or (
        (results.shared == "aggregates") != bool(results.aggregates)
    ):
        raise FileFormatError(f'"{path}" must hold patients or aggregates, as "shared" says')
    entries = parse_log(results.log, lock.digest, f'of "{path}"')
    refuse_shortened(entries, results.entry, results.entry_digest, f'of "{path}"')
    if entries[results.entry - 1].cohort != results.cohort:
        raise FileFormatError(f'"{path}": its log speaks of another cohort')
    if wrong := refuse_inconsistent(results.aggregates):
        raise FileFormatError(f'"{path}": {wrong}')
    return results, entries


def _parsed(path: Path, content: Any) -> Results:
    if not isinstance(content, Mapping) or content.get("format") != "cmil-results":
        raise FileFormatError(f'"{path}" is no results file of cmil kit run')
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FileFormatError(
            f'"{path}" has format version {version}, this cMIL reads up to {FORMAT_VERSION}; '
            "upgrade cmil"
        )
    try:
        return Results.model_validate({n: v for n, v in content.items() if n != "digest"})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise FileFormatError(f'"{path}": {where}: {first["msg"]}; ask for it again') from error
