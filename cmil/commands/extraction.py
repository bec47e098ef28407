"""Make bags, and exchange them with other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil.commands.options import (
    Address,
    BagLayout,
    Engine,
    FeatureType,
    Json,
    Manifest,
    Out,
    StudyFile,
    Threads,
    Weights,
    exit_if_failed,
    machines_of,
    open_study,
    refuse_alone,
    refuse_together,
)

if TYPE_CHECKING:
    from cmil.extraction_stage import Work
    from cmil.study import Study


def extract(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    weights: Weights = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model whose colour reference the slides are brought to."),
    ] = None,
    max_patches: Annotated[
        int | None,
        typer.Option(min=1, help="Most patches of a slide: a seeded sample spread over it."),
    ] = None,
    coords: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Coordinate files of TRIDENT or CLAM, not our grid."),
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Only the I-th of N parts of the patients.")
    ] = "1/1",
    engine: Annotated[
        Engine, typer.Option(help="Where the encoder runs: this process, or a Ray cluster.")
    ] = Engine.LOCAL,
    address: Address = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try slides again that failed as they are.")
    ] = False,
    refilter: Annotated[
        bool,
        typer.Option("--refilter", help="Only apply the rule of patches to the bags; no slide."),
    ] = False,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Also draw kept and dropped patches, and a quality page."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what to expect: patches, hours, gigabytes."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result of --dry-run as JSON.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Embed the patches of every slide into bags."""
    from cmil.extraction_stage import Work, extract_bags, preview_bags, read_shard, refilter_bags

    of_making = {
        "--weights": weights,
        "--model": model,
        "--max-patches": max_patches,
        "--coords": coords,
        "--shard": shard != "1/1",
        "--engine": engine is not Engine.LOCAL,
        "--address": address,
        "--retry-failed": retry_failed,
    }
    refuse_together("--dry-run", dry_run, {"--refilter": refilter, "--preview": preview})
    refuse_together("--refilter", refilter, of_making)
    refuse_alone("--json", as_json, "--dry-run", dry_run)
    machines = machines_of(engine, address)
    opened = open_study(study, out, cohort, weights, threads, max_patches=max_patches, model=model)
    work = Work(read_shard(shard), machines, coords, retry_failed)
    if dry_run:
        _print_forecast(opened, work, as_json=as_json)
        return
    failed = refilter_bags(opened) if refilter else extract_bags(opened, work)
    if preview:
        page, undrawn = preview_bags(opened)
        print(page)
        failed = [*failed, *(reason for reason in undrawn if reason not in failed)]
    exit_if_failed(failed)


def encoders(as_json: Json = False) -> None:
    """List the encoders that have a name of their own, with licence and source of their weights."""
    from cmil.encoder_table import encoders_as_json, encoders_as_text
    from feature_extraction.encoders import known_encoders

    print((encoders_as_json if as_json else encoders_as_text)(known_encoders()))


def export(
    bags: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of bags.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")],
    layout: Annotated[
        BagLayout, typer.Option(help="TRIDENT's job folder (torchmil reads it too), or CLAM's.")
    ] = BagLayout.TRIDENT,
    dtype: Annotated[
        FeatureType, typer.Option(help="Models of CLAM and torchmil take no float16.")
    ] = FeatureType.FLOAT32,
) -> None:
    """Write the kept patches of every bag as TRIDENT or CLAM lays them out."""
    from feature_extraction.interchange import export_bags

    for bag in export_bags(bags, out, layout=layout.value, dtype=dtype.value):
        print(f"{bag.state} {bag.path}{f' ({bag.note})' if bag.note else ''}")


def _print_forecast(study: "Study", work: "Work", *, as_json: bool) -> None:
    import json

    from cmil.extraction_stage import forecast_bags
    from cmil.forecast_table import forecast_text

    expected = forecast_bags(study, work)
    if as_json:
        print(json.dumps(expected.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        print(forecast_text(expected, shared_out=work.shard != (1, 1)))
    exit_if_failed(expected.failing, "will fail")
