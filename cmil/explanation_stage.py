"""The stage of a study that checks what its maps are worth."""

from collections.abc import Sequence
from pathlib import Path

from cmil.progress import progress, say
from cmil.study import Study
from cohorts.errors import DataError, SettingsError
from cohorts.files import digest_of, digest_of_file, write_text


def explain_scores(study: Study) -> None:
    """Check the map of every patient with a score, and warn where maps follow what they should not.

    Raises
    ------
    SettingsError
        If there are no predictions yet, or a folder or table of `[explanations]` is not there.
    DataError
        If predictions are of another model than the bundle.
    """
    from cmil.bundle import read_bundle
    from cmil.explanations.enrichment import suspicions
    from cmil.explanations.explain import explain, read_explanations, write_explanations
    from cmil.explanations.page import drawn_curves
    from cmil.patient_bags import digest_of_bags
    from cmil.prediction import read_predictions

    record = study.out / "attention" / "run.json"
    if not study.predictions.exists() or not record.exists():
        raise SettingsError(f'"{study.out}" holds no predictions; run cmil predict first')
    settings, bundle = study.settings.explanations, read_bundle(study.model)
    predictions = read_predictions(study.predictions)
    if (predictions["model_digest"] != bundle.digest).any():
        raise DataError(
            f'"{study.predictions}" is of another model than "{study.model}"; run cmil predict'
        )
    cohort = study.cohort.restricted_to(predictions["patient_id"])
    inputs = {
        "model": bundle.digest,
        "attention": digest_of_file(record),
        "bags": digest_of_bags(cohort, study.bags),
        "known of patches": digest_of_known(study),
    }
    folder = study.out / "explanations"
    stage = study.stage("explain", "explanations", inputs, settings.model_dump(mode="json"))
    if stage.is_done():
        say("explain: up to date")
    else:
        written: list[Path] = []
        with (
            progress("explain (patients)", len(cohort.patients)) as advance,
            stage.recorded(lambda: written),
        ):
            explanations = explain(
                bundle,
                cohort,
                bags=study.bags,
                attention=study.out / "attention",
                settings=settings,
                seed=study.settings.seed,
                on_patient=lambda patient_id: advance(note=patient_id),
            )
            written += write_explanations(folder, explanations)
            for kind in explanations.curves["map"].unique():
                written.append(folder / f"curves_{kind}.svg")
                write_text(
                    written[-1], str(drawn_curves(explanations.curves, kind, stands_alone=True))
                )
    for line in suspicions(read_explanations(folder).enrichment):
        say(f"warning: {line}")


def digest_of_known(study: Study) -> str:
    """SHA-256 over the files that `[explanations]` names.

    Raises
    ------
    SettingsError
        If one is not there.
    """
    return digest_of([[path.name, digest_of_file(path)] for path in _files_named(study)])


def _files_named(study: Study) -> Sequence[Path]:
    settings = study.settings.explanations
    folder = settings.annotations
    if folder is not None and not folder.is_dir():
        raise SettingsError(f'[explanations] annotations: "{folder}" is not a folder')
    absent = [path for path in settings.patch_tables if not path.is_file()]
    if absent:
        raise SettingsError(f'[explanations] patch_tables: "{absent[0]}" does not exist')
    annotations = sorted(folder.rglob("*.*json")) if folder else []
    return [*annotations, *settings.patch_tables]
