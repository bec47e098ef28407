"""Train, predict, compare and explain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil.commands.options import (
    Address,
    Bags,
    Engine,
    Json,
    Manifest,
    MapFormat,
    Model,
    Out,
    StudyFile,
    Threads,
    machines_of,
    open_study,
    use_threads,
)

if TYPE_CHECKING:
    pass


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

    machines = machines_of(engine, address)
    train_model(open_study(study, out, cohort, None, threads, bags=bags), tensorboard, machines)


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

    predict_scores(open_study(study, out, cohort, None, threads, bags=bags, model=model))


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

    explain_scores(open_study(study, out, cohort, None, threads, bags=bags, model=model))
    print(explanations_table(out))


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
    from cmil.results_table import RESEARCH_USE, comparison_table

    table = compare_models(open_study(study, out, cohort, None, threads, bags=bags, model=model))
    printed = f"{comparison_table(table)}\n\n{RESEARCH_USE}"
    print(table.to_json(orient="records") if as_json else printed)


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

    opened = open_study(study, out, cohort, bags=bags)
    draw_heatmaps(opened, patient or ())
    if export:
        export_heatmaps(opened, [form.value for form in export], patient or ())
    print(out / "heatmaps")


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
    """Test whether an aggregator respects the assumption of multiple-instance learning.

    The exit code is 1 if one gives no numbers.
    """
    import json

    import numpy as np

    from cmil.assumption_tests import (
        aggregators_to_test,
        check_assumptions,
        results_json,
        results_text,
    )

    use_threads(threads)
    results = [
        result
        for name, fit in aggregators_to_test(aggregator).items()
        for result in check_assumptions(name, fit, np.random.SeedSequence(seed))
    ]
    print(json.dumps(results_json(results)) if as_json else results_text(results))
    if any(result.verdict == "gives no numbers" for result in results):
        raise typer.Exit(1)
