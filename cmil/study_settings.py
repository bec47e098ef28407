"""Read `study.toml`: every setting of a study in one file, every unknown key an error."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cmil.explanations.settings import ExplanationSettings
from cmil.nearest_name import nearest_name
from cmil.settings import MilSettings, reads
from cmil.validation.settings import ValidationSettings
from cohorts.errors import SettingsError
from cohorts.settings import CohortSettings
from feature_extraction.settings import ExtractionSettings
from survival.settings import SurvivalSettings


class StudySettings(BaseModel):
    """The whole of a `study.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field("Metastasis from bone marrow smears", description="heads the result page")
    seed: int = Field(0, ge=0, description="of everything random in the study")
    cohort: CohortSettings
    extraction: ExtractionSettings
    mil: MilSettings = MilSettings()
    explanations: ExplanationSettings = ExplanationSettings()
    validation: ValidationSettings = ValidationSettings()
    survival: SurvivalSettings = SurvivalSettings()

    @model_validator(mode="after")
    def _task_is_of_the_cohort(self) -> Self:
        endpoints = ", ".join(self.cohort.endpoints) or "none"
        if self.mil.task == "survival" and self.mil.endpoint not in self.cohort.endpoints:
            raise ValueError(
                f'mil.endpoint "{self.mil.endpoint}" is not in [cohort.endpoints], which has '
                f"{endpoints}"
            )
        if self.mil.task == "survival" and self.cohort.endpoints[self.mil.endpoint].entry:
            raise ValueError(
                f'mil.endpoint "{self.mil.endpoint}" has patients who enter late, which training '
                "does not allow for; learn another endpoint, or drop its entry"
            )
        if (self.mil.task == "classes") != bool(self.cohort.classes):
            raise ValueError(
                'mil.task "classes" and [cohort] classes, their names, go together; state both or '
                "neither"
            )
        return self


def read_study_settings(
    path: Path,
    *,
    manifest: Path | None = None,
    weights: Path | None = None,
    max_patches: int | None = None,
) -> StudySettings:
    """Read a study's settings; paths in it are relative to it.

    Parameters
    ----------
    path
        A TOML file.
    manifest, weights
        Take the place of `cohort.manifest` and `extraction.weights`, relative to the working
        folder: the same study on another machine.
    max_patches
        Takes the place of `extraction.max_patches`.

    Raises
    ------
    SettingsError
        One line for each thing that is wrong, with the nearest known key for an unknown one.
    """
    content = _read_toml(path)
    cohort, extraction = _table(path, content, "cohort"), _table(path, content, "extraction")
    if "manifest" in cohort:
        cohort["manifest"] = str(path.parent / str(cohort["manifest"]))
    _resolve_explanations(path, _table(path, content, "explanations"))
    validation = _table(path, content, "validation")
    if "ratings" in validation:
        validation["ratings"] = str(path.parent / str(validation["ratings"]))
    if "weights" in extraction:
        extraction["weights"] = str(path.parent / str(extraction["weights"]))
    if manifest:
        cohort["manifest"] = str(manifest)
    if weights:
        extraction["weights"] = str(weights)
    if max_patches:
        extraction["max_patches"] = max_patches
    try:
        settings = StudySettings.model_validate(content)
    except ValidationError as error:
        lines = [_explain(path, problem) for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from error
    _refuse_idle_search(path, settings.mil)
    return settings


def _refuse_idle_search(path: Path, mil: MilSettings) -> None:
    """Refuse a search over what no aggregator of the study reads.

    No part of the settings themselves: those of a lock do not say what was compared.
    """
    names = (mil.aggregator, *mil.compare)
    for setting in mil.search:
        if not any(reads(name, setting) for name in names):
            raise SettingsError(
                f"{path.name}: mil.search.{setting} changes nothing about {' or '.join(names)}; "
                "leave it out"
            )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SettingsError(f'study "{path}" does not exist') from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise SettingsError(f'study "{path}" is not valid TOML: {error}') from error


def _table(path: Path, content: dict[str, Any], name: str) -> dict[str, Any]:
    table = content.setdefault(name, {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path.name}: {name} must be a table: write [{name}] on its own line")
    return table


def _resolve_explanations(path: Path, table: dict[str, Any]) -> None:
    if "annotations" in table:
        table["annotations"] = str(path.parent / str(table["annotations"]))
    if isinstance(table.get("patch_tables"), list):
        table["patch_tables"] = [str(path.parent / str(name)) for name in table["patch_tables"]]


def _explain(path: Path, problem: Mapping[str, Any]) -> str:
    where = ".".join(str(step) for step in problem["loc"]) or "study"
    if problem["type"] == "missing":
        return f"{path.name}: {where} is not set; add it"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(problem["loc"][:-1])
        close = nearest_name(str(problem["loc"][-1]), known)
        hint = f'did you mean "{close}"?' if close else f"known keys: {', '.join(known)}"
        return f"{path.name}: {where} is not a setting; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (it is {problem['input']!r})"
    return f"{path.name}: {where}: {message}{given}{_meant(problem)}"


def _meant(problem: Mapping[str, Any]) -> str:
    """Name the permitted value that is nearest to a misspelt one, if one is."""
    if problem["type"] != "literal_error" or not isinstance(problem["input"], str):
        return ""
    permitted = re.findall("'([^']*)'", problem["ctx"]["expected"])
    close = nearest_name(problem["input"], permitted, cutoff=0.6)
    return f'; did you mean "{close}"?' if close else ""


def _known_keys(location: Sequence[Any]) -> list[str]:
    """Keys of the settings model at `location`, stepping through tables of named models."""
    model: Any = StudySettings
    for step in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            if str(step) not in model.model_fields:
                return []
            model = model.model_fields[str(step)].annotation
        elif get_origin(model) in {Union, UnionType}:
            model = get_args(model)[0]
        else:  # a table whose keys are the user's own names
            model = get_args(model)[-1] if get_args(model) else None
    named = isinstance(model, type) and issubclass(model, BaseModel)
    return list(model.model_fields) if named else []
