"""Draw and run the simulated study, run a whole study, look at its cohort and the machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil.commands.options import (
    Address,
    Engine,
    Json,
    Manifest,
    Out,
    StudyFile,
    Threads,
    Weights,
    exit_if_failed,
    machines_of,
    open_study,
    use_threads,
)

if TYPE_CHECKING:
    pass


def demo(
    out: Out = Path("demo"),
    patients: Annotated[int, typer.Option(help="Number of simulated patients.")] = 90,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    threads: Threads = None,
) -> None:
    """Draw a simulated study, run it, and print its results and the page to open."""
    from cmil.demo import run_demo

    use_threads(threads)
    printed, failed = run_demo(out, patients=patients, seed=seed)
    print(printed)
    exit_if_failed(failed)


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
    from cmil.results_table import other_results_table, results_table
    from cmil.study import run_study

    machines = machines_of(engine, address)
    opened = open_study(study, out, cohort, weights, threads)
    replaced = {"--cohort": cohort, "--weights": weights}
    notes = [f"# run with {option} {path}\n" for option, path in replaced.items() if path]
    text = "".join([*notes, study.read_text(encoding="utf-8-sig")])
    failed = run_study(opened, text, machines=machines)
    if opened.is_binary:
        print(results_table(out, list(opened.settings.cohort.endpoints)))
    else:
        print(other_results_table(out))
    print(f"page: {out / 'index.html'}")
    exit_if_failed(failed)


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

    use_threads(threads)
    checks = examine(study, out, manifest=cohort, weights=weights)
    print(checks_as_json(checks) if as_json else checks_as_text(checks))
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(1)
