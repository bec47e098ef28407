"""A study from its manifest to its page; a stage whose result is still true is not done again."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import pandas as pd

from cmil.machines import HERE, Machines
from cmil.progress import progress, say
from cmil.run_record import Stage
from cmil.study_settings import StudySettings
from cohorts.endpoints import Endpoint
from cohorts.errors import DataError, SettingsError
from cohorts.files import digest_of_file, write_text
from cohorts.manifest import Cohort, read_cohort
from feature_extraction.bags import bag_path, holds_patches


@dataclass(frozen=True)
class Study:
    """A study's settings, and where its files lie.

    `bags`, `model` and `predictions` lie in `out`, unless they were made elsewhere.
    """

    settings: StudySettings
    out: Path
    bags: Path
    model: Path
    predictions: Path

    @classmethod
    def at(
        cls,
        out: Path,
        settings: StudySettings,
        *,
        bags: Path | None = None,
        model: Path | None = None,
        predictions: Path | None = None,
    ) -> Self:
        """Lay a study out in `out`, or take over what was made elsewhere."""
        own = out / "bags", out / "model", out / "predictions.csv"
        return cls(settings, out, bags or own[0], model or own[1], predictions or own[2])

    @cached_property
    def manifest(self) -> Cohort:
        """Everyone the manifest names."""
        survival = self.settings.survival
        return read_cohort(self.settings.cohort, survival.covariates, survival.words)

    @cached_property
    def cohort(self) -> Cohort:
        """The slides whose bag holds a patch, and the patients who have such a slide."""
        slides = self.manifest.slides
        return self.manifest.with_slides(
            slide.slide_id for slide in slides if holds_patches(bag_path(self.bags, slide.slide_id))
        )

    @property
    def is_binary(self) -> bool:
        """Whether the study's label is 0 or 1."""
        return self.settings.mil.task == "binary"

    @property
    def excluded(self) -> Mapping[str, str]:
        """Patients without any bag, and why they are not analysed."""
        left_out = self.manifest.patients.index.difference(self.cohort.patients.index)
        return dict.fromkeys(left_out, "no readable slide")

    def stage(
        self, name: str, folder: str, inputs: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Stage:
        """Describe a stage of this study whose record lies in `folder`."""
        record = self.out / folder / "run.json"
        return Stage(name, self.out, record, inputs, settings, self.settings.seed)


def refuse_other_task(task: str, command: str) -> None:
    """Refuse what speaks of a binary label only.

    Parameters
    ----------
    task
        Of `[mil]`.
    command
        What is refused, as the user calls it.

    Raises
    ------
    SettingsError
        If classes or an endpoint are learnt.
    """
    if task != "binary":
        raise SettingsError(
            f'cmil {command} is for a binary label, and [mil] task is "{task}"; cmil validate '
            "evaluates it, and index.html shows it"
        )


def run_study(
    study: Study, settings_text: str, note: str = "", machines: Machines = HERE
) -> Sequence[str]:
    """Run all stages and write the page `index.html`.

    Parameters
    ----------
    study
        Where and what.
    settings_text
        The settings as the user wrote them, for the page.
    note
        A sentence on the encoder, for the page.
    machines
        Where encoder and trainings run.

    Returns
    -------
    One line for each slide that failed; their patients are named on the page.
    """
    from cmil.comparison_stage import compare_models
    from cmil.explanation_stage import explain_scores
    from cmil.extraction_stage import Work, extract_bags
    from cmil.task_validation import validate_task
    from cmil.validation_stage import refuse_unfit_questions, validate_scores

    refuse_unfit_outcomes(study)
    if study.is_binary:
        refuse_unfit_questions(study, set(study.manifest.patients.index))
    _refuse_too_few_patients(study)
    failed = extract_bags(study, Work(machines=machines))
    train_model(study, machines=machines)
    predict_scores(study)
    explain_scores(study)
    if study.is_binary:
        validate_scores(study)
    else:
        validate_task(study)
    compare_models(study, machines)
    relate_to_survival(study)
    draw_heatmaps(study)
    write_page(study, failed, settings_text, note)
    return failed


def refuse_unfit_outcomes(study: Study) -> None:
    """Find what survival analysis would refuse, before hours are spent on the scores.

    Raises
    ------
    DataError
        With a line for each problem of endpoints and covariates, or for one of a risk factor.
    SettingsError
        If the settings of the survival stage do not fit the endpoints.
    """
    from survival import refuse_unfit_settings
    from survival.endpoints import outcome_problems, refuse
    from survival.risk_group import known_risk_group

    endpoints, settings = study.settings.cohort.endpoints, study.settings.survival
    patients = study.manifest.patients
    refuse_unfit_settings(endpoints, settings)
    refuse(outcome_problems(patients, endpoints, settings.covariates))
    if settings.risk_group:
        known_risk_group(patients, settings.risk_group)


def _refuse_too_few_patients(study: Study) -> None:
    from cmil.training.fit_plan import refuse_unfit_patients

    settings, patients = study.settings, study.manifest.development.patients
    _refuse_absent_classes(study.manifest)
    for name in (settings.mil.aggregator, *settings.mil.compare):
        mil = settings.mil.model_copy(update={"aggregator": name})
        refuse_unfit_patients(patients, mil, settings.seed, _endpoint(study))


def _refuse_absent_classes(cohort: Cohort) -> None:
    """Refuse classes that nobody teaches: a model would have no output for the last of them.

    Raises
    ------
    DataError
        If no development patient is of a class that the study names.
    """
    if not cohort.classes:
        return
    there = set(cohort.development.patients["label"])
    absent = [name for number, name in enumerate(cohort.classes) if number not in there]
    if absent:
        raise DataError(
            f'no development patient is of class "{absent[0]}"; take it out of [cohort] classes, '
            "or add patients"
        )


def train_model(
    study: Study, tensorboard_folder: Path | None = None, machines: Machines = HERE
) -> None:
    """Cross-validate on the development patients and freeze the bundle.

    Parameters
    ----------
    tensorboard_folder
        Where curves are written for TensorBoard while the training runs, if anywhere.
    machines
        Where the fits are carried out.
    """
    import torch

    from cmil.bundle import FACTS, WEIGHTS
    from cmil.model_card import CARD
    from cmil.patient_bags import digest_of_bags, read_patient_bags
    from cmil.protocol.lock import refuse_locked
    from cmil.training.cross_validation import EpochDone, train
    from cmil.training.curves import CURVES
    from cmil.training.fit_plan import deal_folds, planned_epochs, refuse_unfit_patients
    from cmil.training.search import SEARCH
    from cmil.training.tracking import tensorboard

    settings, cohort = study.settings, study.cohort.development
    label, endpoint = settings.cohort.label, _endpoint(study)
    _say_what_has_no_bag(study)
    _refuse_absent_classes(cohort)
    refuse_unfit_patients(cohort.patients, settings.mil, settings.seed, endpoint)
    folds = deal_folds(cohort.patients, settings.mil, settings.seed, endpoint)
    inputs = {"cohort": cohort.digest, "bags": digest_of_bags(cohort, study.bags)}
    if endpoint:
        inputs["outcomes"] = cohort.outcomes_digest
    chosen = {**settings.mil.model_dump(mode="json"), "label": label}
    stage = study.stage("train", "model", inputs, chosen)
    if stage.is_done():
        say("train: up to date")
        return
    refuse_locked(study.model)
    several = machines.engine == "ray" or torch.get_num_threads() > 1
    bags = read_patient_bags(cohort, study.bags, memory_gb=settings.mil.memory_gb, shared=several)
    models = sum(int(fold_of.max()) + 1 for fold_of in folds)
    tracked = tensorboard(tensorboard_folder) if tensorboard_folder else nullcontext()
    planned = planned_epochs(settings.mil, models)
    with (
        machines.fitting() as engine,
        tracked as track,
        progress("train (epochs)", planned) as advance,
    ):

        def on_epoch(event: EpochDone) -> None:
            if track:
                track(event)
            state = "done"
            if event.loss is not None:
                state = f"loss {event.loss:.3f}, {event.discrimination:.3f} of pairs in order"
            advance(event.steps, note=f"fold {event.fold + 1}, {state}")

        files = [FACTS, WEIGHTS, CARD, CURVES, *([SEARCH] if settings.mil.searched else [])]
        with stage.recorded(lambda: [study.model / name for name in files]):
            bundle = train(
                cohort,
                bags,
                settings.mil,
                study.model,
                label=label,
                seed=settings.seed,
                endpoint=endpoint,
                on_epoch=on_epoch,
                engine=engine,
            )
    reached = bundle.facts.out_of_fold
    say(f"train: out-of-fold {reached.measure} {reached.auc:.3f} in {reached.patients} patients")


def predict_scores(study: Study) -> None:
    """Score every patient, and keep the attention on every slide."""
    from cmil.attention import attention_path, write_attention
    from cmil.bundle import read_bundle
    from cmil.patient_bags import digest_of_bags, read_patient_bags
    from cmil.prediction import predict, prediction_row

    cohort, bundle = study.cohort, read_bundle(study.model)
    _say_what_has_no_bag(study)
    development = cohort.development
    if development.slides and development.digest != bundle.facts.cohort_digest:
        raise DataError(
            f'"{study.model}" was trained on other development patients, labels or slides than the '
            "cohort has now; run cmil train"
        )
    inputs = {
        "model": bundle.digest,
        "cohort": cohort.digest,
        "bags": digest_of_bags(cohort, study.bags),
    }
    stage = study.stage("predict", "attention", inputs, {})
    if stage.is_done():
        say("predict: up to date")
        return
    folder = study.out / "attention"
    files = [attention_path(folder, slide.slide_id) for slide in cohort.slides]
    memory = study.settings.mil.memory_gb
    bags = read_patient_bags(cohort, study.bags, memory_gb=memory)
    with (
        progress("predict (patients)", len(cohort.patients)) as advance,
        stage.recorded(lambda: [study.predictions, *files]),
    ):
        rows = []
        for patient_id, said in predict(bundle, cohort, bags):
            bag = bags.bags[patient_id]
            rows.append(prediction_row(bundle, cohort, patient_id, bag, said))
            write_attention(folder, bag, said, bundle.digest)
            advance(note=patient_id)
        write_text(study.predictions, pd.DataFrame(rows).to_csv(index=False))


def relate_to_survival(study: Study) -> None:
    """Lock the cut-point and relate the score to every endpoint the study names."""
    from cmil.prediction import read_predictions
    from cmil.protocol.lock import LOCK
    from survival import (
        analyse,
        freeze_cutpoint,
        outcomes_of_rule,
        refit_cutpoint,
        write_figures,
    )

    endpoints = study.settings.cohort.endpoints
    if not endpoints:
        say("survival: the study names no endpoint; name one in [cohort.endpoints]")
        return
    settings, folder = study.settings.survival, study.out / "survival"
    predictions = read_predictions(study.predictions)
    cohort = study.manifest.restricted_to(predictions["patient_id"])
    inputs = {**_of_predictions(study), "outcomes": cohort.outcomes_digest}
    chosen = {
        "endpoints": {name: endpoint.model_dump() for name, endpoint in endpoints.items()},
        **settings.model_dump(mode="json"),
    }
    stage = study.stage("survival", "survival", inputs, chosen)
    if stage.is_done():
        say("survival: up to date")
        return
    development = cohort.development.digest
    place_cutpoint = freeze_cutpoint if (study.model / LOCK).exists() else refit_cutpoint
    for table in [*folder.glob("*.csv"), *folder.glob("figures/*")]:
        table.unlink()  # a table of earlier settings would pass for one of these
    kept = ("*.csv", "*.md", "cutpoint.json", "figures/*")
    with stage.recorded(lambda: [path for pattern in kept for path in folder.glob(pattern)]):
        rule = settings.cutpoint
        outcomes = outcomes_of_rule(rule, cohort.patients, endpoints)
        lock, seed = folder / "cutpoint.json", study.settings.seed
        place_cutpoint(lock, predictions, development, rule, outcomes, seed)
        results = analyse(
            predictions,
            cohort.patients,
            endpoints,
            settings,
            folder,
            development,
            seed=seed,
        )
        write_figures(results, folder / "figures")
    for endpoint, left_out in results.left_out.groupby("endpoint"):
        names = ", ".join(left_out["patient_id"])
        say(f"survival: {endpoint}: no time or event, left out: {names}")
    say("survival: done")


def draw_heatmaps(study: Study, patients: Sequence[str] = ()) -> None:
    """Draw the picture of every patient, or of those named."""
    from cmil.pictures import picture_path, write_pictures
    from cmil.prediction import read_predictions

    predictions = read_predictions(study.predictions)
    cohort = study.cohort.restricted_to(predictions["patient_id"])
    unknown = sorted(set(patients) - set(cohort.patients.index))
    if unknown:
        raise SettingsError(f'--patient "{unknown[0]}" has no score; check the id')
    folder = study.out / "heatmaps"
    attention = digest_of_file(study.out / "attention" / "run.json")
    stage = study.stage(
        "heatmap", "heatmaps", {**_of_predictions(study), "attention": attention}, {}
    )
    if stage.is_done() and not patients:
        say("heatmap: up to date")
        return
    chosen = list(patients) or list(cohort.patients.index)
    with progress("heatmap (patients)", len(chosen)) as advance:

        def draw() -> None:
            write_pictures(
                cohort.restricted_to(chosen),
                predictions,
                bags=study.bags,
                attention=study.out / "attention",
                folder=folder,
                seed=study.settings.seed,
                on_patient=lambda patient_id: advance(note=patient_id),
            )

        if patients:
            draw()
        else:
            with stage.recorded(lambda: [picture_path(folder, p) for p in chosen]):
                draw()


def write_page(study: Study, failed: Sequence[str], settings_text: str, note: str) -> Path:
    """Write the result page from the files of the other stages."""
    from cmil.report import write_report
    from cmil.task_report import write_task_report

    write: Callable[..., Path] = write_task_report
    if study.is_binary:
        write = partial(write_report, endpoints=list(study.settings.cohort.endpoints))
    return write(
        study.out,
        title=study.settings.title,
        cohort=study.manifest,
        excluded=study.excluded,
        failed_slides=failed,
        settings_text=settings_text,
        encoder_note=note,
    )


def _say_what_has_no_bag(study: Study) -> None:
    missing = len(study.manifest.slides) - len(study.cohort.slides)
    if missing:
        names = ", ".join(study.excluded) or "none"
        say(f'{missing} slides have no bag in "{study.bags}"; patients left out: {names}')


def _of_predictions(study: Study) -> Mapping[str, str]:
    if not study.predictions.exists():
        raise SettingsError(f'"{study.predictions}" does not exist; run cmil predict first')
    return {"predictions": digest_of_file(study.predictions)}


def _endpoint(study: Study) -> Endpoint | None:
    """Give the endpoint that is learnt, if the task is one."""
    return study.settings.cohort.endpoints.get(study.settings.mil.endpoint)
