"""Survival analysis of any predictions table, without a study and without torch."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from cohorts.errors import DataError, SettingsError
from survival import SurvivalResults, analyse, read_lock, write_figures
from survival.settings import SurvivalSettings
from survival.tables import development_digest, read_endpoint, read_patients, read_scores


def relate_table_to_survival(
    predictions: Path,
    patients: Path,
    endpoints: Sequence[str],
    out: Path,
    *,
    settings: Path | None = None,
    seed: int = 0,
    exploratory: bool = False,
) -> SurvivalResults:
    """Analyse a predictions table and write tables, figures and methods to `out/survival`.

    Parameters
    ----------
    predictions
        CSV: `patient_id, centre, split, score_kind, score` and, where known, `model_digest`.
    patients
        CSV: `patient_id` and the columns that endpoints and settings name.
    endpoints
        `NAME=[ENTRY:]TIME,EVENT[,UNIT[,COMPETING...]]`, see `survival.tables.read_endpoint`.
    out
        Folder of the results; a lock in `out/survival/cutpoint.json` is applied, not re-fitted.
    settings
        TOML file whose table `[survival]` is read; it may be a `study.toml`.
    seed
        Of the bootstrap samples.
    exploratory
        As of `survival.analyse`.

    Raises
    ------
    DataError
        If a table does not serve, or an exploratory analysis would lie beside a confirmatory one.
    SettingsError
        If settings or endpoints do not serve.
    """
    named = dict(read_endpoint(text) for text in endpoints)
    chosen = read_survival_settings(settings) if settings else SurvivalSettings()
    scores = read_scores(predictions)
    outcomes = read_patients(patients, scores)
    folder = out / "survival"
    lock = folder / "cutpoint.json"
    if exploratory and lock.exists():
        raise DataError(
            f'"{lock}" is of an analysis fixed beforehand; give --exploratory another --out'
        )
    if not named:
        columns = ", ".join(outcomes.columns)
        raise SettingsError(
            f'no --endpoint; name its columns, e.g. --endpoint "overall survival=TIME,EVENT,months"'
            f"; {patients.name} has {columns}"
        )
    # A lock made by a study knows its cohort by the manifest; its scores tell the patients.
    known = {"patient_id", "centre", "split"} <= set(scores.columns)
    digest = read_lock(lock).cohort_digest if lock.exists() else ""
    digest = digest or (development_digest(scores) if known else "")
    results = analyse(
        scores, outcomes, named, chosen, folder, digest, seed=seed, exploratory=exploratory
    )
    # What an analysis with other settings has left would pass for a result of this one.
    stale = [path for path in folder.glob("*.csv") if path.stem not in results.tables]
    for earlier in [*stale, *folder.glob("figures/*")]:
        earlier.unlink()
    write_figures(results, folder / "figures")
    return results


def read_survival_settings(path: Path) -> SurvivalSettings:
    """Read the table `[survival]` of a TOML file.

    Raises
    ------
    SettingsError
        If the file is missing or no TOML, or a setting is unknown or out of range; one line each.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SettingsError(f'settings "{path}" do not exist') from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}") from error
    if "survival" not in content:
        raise SettingsError(f"{path.name} has no table [survival]; write one, or drop --settings")
    try:
        return SurvivalSettings.model_validate(content["survival"])
    except ValidationError as error:
        raise SettingsError("\n".join(_lines(path, error))) from error


def _lines(path: Path, error: ValidationError) -> list[str]:
    return [
        f"{path.name}: {'.'.join(['survival', *(str(step) for step in fault['loc'])])}: "
        f"{fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
