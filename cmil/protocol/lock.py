"""`lock.json`: one digest over all that is decided before an external cohort is opened."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from cmil.bundle import FACTS
from cmil.calibration import Calibration
from cmil.frozen_record import FrozenRecord
from cmil.protocol.development import among
from cmil.referral.conformal import ReferralRule
from cohorts.errors import DataError, FileFormatError
from cohorts.files import digest_of, digest_of_file, json_text, write_text
from survival.cutpoint import CutPoint

LOCK = "lock.json"
SHIFT = "shift.safetensors"
FORMAT_VERSION = 1
_NAMED = 3


class Development(FrozenRecord):
    """The development patients, without their ids.

    Attributes
    ----------
    salt
        Of the digests: the model's digest.
    patients
        Salted digests of the ids, sorted.
    sources
        `source_digest` of the bags of their slides, sorted: the same images under another id are
        known by them. Bags of other programs have none.
    centres
        Names of the development centres.
    cohort_digest
        Of ids, centres, splits, labels and slide ids.
    """

    salt: str
    patients: tuple[str, ...]
    sources: tuple[str, ...]
    centres: tuple[str, ...]
    cohort_digest: str


class Lock(FrozenRecord):
    """What an external cohort is opened under; `digest` is over all of it.

    Attributes
    ----------
    label
        Column the model was trained to predict.
    model_digest
        Of the model's facts.
    travelling_model_digest
        Of the same facts with salted digests in place of the development patients' ids, as the
        validation kit carries them.
    files
        name of a file of the bundle -> digests of the bytes it may have: as trained and, where
        ids are in it, as it travels. What development looks like (`SHIFT`) has a row for each of
        its patients and does not travel.
    calibration, thresholds
        From logit to score, and from score to decision: name of the rule -> threshold. The first
        is the model's own.
    referral
        When the model answers; None without a rule.
    cutpoint
        From score to risk group; None for a study without endpoints.
    encoding
        Encoder and its digest, rule of patches, colour reference and all else by which bags
        compare.
    settings
        The study's settings but for its paths.
    development
        Who must not be in an external cohort.
    """

    format: Literal["cmil-lock"] = "cmil-lock"
    format_version: int = FORMAT_VERSION
    label: str
    model_digest: str
    travelling_model_digest: str
    files: Mapping[str, tuple[str, ...]]
    calibration: Calibration
    thresholds: Mapping[str, float]
    referral: ReferralRule | None
    cutpoint: CutPoint | None
    encoding: Mapping[str, str | int | float]
    settings: Mapping[str, Any]
    development: Development

    @property
    def threshold(self) -> float:
        """A score of at least this is a decision for metastasis."""
        return next(iter(self.thresholds.values()))

    @property
    def digest(self) -> str:
        """SHA-256 over everything that is locked."""
        return digest_of(self.stated())


def write_lock(lock: Lock, model: Path) -> None:
    """Write the lock into the bundle; one that is there may only be the same.

    Raises
    ------
    DataError
        If another lock is there; the line names what differs first.
    FileFormatError
        If the one that is there was changed by hand.
    """
    path = model / LOCK
    if path.exists():
        before = read_lock(model)
        if before != lock:
            names = [n for n in type(lock).model_fields if getattr(lock, n) != getattr(before, n)]
            differs = f"{'other' if names[0].endswith('s') else 'another'} {names[0]}"
            raise DataError(
                f'"{path}" is there and has {differs.replace("_", " ")}; a lock is not replaced: '
                "use a new output folder, or delete it deliberately, before any external cohort is "
                "opened"
            )
        return
    write_text(path, _text_of(lock))


def read_lock(model: Path) -> Lock:
    """Read a bundle's lock; its bytes must be those that were written.

    Raises
    ------
    FileFormatError
        If it is missing, was changed, or is of a newer version.
    """
    path = model / LOCK
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except FileNotFoundError as error:
        raise FileFormatError(f'"{path}" does not exist; run cmil lock') from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _changed(path) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise FileFormatError(
            f'"{path}" has format version {version}, this cMIL reads up to {FORMAT_VERSION}; '
            "upgrade cmil"
        )
    try:
        stated = content.pop("digest")
        lock = Lock.model_validate(content)
    except (AttributeError, KeyError, ValidationError) as error:
        raise _changed(path) from error
    if stated != lock.digest or text != _text_of(lock) or not lock.thresholds:
        raise _changed(path)
    return lock


def verify_lock(model: Path) -> Lock:
    """Read the lock and check every locked file of the bundle, byte by byte.

    Raises
    ------
    FileFormatError
        If a file is missing or one of its bytes differs; the line names the file.
    """
    lock = read_lock(model)
    for name, digests in lock.files.items():
        path = model / name
        if name == SHIFT and not path.exists() and _travels(lock, model):
            continue
        if not path.is_file():
            raise FileFormatError(f'locked file "{path}" is missing; restore the bundle')
        if digest_of_file(path) not in digests:
            raise _changed(path)
    return lock


def _travels(lock: Lock, model: Path) -> bool:
    """Tell whether the bundle is the one of a kit, without ids."""
    path = model / FACTS
    return path.is_file() and digest_of_file(path) == lock.files[FACTS][-1]


def refuse_locked(model: Path) -> None:
    """Refuse to train a model anew where its bundle is locked.

    Raises
    ------
    DataError
        If there is a lock.
    """
    if (model / LOCK).exists():
        raise DataError(
            f'the model in "{model}" is locked and is not trained again; what you changed needs a '
            "new output folder"
        )


def refuse_development(lock: Lock, patient_ids: list[str]) -> None:
    """Refuse an external cohort that holds development patients.

    Raises
    ------
    DataError
        Naming the first of them.
    """
    known = among(patient_ids, lock.development.patients, lock.development.salt)
    if known:
        named = ", ".join(f'"{name}"' for name in known[:_NAMED])
        more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        raise DataError(
            f"the model was developed on {named}{more}, whom the external cohort names too; leave "
            "out whoever is the same person, and give another id to whoever is not"
        )


def _text_of(lock: Lock) -> str:
    return json_text({**lock.stated(), "digest": lock.digest})


def _changed(path: Path) -> FileFormatError:
    return FileFormatError(
        f'"{path}" was changed after it was locked; restore the bundle as it was locked'
    )
