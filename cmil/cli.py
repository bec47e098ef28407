"""The command line. Every command parses, calls one function, and prints."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil import __version__
from cmil.plan_command import plan_app

if TYPE_CHECKING:
    from cmil.extraction_stage import Work
    from cmil.machines import Machines
    from cmil.study import Study

app = typer.Typer(
    name="cmil",
    help="Bone marrow smears to a validated metastasis score. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cohort_app = typer.Typer(help="Look at a cohort before anything is computed.", no_args_is_help=True)
app.add_typer(cohort_app, name="cohort")
bags_app = typer.Typer(help="Exchange bags with other programs.", no_args_is_help=True)
app.add_typer(bags_app, name="bags")
kit_app = typer.Typer(
    help="Validate at outside centres, whose data stay there.", no_args_is_help=True
)
app.add_typer(kit_app, name="kit")
app.add_typer(plan_app, name="plan")

StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY.toml", help="The study's settings.", show_default=False)
]
Out = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder of all results.", show_default=False)
]
Manifest = Annotated[
    Path | None,
    typer.Option("--cohort", metavar="CSV", help="Manifest to read instead of the study's."),
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Encoder weights, .safetensors or .pth, not the study's."),
]
Bags = Annotated[Path | None, typer.Option(metavar="DIR", help="Bags made elsewhere.")]
Model = Annotated[Path | None, typer.Option(metavar="DIR", help="Model bundle made elsewhere.")]
Predictions = Annotated[
    Path | None, typer.Option(metavar="CSV", help="Predictions made elsewhere.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processor threads; without it, all. The same number of threads "
        "gives the same result.",
    ),
]


class Engine(StrEnum):
    """Where encoder and trainings run."""

    LOCAL = "local"
    RAY = "ray"


Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Ray cluster to join; without it, one is started."),
]


class MapFormat(StrEnum):
    """How maps leave for other programs."""

    GEOJSON = "geojson"
    OME_TIFF = "ome-tiff"


class BagLayout(StrEnum):
    """Whose readers find exported bags."""

    TRIDENT = "trident"
    CLAM = "clam"


class FeatureType(StrEnum):
    """Of the numbers in exported bags."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback on error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del debug, version  # --debug is read by `main`, which also sees errors raised while parsing


@app.command()
def demo(
    out: Out = Path("demo"),
    patients: Annotated[int, typer.Option(help="Number of simulated patients.")] = 90,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    threads: Threads = None,
) -> None:
    """Draw a simulated study, run it, and print its results and the page to open."""
    from cmil.demo import run_demo

    _use_threads(threads)
    printed, failed = run_demo(out, patients=patients, seed=seed)
    print(printed)
    _exit_if_failed(failed)


@app.command()
def run(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    weights: Weights = None,
    engine: Annotated[
        Engine,
        typer.Option(help="Where encoder and trainings run: this machine, or a Ray cluster."),
    ] = Engine.LOCAL,
    address: Address = None,
    threads: Threads = None,
) -> None:
    """Run a whole study, stage by stage, resuming where it stopped."""
    from cmil.results_table import results_table
    from cmil.study import run_study

    machines = _machines(engine, address)
    opened = _open(study, out, cohort, weights, threads)
    replaced = {"--cohort": cohort, "--weights": weights}
    notes = [f"# run with {option} {path}\n" for option, path in replaced.items() if path]
    text = "".join([*notes, study.read_text(encoding="utf-8-sig")])
    failed = run_study(opened, text, machines=machines)
    if opened.is_binary:
        print(results_table(out, list(opened.settings.cohort.endpoints)))
        print(f"page: {out / 'index.html'}")
    else:
        print(f"scores: {opened.predictions}; out of fold: {opened.model / 'model.json'}")
    _exit_if_failed(failed)


@cohort_app.command()
def check(
    study: StudyFile,
    cohort: Manifest = None,
    images: Annotated[
        bool, typer.Option("--images", help="Also look for the same image in two patients.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Validate the manifest as a whole and count patients per centre.

    STUDY.toml may also be a manifest (.csv), then read with the default column names.
    """
    from cmil.cohort_check import check_cohort
    from cohorts.errors import DataError

    printed, shared = check_cohort(study, cohort, images=images, as_json=as_json)
    print(printed)
    if shared:
        raise DataError("\n".join(shared))


@app.command()
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
    _refuse_together("--dry-run", dry_run, {"--refilter": refilter, "--preview": preview})
    _refuse_together("--refilter", refilter, of_making)
    _refuse_alone("--json", as_json, "--dry-run", dry_run)
    machines = _machines(engine, address)
    opened = _open(study, out, cohort, weights, threads, max_patches=max_patches, model=model)
    work = Work(read_shard(shard), machines, coords, retry_failed)
    if dry_run:
        _print_forecast(opened, work, as_json=as_json)
        return
    failed = refilter_bags(opened) if refilter else extract_bags(opened, work)
    if preview:
        page, undrawn = preview_bags(opened)
        print(page)
        failed = [*failed, *(reason for reason in undrawn if reason not in failed)]
    _exit_if_failed(failed)


@app.command()
def doctor(
    study: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY.toml]", help="Also check what a study needs."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also check the disk that results will go to."),
    ] = None,
    cohort: Manifest = None,
    weights: Weights = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Check this machine, and what a study needs of it, before hours are spent."""
    from cmil.doctor import checks_as_json, checks_as_text, examine

    _use_threads(threads)
    checks = examine(study, out, manifest=cohort, weights=weights)
    print(checks_as_json(checks) if as_json else checks_as_text(checks))
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(1)


@app.command()
def train(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    bags: Bags = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write loss and AUC there, live, for TensorBoard."),
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Where the fits run: this machine, or a Ray cluster.")
    ] = Engine.LOCAL,
    address: Address = None,
    threads: Threads = None,
) -> None:
    """Cross-validate on the development patients and freeze the model bundle."""
    from cmil.study import train_model

    machines = _machines(engine, address)
    train_model(_open(study, out, cohort, None, threads, bags=bags), tensorboard, machines)


@app.command()
def predict(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    bags: Bags = None,
    model: Model = None,
    threads: Threads = None,
) -> None:
    """Score every patient with the frozen bundle and keep the attention."""
    from cmil.study import predict_scores

    predict_scores(_open(study, out, cohort, None, threads, bags=bags, model=model))


@app.command()
def explain(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    bags: Bags = None,
    model: Model = None,
    threads: Threads = None,
) -> None:
    """Check what the maps are worth: does the score follow them, and what do they look at."""
    from cmil.explanation_stage import explain_scores
    from cmil.results_table import explanations_table

    explain_scores(_open(study, out, cohort, None, threads, bags=bags, model=model))
    print(explanations_table(out))


@app.command()
def report(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
) -> None:
    """Write the study's report, with TRIPOD+AI and STARD-AI filled in from its files."""
    from cmil.report_stage import report_study

    report_study(_open(study, out, cohort, None))
    print(f"{out / 'report' / 'report.html'} and report.pdf, tables and figures beside it")


@app.command()
def audit(
    out: Out,
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY.toml]",
            help="The study's settings; with --model, the lock has them.",
            show_default=False,
        ),
    ] = None,
    cohort: Manifest = None,
    bags: Bags = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Locked bundle under which --cohort is to be opened."),
    ] = None,
    skip_images: Annotated[
        bool, typer.Option("--skip-images", help="Do not read the images: no copies are sought.")
    ] = False,
) -> None:
    """Look for what would spoil a study, before training and before validation, as one page."""
    from cmil.protocol.audit_page import findings_text, write_audit
    from cmil.protocol.audits import audit_study
    from cohorts.errors import DataError, SettingsError

    if model and cohort and not study:
        from cmil.protocol.external import external_study
        from cmil.protocol.lock import verify_lock

        opened: Study = external_study(verify_lock(model), model, cohort, out, bags=bags)
    elif study and not model:
        opened = _open(study, out, cohort, bags=bags)
    else:
        raise SettingsError("name a STUDY.toml, or --model and --cohort")
    found = audit_study(opened, images=not skip_images)
    print(findings_text(found))
    print(write_audit(found, out / "audit", opened.settings.title))
    if found.blocking:
        raise DataError("\n".join(found.blocking))


@app.command()
def lock(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    bags: Bags = None,
    model: Model = None,
    sensitivity: Annotated[
        float | None, typer.Option(help="Also lock the threshold that reaches it in development.")
    ] = None,
    specificity: Annotated[
        float | None, typer.Option(help="Also lock the threshold that reaches it in development.")
    ] = None,
    cost: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="MISSED FALSE PREVALENCE",
            help="Also lock the threshold of least expected cost: of a missed metastasis, of a "
            "false alarm, at a prevalence.",
        ),
    ] = None,
) -> None:
    """Freeze model, thresholds, cut-point and preprocessing before an external cohort is opened."""
    from cmil.protocol.freeze import ThresholdRules, lock_study
    from cmil.validation.thresholds import Cost

    opened = _open(study, out, cohort, bags=bags, model=model)
    rules = ThresholdRules(sensitivity, specificity, Cost(*cost) if cost else None)
    locked = lock_study(opened, rules)
    print(f"{opened.model / 'lock.json'}: {locked.digest}")


@app.command()
def validate(
    out: Out,
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY.toml]",
            help="The study's settings; with --model, the lock has them.",
            show_default=False,
        ),
    ] = None,
    cohort: Manifest = None,
    predictions: Predictions = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Locked bundle under which --cohort is opened."),
    ] = None,
    bags: Bags = None,
    weights: Weights = None,
    ratings: Annotated[
        Path | None, typer.Option(metavar="CSV", help="What readers said of the patients.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(hidden=True)] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Evaluate the frozen score and decision; with --model, an external cohort under its lock."""
    from cmil.results_table import validation_json, validation_text
    from cohorts.errors import SettingsError

    if threshold is not None:
        raise SettingsError(
            "no threshold is chosen at validation time: it is fitted in development and locked; "
            "drop --threshold"
        )
    _use_threads(threads)
    failed: Sequence[str] = ()
    if model:
        from cmil.protocol.opening import validate_external

        if study or not cohort:
            raise SettingsError(
                "--model opens the external cohort that --cohort names, with the settings of the "
                f"lock; {'drop the study file' if study else 'add --cohort'}"
            )
        done = validate_external(
            model,
            cohort,
            out,
            bags=bags,
            predictions=predictions,
            weights=weights,
            ratings=ratings,
        )
        results, failed = done.results, done.failed
        print(f"opening {done.entry.number}, lock {done.entry.lock}", file=sys.stderr)
    else:
        from cmil.validation_stage import validate_scores

        if not study:
            raise SettingsError("name a STUDY.toml, or --model and --cohort")
        _refuse_alone("--weights", weights is not None, "--model", of_given=False)
        _refuse_alone("--ratings", ratings is not None, "--model", of_given=False)
        results = validate_scores(_open(study, out, cohort, bags=bags, predictions=predictions))
    print(validation_json(results) if as_json else validation_text(results))
    _exit_if_failed(failed)


@app.command()
def recalibrate(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of a cmil validate --model.")],
    model: Annotated[Path, typer.Option(metavar="DIR", help="The bundle it was opened under.")],
) -> None:
    """Report what recalibration at each external centre would do, beside the locked score."""
    from cmil.protocol.recalibration import recalibrate_external

    print(recalibrate_external(model, out).to_string(index=False))


@app.command()
def compare(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    bags: Bags = None,
    model: Model = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compare the model with other aggregators, trained on its folds, and simple baselines."""
    from cmil.comparison_stage import compare_models
    from cmil.results_table import comparison_table

    table = compare_models(_open(study, out, cohort, None, threads, bags=bags, model=model))
    print(table.to_json(orient="records") if as_json else comparison_table(table))


@app.command()
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
            metavar="NAME=TIME,EVENT[,UNIT[,COMPETING...]]",
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
    from cmil.results_table import survival_json, survival_table

    if source.suffix.lower() == ".csv":
        of_study = {"--cohort": cohort, "--predictions": predictions}
        _refuse_together("PREDICTIONS.csv", True, of_study)
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
        _refuse_together("STUDY.toml", True, of_table)
        _relate_study(_open(source, out, cohort, predictions=predictions), source)
    print(survival_json(out) if as_json else survival_table(out))


@app.command()
def heatmap(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    bags: Bags = None,
    patient: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this patient; may be repeated.")
    ] = None,
    export: Annotated[
        list[MapFormat] | None,
        typer.Option(help="Also write maps for QuPath, or as float image; may be repeated."),
    ] = None,
) -> None:
    """Draw where the attention lay, beside the patches that held most of it."""
    from cmil.heatmap_export import export_heatmaps
    from cmil.study import draw_heatmaps

    opened = _open(study, out, cohort, bags=bags)
    draw_heatmaps(opened, patient or ())
    if export:
        export_heatmaps(opened, [form.value for form in export], patient or ())
    print(out / "heatmaps")


@app.command()
def check_aggregator(
    aggregator: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One of ours, or your own as module:Class; without it, all."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Test whether an aggregator respects the assumption of multiple-instance learning."""
    import json

    import numpy as np

    from cmil.assumption_tests import (
        aggregator_builds,
        check_assumptions,
        results_json,
        results_text,
    )

    _use_threads(threads)
    results = [
        result
        for name, build in aggregator_builds(aggregator).items()
        for result in check_assumptions(name, build, np.random.SeedSequence(seed))
    ]
    print(json.dumps(results_json(results)) if as_json else results_text(results))


@bags_app.command()
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


@kit_app.command()
def build(
    model: Annotated[Path, typer.Option(metavar="DIR", help="Locked bundle.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The kit, .zip or .pyz.")],
    wheels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also pack these wheels of what cMIL depends on."),
    ] = None,
) -> None:
    """Pack a locked bundle and its installer into one file for an outside centre."""
    from cmil.kit.build import build_kit

    needs = build_kit(model, out, wheels)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB. The centre needs\n{needs}")


@kit_app.command(name="run")
def run_at_centre(
    kit: Annotated[Path, typer.Argument(metavar="KIT", help="The kit, .zip or .pyz.")],
    cohort: Annotated[Path, typer.Argument(metavar="CSV", help="Manifest of the own patients.")],
    out: Out,
    bags: Bags = None,
    weights: Weights = None,
    aggregates_only: Annotated[
        bool, typer.Option("--aggregates-only", help="Share counts and means, no patient.")
    ] = False,
    smallest_count: Annotated[
        int, typer.Option(help="Of aggregates, hide counts below this, and what tells them.")
    ] = 5,
    threads: Threads = None,
) -> None:
    """Score the own patients with a kit, and write the one file that may leave."""
    from cmil.kit.run import Sharing, run_kit

    _use_threads(threads)
    sharing = Sharing(aggregates_only, smallest_count)
    done = run_kit(kit, cohort, out, sharing, bags=bags, weights=weights)
    print(f"{done.results} is what may leave; lock {done.lock}. {out / 'private'} stays here.")
    _exit_if_failed(done.failed)


@kit_app.command()
def collect(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS...", help="Of the centres.")],
    model: Annotated[Path, typer.Option(metavar="DIR", help="The bundle the kit was built of.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Check the results files of outside centres, and pool the centres."""
    from cmil.kit.collect import collect_results, collected_json, collected_text

    found = collect_results(model, results, out)
    print(collected_json(found) if as_json else collected_text(found))


def main() -> None:
    """Run a command; errors meant for the user end in one line and exit code 1."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debugging = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments)
    except KeyboardInterrupt:
        print("stopped; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debugging:
            traceback.print_exc()
        print(_message(error), file=sys.stderr)
        sys.exit(1)


def _message(error: Exception) -> str:
    from cohorts.errors import StudyError

    if isinstance(error, StudyError):
        return "\n".join(f"error: {line}" for line in str(error).splitlines())
    if isinstance(error, OSError) and error.filename:
        return f'error: "{error.filename}": {error.strerror}; check the path and its permissions'
    kind = type(error).__name__
    return f"error: unexpected {kind}: {error}; run again with --debug and report it"


def _open(
    study: Path,
    out: Path,
    manifest: Path | None = None,
    weights: Path | None = None,
    threads: int | None = None,
    max_patches: int | None = None,
    **elsewhere: Path | None,
) -> "Study":
    from cmil.study import Study
    from cmil.study_settings import read_study_settings

    _use_threads(threads)
    settings = read_study_settings(
        study, manifest=manifest, weights=weights, max_patches=max_patches
    )
    return Study.at(out, settings, **elsewhere)


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


def _refuse_together(option: str, given: bool, others: Mapping[str, object]) -> None:
    from cohorts.errors import SettingsError

    clashing = [other for other, value in others.items() if value]
    if given and clashing:
        raise SettingsError(f"{option} does not go with {clashing[0]}; drop one")


def _refuse_alone(option: str, given: bool, of: str, of_given: bool) -> None:
    from cohorts.errors import SettingsError

    if given and not of_given:
        raise SettingsError(f"{option} is for {of}; add it, or drop {option}")


def _machines(engine: Engine, address: str | None) -> "Machines":
    from cmil.machines import Machines

    _refuse_alone("--address", address is not None, "--engine ray", engine is Engine.RAY)
    return Machines(engine.value, address)


def _use_threads(threads: int | None) -> None:
    if threads is None:
        return
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _print_forecast(study: "Study", work: "Work", *, as_json: bool) -> None:
    import json

    from cmil.extraction_stage import forecast_bags
    from cmil.forecast_table import forecast_text

    expected = forecast_bags(study, work)
    if as_json:
        print(json.dumps(expected.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        print(forecast_text(expected, shared_out=work.shard != (1, 1)))
    _exit_if_failed(expected.failing, "will fail")


def _exit_if_failed(failed: Sequence[str], verb: str = "failed") -> None:
    if failed:
        print(f"{len(failed)} slides {verb}:", file=sys.stderr)
        for reason in failed:
            print(f"error: {reason}", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
