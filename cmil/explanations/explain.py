"""All patients: the tables of `explanations/`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cmil.attention import MapKind, attention_of_bag
from cmil.bundle import ModelBundle
from cmil.explanations.annotations import refuse_unknown_class
from cmil.explanations.enrichment import enrichment
from cmil.explanations.patch_measures import patch_measures
from cmil.explanations.patch_tables import PatchTable, read_patch_table
from cmil.explanations.patch_truth import patch_truth
from cmil.explanations.patient_explanation import explain_patient
from cmil.explanations.settings import ExplanationSettings
from cmil.explanations.summary import (
    BY_DECISION,
    BY_SCORE,
    effects_of_patients,
    mean_curves,
    summary,
    worth_of_maps,
)
from cmil.patient_bags import PatientBag
from cohorts.errors import DataError, FileFormatError
from cohorts.files import write_text
from cohorts.manifest import Cohort
from feature_extraction.bags import Bag, bag_path, read_bag

Slides = Mapping[str, Bag]
"""slide_id -> bag, of one patient."""


@dataclass(frozen=True)
class Explanations:
    """Tables of a study; each is a file of its field's name.

    Attributes
    ----------
    faithfulness
        One row a patient and map: `patient_id, centre, split, label, decision, map` and what
        `PatientExplanation.worth` holds.
    curves
        Mean deletion and insertion curves, see `mean_curves`.
    summary
        Means over patients, see `summary`.
    enrichment_patients
        One row a patient and measure: `patient_id, map, measure`, and `patient_effect`.
    enrichment
        One row a measure, see `enrichment`.
    """

    faithfulness: pd.DataFrame
    curves: pd.DataFrame
    summary: pd.DataFrame
    enrichment_patients: pd.DataFrame
    enrichment: pd.DataFrame


def table_path(folder: Path, name: str) -> Path:
    """Where a table lies."""
    return folder / f"{name}.csv"


def write_explanations(folder: Path, explanations: Explanations) -> list[Path]:
    """Write every table; give their paths."""
    paths = []
    for field in fields(explanations):
        paths.append(table_path(folder, field.name))
        write_text(paths[-1], getattr(explanations, field.name).to_csv(index=False))
    return paths


def read_explanations(folder: Path) -> Explanations:
    """Read the tables that `write_explanations` wrote.

    Raises
    ------
    FileFormatError
        If one is missing.
    """
    tables = {}
    for field in fields(Explanations):
        path = table_path(folder, field.name)
        if not path.exists():
            raise FileFormatError(f'"{path}" does not exist; run cmil explain')
        # Only an empty field is missing: a centre may well be called "NA".
        tables[field.name] = pd.read_csv(path, keep_default_na=False, na_values=[""])
    return Explanations(**tables)


def explain(
    bundle: ModelBundle,
    cohort: Cohort,
    *,
    bags: Path,
    attention: Path,
    settings: ExplanationSettings,
    seed: int,
    on_patient: Callable[[str], None] = lambda _: None,
) -> Explanations:
    """Check the maps of every patient of a cohort, one after the other.

    Parameters
    ----------
    bags, attention
        Folders of the slides' bags and attention files.
    seed
        Of random orders; a patient's own do not depend on who else is there.

    Raises
    ------
    FileFormatError
        If a bag, attention file or annotation is missing or damaged, or they do not match.
    SettingsError
        If no annotation is of the class that counts.
    DataError
        If a patch table does not serve, or speaks of none of the patches, or no annotation is of
        a slide with a bag.
    """
    if settings.annotations and settings.annotation_class:
        refuse_unknown_class(settings.annotations, settings.annotation_class)
    tables = [read_patch_table(path) for path in settings.patch_tables]
    unheard = {table.name for table in tables}
    found, annotated = {}, False
    for patient_id in cohort.patients.index:
        slides = {
            slide.slide_id: read_bag(bag_path(bags, slide.slide_id))
            for slide in cohort.slides_of(patient_id)
        }
        measures = _measures(tables, slides)
        unheard -= {name.split(": ")[0] for name, values in measures.items() if _said(values)}
        truth = _truth(settings, slides)
        annotated = annotated or _said(truth)
        found[patient_id] = explain_patient(
            bundle,
            patient_id,
            _whole(slides),
            _maps(attention, slides),
            measures=measures,
            truth=truth,
            rng=np.random.default_rng([seed, *patient_id.encode()]),
        )
        on_patient(patient_id)
    if unheard:
        raise DataError(
            f'no row of patch table "{sorted(unheard)[0]}" is a patch of a bag; its slide_id, '
            "image, x and y must be those of the bags, corners in level-0 px"
        )
    if settings.annotations and not annotated:
        raise DataError(
            f'no file in "{settings.annotations}" is named after a slide with a bag: '
            "<slide_id>.geojson, or <slide_id>/<image>.geojson for each image of a folder; "
            "rename the files, or drop [explanations] annotations"
        )
    worth, effects = worth_of_maps(cohort.patients, found), effects_of_patients(found)
    groups = BY_DECISION if bundle.facts.mil.task == "binary" else BY_SCORE
    curves, means = mean_curves(found, groups), summary(worth, groups)
    return Explanations(worth, curves, means, effects, enrichment(effects))


def _whole(slides: Slides) -> PatientBag:
    features = np.concatenate([bag.features for bag in slides.values()])
    coords = {slide_id: bag.coords for slide_id, bag in slides.items()}
    return PatientBag(torch.from_numpy(features), coords)


def _maps(attention: Path, slides: Slides) -> dict[MapKind, NDArray[np.float32]]:
    looked = [attention_of_bag(attention, name, bag).maps for name, bag in slides.items()]
    return {kind: np.concatenate([maps[kind] for maps in looked]) for kind in looked[0]}


def _measures(tables: Sequence[PatchTable], slides: Slides) -> dict[str, NDArray[np.float64]]:
    each = [patch_measures(tables, slide_id, bag) for slide_id, bag in slides.items()]
    unknown = [np.full(len(bag), np.nan) for bag in slides.values()]
    return {
        name: np.concatenate(
            [of.get(name, nothing) for of, nothing in zip(each, unknown, strict=True)]
        )
        for name in dict.fromkeys(name for of in each for name in of)
    }


def _said(values: NDArray[np.float64]) -> bool:
    return not np.isnan(values).all()


def _truth(settings: ExplanationSettings, slides: Slides) -> NDArray[np.float64]:
    folder, only = settings.annotations, settings.annotation_class
    if folder is None:
        return np.full(sum(len(bag) for bag in slides.values()), np.nan)
    each = [patch_truth(folder, slide_id, bag, only) for slide_id, bag in slides.items()]
    return np.concatenate(each)
