"""Audit, lock, validate, recalibrate and report."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmil.commands.options import (
    Bags,
    Json,
    Manifest,
    Model,
    Out,
    Predictions,
    StudyFile,
    StudyUnlessLocked,
    Threads,
    Weights,
    exit_if_failed,
    open_study,
    refuse_alone,
    use_threads,
)

if TYPE_CHECKING:
    from cmil.study import Study

_NAME_ONE = "name a STUDY.toml, or --model and --cohort"


def audit(
    out: Out,
    study: StudyUnlessLocked = None,
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
        opened = open_study(study, out, cohort, bags=bags)
    else:
        raise SettingsError(_NAME_ONE)
    found = audit_study(opened, images=not skip_images)
    print(findings_text(found))
    print(write_audit(found, out / "audit", opened.settings.title))
    if found.blocking:
        raise DataError("\n".join(found.blocking))


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

    opened = open_study(study, out, cohort, bags=bags, model=model)
    rules = ThresholdRules(sensitivity, specificity, Cost(*cost) if cost else None)
    locked = lock_study(opened, rules)
    print(f"{opened.model / 'lock.json'}: {locked.digest}")


def validate(
    out: Out,
    study: StudyUnlessLocked = None,
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
    use_threads(threads)
    failed: Sequence[str] = ()
    if model:
        from cmil.protocol.log import LOG
        from cmil.protocol.opening import validate_external

        done = validate_external(
            model,
            _opened_cohort(study, cohort),
            out,
            bags=bags,
            predictions=predictions,
            weights=weights,
            ratings=ratings,
        )
        results, failed = done.results, done.failed
        print(f"opening {done.entry.number}, lock {done.entry.lock}", file=sys.stderr)
        if done.entry.number > 1:
            print(f'not the first look at external patients: see "{model / LOG}"', file=sys.stderr)
    else:
        from cmil.task_validation import validate_task
        from cmil.validation_stage import validate_scores

        if not study:
            raise SettingsError(_NAME_ONE)
        refuse_alone("--weights", weights is not None, "--model", of_given=False)
        refuse_alone("--ratings", ratings is not None, "--model", of_given=False)
        opened = open_study(study, out, cohort, bags=bags, predictions=predictions)
        results = validate_scores(opened) if opened.is_binary else validate_task(opened)
    print(validation_json(results) if as_json else validation_text(results))
    exit_if_failed(failed)


def recalibrate(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of a cmil validate --model.")],
    model: Annotated[Path, typer.Option(metavar="DIR", help="The bundle it was opened under.")],
) -> None:
    """Report what recalibration at each external centre would do, beside the locked score."""
    from cmil.protocol.recalibration import recalibrate_external
    from cmil.results_table import recalibration_text

    print(recalibration_text(recalibrate_external(model, out)))


def report(
    out: Out,
    study: StudyUnlessLocked = None,
    cohort: Manifest = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Locked bundle under which --cohort was opened in DIR."),
    ] = None,
) -> None:
    """Write the report of a study, or with --model of an opening, with TRIPOD+AI and STARD-AI."""
    from cmil.report_stage import report_study
    from cohorts.errors import SettingsError

    if model:
        from cmil.protocol.opening import opened_study

        opened: Study = opened_study(model, _opened_cohort(study, cohort), out)
    elif study:
        opened = open_study(study, out, cohort)
    else:
        raise SettingsError(_NAME_ONE)
    report_study(opened)
    print(f"{out / 'report' / 'report.html'} and report.pdf, tables and figures beside it")


def _opened_cohort(study: Path | None, cohort: Path | None) -> Path:
    """Give the external cohort of --model; its settings are those of the lock."""
    from cohorts.errors import SettingsError

    if study or not cohort:
        raise SettingsError(
            "--model opens the external cohort that --cohort names, with the settings of the "
            f"lock; {'drop the study file' if study else 'add --cohort'}"
        )
    return cohort
