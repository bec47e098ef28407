"""Relate a score to survival."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil.commands.options import Json, Manifest, Out, Predictions, open_study, refuse_together

if TYPE_CHECKING:
    from cmil.study import Study


def survival(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY.toml|PREDICTIONS.csv",
            help="A study, or any predictions table with --endpoints.",
            show_default=False,
        ),
    ],
    out: Out,
    cohort: Manifest = None,
    predictions: Predictions = None,
    endpoints: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Of a table: outcomes and covariates by patient_id."),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=[ENTRY:]TIME,EVENT[,UNIT[,COMPETING...]]",
            help="Of a table: an endpoint and its columns; may be repeated.",
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="Of a table: file whose [survival] is read."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a table: of the bootstrap samples.")] = 0,
    exploratory: Annotated[
        bool,
        typer.Option(
            "--exploratory",
            help="Of a table: fit the cut-point unfrozen, if need be to these very patients; "
            "stamps every table and figure.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Relate the frozen score to survival at its locked cut-point."""
    from cmil.results_table import RESEARCH_USE, survival_json, survival_table

    if source.suffix.lower() == ".csv":
        of_study = {"--cohort": cohort, "--predictions": predictions}
        refuse_together("PREDICTIONS.csv", True, of_study)
        _relate_table(
            source, out, endpoints, endpoint or [], settings, seed, exploratory=exploratory
        )
    else:
        of_table = {
            "--endpoints": endpoints,
            "--endpoint": endpoint,
            "--settings": settings,
            "--seed": seed,
            "--exploratory": exploratory,
        }
        refuse_together("STUDY.toml", True, of_table)
        _relate_study(open_study(source, out, cohort, predictions=predictions), source)
    print(survival_json(out) if as_json else f"{survival_table(out)}\n\n{RESEARCH_USE}")


def _relate_table(
    source: Path,
    out: Path,
    endpoints: Path | None,
    endpoint: Sequence[str],
    settings: Path | None,
    seed: int,
    *,
    exploratory: bool,
) -> None:
    from cmil.survival_command import relate_table_to_survival
    from cohorts.errors import SettingsError

    if endpoints is None:
        raise SettingsError(f"{source.name}: a predictions table needs --endpoints, its outcomes")
    relate_table_to_survival(
        source, endpoints, endpoint, out, settings=settings, seed=seed, exploratory=exploratory
    )


def _relate_study(study: "Study", source: Path) -> None:
    from cmil.study import relate_to_survival
    from cohorts.errors import SettingsError

    if not study.settings.cohort.endpoints:
        raise SettingsError(f"{source.name}: no endpoint is named; name one in [cohort.endpoints]")
    relate_to_survival(study)
