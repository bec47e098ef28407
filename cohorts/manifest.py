"""Read `cohort.csv` into a `Cohort`, or say everything that is wrong with it at once."""

import csv
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cohorts.errors import ManifestError
from cohorts.files import digest_of
from cohorts.settings import MISSING, CohortSettings

REQUIRED_COLUMNS = ("patient_id", "slide_id", "path", "centre")
SPLITS = ("development", "external")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
# A coarser image than 20 um or a finer one than 0.01 um per pixel is a slip of the decimal point.
MPP_RANGE = (0.01, 20.0)
_UNSAFE_IN_FILE_NAME = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')


class SourceKind(StrEnum):
    """What a manifest's `path` names."""

    SLIDE = "slide"
    FOLDER = "folder"
    LIST = "list"
    IMAGE = "image"


@dataclass(frozen=True)
class Slide:
    """One row of the manifest: an image source of one patient."""

    slide_id: str
    patient_id: str
    path: Path
    kind: SourceKind
    mpp: float | None
    row: int


@dataclass(frozen=True)
class Cohort:
    """A validated study population.

    Attributes
    ----------
    slides
        The image sources, in the manifest's order.
    patients
        Indexed by `patient_id`, one row each, in order of first appearance: `centre`, `split`,
        `label` (0 or 1, where the study names a label column), and under their own names the
        numeric endpoint and covariate columns (NaN where missing) and columns of words (None where
        missing).
    manifest
        The file all this was read from.
    classes
        Names of the label's classes, if it has more than two; `label` is the number of one.
    """

    slides: tuple[Slide, ...]
    patients: pd.DataFrame
    manifest: Path
    classes: tuple[str, ...] = ()

    @property
    def development(self) -> "Cohort":
        """The patients a model may learn from."""
        return self._of_split("development")

    @property
    def external(self) -> "Cohort":
        """The patients a frozen model is validated on."""
        return self._of_split("external")

    @property
    def digest(self) -> str:
        """SHA-256 of who is in it: patients, centres, splits, labels and slide ids.

        Endpoints and covariates do not enter, so that a corrected survival time does not make a
        new cohort of the one a model was trained on; `outcomes_digest` is theirs. Nor does it
        matter where the images lie.
        """
        known = [name for name in ("centre", "split", "label") if name in self.patients]
        slides = [(slide.patient_id, slide.slide_id) for slide in self.slides]
        return digest_of([_columns(self.patients, known), slides])

    @property
    def outcomes_digest(self) -> str:
        """SHA-256 of every patient-level column, endpoints and covariates included."""
        return digest_of(_columns(self.patients, list(self.patients.columns)))

    def slides_of(self, patient_id: str) -> tuple[Slide, ...]:
        """All image sources of one patient."""
        return tuple(slide for slide in self.slides if slide.patient_id == patient_id)

    def with_slides(self, slide_ids: Iterable[str]) -> "Cohort":
        """Keep these slides, and the patients who have at least one of them."""
        wanted = set(slide_ids)
        slides = tuple(slide for slide in self.slides if slide.slide_id in wanted)
        left = {slide.patient_id for slide in slides}
        return replace(self, slides=slides, patients=self.patients[self.patients.index.isin(left)])

    def restricted_to(self, patient_ids: Iterable[str]) -> "Cohort":
        """Keep these patients and their slides, in the cohort's order."""
        kept = set(patient_ids)
        return replace(
            self,
            slides=tuple(slide for slide in self.slides if slide.patient_id in kept),
            patients=self.patients[self.patients.index.isin(kept)],
        )

    def _of_split(self, split: str) -> "Cohort":
        return self.restricted_to(self.patients.index[self.patients["split"] == split])


def read_cohort(
    settings: CohortSettings, covariates: Sequence[str] = (), words: Sequence[str] = ()
) -> Cohort:
    """Read and validate the manifest that `settings` names.

    Parameters
    ----------
    settings
        The manifest, and its label and endpoint columns.
    covariates
        Further patient-level columns that hold numbers.
    words
        Further patient-level columns that are kept as they are written.

    Raises
    ------
    ManifestError
        With one line per problem, each naming the row (the header is row 1) and the column.
    """
    manifest = settings.manifest
    header, rows = read_rows(manifest)
    endpoints = settings.endpoints.values()
    numeric = dict.fromkeys([*(c for e in endpoints for c in e.columns), *covariates])
    kept = [name for name in dict.fromkeys(words) if name not in numeric]
    named = [*([settings.label] if settings.label else []), *numeric, *kept]
    _check_columns(manifest, header, named)
    clashing = [
        name for name in [*numeric, *kept] if name in {"centre", "split", "label", settings.label}
    ]
    if clashing:
        raise ManifestError(
            [
                f'{manifest.name}: column "{name}" is named as endpoint, covariate or subgroup '
                "and has another role too; rename it"
                for name in clashing
            ]
        )
    columns = _PatientColumns(settings.label, tuple(numeric), tuple(kept))
    return _ManifestReader(manifest, columns, header, rows, settings.classes).read()


def read_rows(manifest: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read the names of a manifest's columns, and its rows as they are written.

    Returns
    -------
    header, and one mapping of column to text a row, whose key "" is the number of the row.

    Raises
    ------
    ManifestError
        If the file is missing, no CSV in UTF-8, ragged, or has no row.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except FileNotFoundError as error:
        raise ManifestError([f'manifest "{manifest}" does not exist']) from error
    except IsADirectoryError as error:
        raise ManifestError([f'manifest "{manifest}" is a folder; name the CSV file']) from error
    except UnicodeDecodeError as error:
        raise ManifestError([f"{manifest.name} is not UTF-8 text; save it as CSV UTF-8"]) from error
    except csv.Error as error:
        raise ManifestError([f"{manifest.name} is not valid CSV: {error}"]) from error
    if not lines:
        raise ManifestError([f"{manifest.name} is empty; its first row must name the columns"])
    header = [name.strip() for name in lines[0]]
    numbered = [(row, line) for row, line in enumerate(lines[1:], start=2) if any(line)]
    ragged = [
        f"{manifest.name} row {row}: {len(line)} values for {len(header)} columns"
        for row, line in numbered
        if len(line) != len(header)
    ]
    if ragged:
        raise ManifestError(ragged)
    if not numbered:
        raise ManifestError([f"{manifest.name} has no rows below its header"])
    return header, [
        {**{name: _clean(value) for name, value in zip(header, line, strict=True)}, "": str(row)}
        for row, line in numbered
    ]


def _clean(value: str) -> str:
    """Strip, and spell composed letters one way: a Mac writes them in two code points."""
    return unicodedata.normalize("NFC", value.strip())


def _check_columns(manifest: Path, header: Sequence[str], named: Sequence[str]) -> None:
    absent = [name for name in [*REQUIRED_COLUMNS, *named] if name not in header]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    problems = [f'{manifest.name}: column "{name}" occurs more than once' for name in repeated]
    if absent and len(header) == 1 and ";" in header[0]:
        problems.append(f"{manifest.name} is separated by ';'; save it with commas")
    elif absent:
        has = ", ".join(header)
        problems += [f'{manifest.name}: no column "{name}"; it has {has}' for name in absent]
    if problems:
        raise ManifestError(problems)


class _PatientColumns(NamedTuple):
    """Which columns are of a patient, besides centre and split."""

    label: str | None
    numeric: tuple[str, ...]
    words: tuple[str, ...]


class _ManifestReader:
    """Collects problems while it reads, so that one run names them all."""

    def __init__(
        self,
        manifest: Path,
        columns: _PatientColumns,
        header: Sequence[str],
        rows: Sequence[Mapping[str, str]],
        classes: Sequence[str],
    ) -> None:
        self.manifest = manifest
        self.label, self.numeric, self.words = columns
        self.rows = rows
        self.classes = tuple(classes)
        self.has_split = "split" in header
        self.has_mpp = "mpp" in header
        self.problems: list[str] = []

    def read(self) -> Cohort:
        slides = tuple(self._slide(row) for row in self.rows)
        self._check_identifiers(slides)
        patients = self._patients()
        if self.problems:
            raise ManifestError(self.problems)
        return Cohort(slides, patients, self.manifest, self.classes)

    def _problem(self, row: int | str, column: str, text: str) -> None:
        self.problems.append(f'{self.manifest.name} row {row}, column "{column}": {text}')

    def _slide(self, row: Mapping[str, str]) -> Slide:
        for column in REQUIRED_COLUMNS:
            if not row[column]:
                self._problem(row[""], column, "is empty")
        for column in ("patient_id", "slide_id"):
            if _cannot_name_a_file(row[column]):
                mend = "use letters, digits, - and _"
                self._problem(row[""], column, f'"{row[column]}" cannot name a file; {mend}')
        path = self._path(row)
        mpp = self._mpp(row)
        return Slide(row["slide_id"], row["patient_id"], path, _kind_of(path), mpp, int(row[""]))

    def _path(self, row: Mapping[str, str]) -> Path:
        for form in ("NFC", "NFD"):  # what a Mac wrote may lie on its disk in either spelling
            path = self.manifest.parent / unicodedata.normalize(form, row["path"])
            if row["path"] and _exists(path):
                return path
        if row["path"]:
            self._problem(row[""], "path", f'"{row["path"]}" does not exist beside the manifest')
        return self.manifest

    def _mpp(self, row: Mapping[str, str]) -> float | None:
        if not self.has_mpp or row["mpp"].lower() in MISSING:
            return None
        mpp = _number(row["mpp"])
        if mpp is None or not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
            self._problem(row[""], "mpp", f'"{row["mpp"]}" is not microns per pixel, e.g. 0.25')
            return None
        return mpp

    def _check_identifiers(self, slides: Sequence[Slide]) -> None:
        for slide, first in _repeats(slides, lambda s: s.slide_id.casefold()):
            again = "occurs" if slide.slide_id == first.slide_id else "occurs in another case"
            self._problem(slide.row, "slide_id", f'"{slide.slide_id}" {again} in row {first.row}')
        found = [slide for slide in slides if slide.path != self.manifest]
        for slide, first in _repeats(found, lambda s: s.path.resolve()):
            whose = "another patient" if slide.patient_id != first.patient_id else "this patient"
            self._problem(slide.row, "path", f"is that of row {first.row} already, {whose}'s")
        spelt: dict[str, Slide] = {}
        for slide in slides:
            first = spelt.setdefault(slide.patient_id.casefold(), slide)
            if first.patient_id != slide.patient_id:
                self._problem(
                    slide.row,
                    "patient_id",
                    f'"{slide.patient_id}" and "{first.patient_id}" (row {first.row}) differ in '
                    "case only; spell one patient one way",
                )

    def _patients(self) -> pd.DataFrame:
        firsts: dict[str, Mapping[str, str]] = {}
        columns = ["centre", *(["split"] if self.has_split else [])]
        columns += [self.label] if self.label else []
        columns += [*self.numeric, *self.words]
        for row in self.rows:
            if not row["patient_id"]:
                continue  # said already
            first = firsts.setdefault(row["patient_id"], row)
            for column in dict.fromkeys(columns):
                if row[column] != first[column]:
                    self._disagreement(row, first, column)
        records = {patient: self._patient(row) for patient, row in firsts.items()}
        table = pd.DataFrame.from_dict(records, orient="index")
        table.index.name = "patient_id"
        return table

    def _disagreement(self, row: Mapping[str, str], first: Mapping[str, str], column: str) -> None:
        mend = (
            "a patient is in development or external, never in both"
            if column == "split"
            else "a patient-level column must agree over a patient's rows"
        )
        self._problem(
            row[""],
            column,
            f'patient "{row["patient_id"]}" has "{row[column]}" here but "{first[column]}" in row '
            f"{first['']}; {mend}",
        )

    def _patient(self, row: Mapping[str, str]) -> dict[str, str | int | float | None]:
        record: dict[str, str | int | float | None] = {
            "centre": row["centre"],
            "split": self._split(row),
        }
        if self.label:
            record["label"] = self._label(row, self.label)
        for column in self.numeric:
            record[column] = self._numeric(row, column)
        for column in self.words:
            record[column] = None if row[column].lower() in MISSING else row[column]
        return record

    def _split(self, row: Mapping[str, str]) -> str:
        if not self.has_split:
            return "development"
        if row["split"] not in SPLITS:
            self._problem(row[""], "split", f'"{row["split"]}" is neither {" nor ".join(SPLITS)}')
        return row["split"]

    def _label(self, row: Mapping[str, str], column: str) -> int:
        if row[column].lower() in MISSING:
            known = "one of its classes" if self.classes else "0 or 1"
            self._problem(
                row[""], column, f'patient "{row["patient_id"]}" has no label; give {known}'
            )
            return 0
        if self.classes:
            return self._class(row, column)
        value = _number(row[column])
        if value not in (0.0, 1.0):
            self._problem(row[""], column, f'label "{row[column]}" is neither 0 nor 1')
            return 0
        return int(value)

    def _class(self, row: Mapping[str, str], column: str) -> int:
        if row[column] not in self.classes:
            known = ", ".join(self.classes)
            self._problem(row[""], column, f'"{row[column]}" is not one of the classes {known}')
            return 0
        return self.classes.index(row[column])

    def _numeric(self, row: Mapping[str, str], column: str) -> float:
        if row[column].lower() in MISSING:
            return math.nan
        value = _number(row[column])
        if value is None:
            self._problem(row[""], column, f'"{row[column]}" is not a number')
            return math.nan
        return value


def _columns(patients: pd.DataFrame, names: Sequence[str]) -> list[object]:
    values = [[None if pd.isna(v) else v for v in patients[name].tolist()] for name in names]
    return [list(patients.index), list(names), values]


def _repeats(
    slides: Sequence[Slide], key: Callable[[Slide], object]
) -> Iterator[tuple[Slide, Slide]]:
    first_with: dict[object, Slide] = {}
    for slide in slides:
        first = first_with.setdefault(key(slide), slide)
        if first is not slide and key(slide):
            yield slide, first


def _cannot_name_a_file(identifier: str) -> bool:
    unsafe = identifier.startswith(".") or _UNSAFE_IN_FILE_NAME.search(identifier)
    return bool(unsafe) or len(identifier.encode()) > 120


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, a folder one may not enter, a NUL
        return False


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _kind_of(path: Path) -> SourceKind:
    if path.is_dir():
        # A MIRAX or DICOM slide is named by its file; a folder always holds plain images.
        return SourceKind.FOLDER
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return SourceKind.LIST
    return SourceKind.IMAGE if suffix in IMAGE_SUFFIXES else SourceKind.SLIDE
