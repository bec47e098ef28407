"""The command line. Every command parses, calls one function, and prints."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil import __version__

if TYPE_CHECKING:
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
    typer.Option(metavar="FILE.safetensors", help="Encoder weights instead of the study's."),
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
    threads: Threads = None,
) -> None:
    """Run a whole study, stage by stage, resuming where it stopped."""
    from cmil.results_table import results_table
    from cmil.study import run_study

    opened = _open(study, out, cohort, weights, threads)
    replaced = {"--cohort": cohort, "--weights": weights}
    notes = [f"# run with {option} {path}\n" for option, path in replaced.items() if path]
    failed = run_study(opened, "".join([*notes, study.read_text(encoding="utf-8-sig")]))
    print(results_table(out, list(opened.settings.cohort.endpoints)))
    print(f"page: {out / 'index.html'}")
    _exit_if_failed(failed)


@cohort_app.command()
def check(study: StudyFile, cohort: Manifest = None, as_json: Json = False) -> None:
    """Validate the manifest as a whole and count patients per centre.

    STUDY.toml may also be a manifest (.csv), then read with the default column names.
    """
    from cmil.cohort_check import check_cohort

    print(check_cohort(study, cohort, as_json=as_json))


@app.command()
def extract(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    weights: Weights = None,
    threads: Threads = None,
) -> None:
    """Embed the patches of every slide into bags."""
    from cmil.study import extract_bags

    _exit_if_failed(extract_bags(_open(study, out, cohort, weights, threads)))


@app.command()
def train(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    bags: Bags = None,
    threads: Threads = None,
) -> None:
    """Cross-validate on the development patients and freeze the model bundle."""
    from cmil.study import train_model

    train_model(_open(study, out, cohort, None, threads, bags=bags))


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
def validate(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    predictions: Predictions = None,
    as_json: Json = False,
) -> None:
    """Evaluate the frozen score and decision, cohort by cohort."""
    from cmil.results_table import performance_table
    from cmil.study import validate_scores

    table = validate_scores(_open(study, out, cohort, predictions=predictions))
    print(table.to_json(orient="records") if as_json else performance_table(table))


@app.command()
def survival(
    study: StudyFile,
    out: Out,
    cohort: Manifest = None,
    predictions: Predictions = None,
    as_json: Json = False,
) -> None:
    """Relate the frozen score to survival at its locked cut-point."""
    from cmil.results_table import survival_json, survival_table
    from cmil.study import relate_to_survival
    from cohorts.errors import SettingsError

    opened = _open(study, out, cohort, predictions=predictions)
    if not opened.settings.cohort.endpoints:
        raise SettingsError(f"{study.name}: no endpoint is named; name one in [cohort.endpoints]")
    relate_to_survival(opened)
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
) -> None:
    """Draw where the attention lay, beside the patches that held most of it."""
    from cmil.study import draw_heatmaps

    draw_heatmaps(_open(study, out, cohort, bags=bags), patient or ())
    print(out / "heatmaps")


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
    **elsewhere: Path | None,
) -> "Study":
    from cmil.study import Study
    from cmil.study_settings import read_study_settings

    _use_threads(threads)
    settings = read_study_settings(study, manifest=manifest, weights=weights)
    return Study.at(out, settings, **elsewhere)


def _use_threads(threads: int | None) -> None:
    if threads is None:
        return
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _exit_if_failed(failed: Sequence[str]) -> None:
    if failed:
        print(f"{len(failed)} slides failed:", file=sys.stderr)
        for reason in failed:
            print(f"error: {reason}", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
