"""The stage of a study that sets its model beside other aggregators and simpler explanations."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cmil.machines import HERE, Machines
from cmil.progress import say
from cmil.study import Study, predict_scores, train_model
from cohorts.errors import DataError
from cohorts.files import digest_of_file, write_text

if TYPE_CHECKING:
    from cmil.bundle import ModelFacts
    from cohorts.manifest import Cohort

TABLE = "comparison.csv"
BASELINES = "baselines.csv"
PICTURE = "comparison.svg"


@dataclass(frozen=True)
class _Scored:
    """A model, and what it says of the patients."""

    facts: "ModelFacts"
    predictions: pd.DataFrame


def compare_models(study: Study, machines: Machines = HERE) -> pd.DataFrame:
    """Train what `[mil] compare` names, score simple baselines, and compare all with the model.

    Each other aggregator has folds, seed and every other setting of the study's, and a folder of
    its own, `models/<name>/`, with a bundle, predictions and attention. It resumes as they do.

    Returns
    -------
    The table of `cmil.comparison.compare` or, of classes or an endpoint, of
    `cmil.comparison.compare_by_bootstrap`, which is also written to `comparison/`, with a picture.

    Raises
    ------
    DataError
        If the scores hold no development patient, or the model's folds are not the study's.
    """
    from cmil.bundle import read_bundle
    from cmil.comparison.page import drawn_comparison
    from cmil.patient_bags import digest_of_bags
    from cmil.prediction import read_predictions

    bundle, predictions = read_bundle(study.model), read_predictions(study.predictions)
    if not (predictions["split"] == "development").any():
        raise DataError(f'"{study.predictions}" holds no development patient to fit baselines to')
    others = {name: _other(study, name) for name in study.settings.mil.compare}
    facts = {}
    for name, other in others.items():
        say(f"compare: {name}")
        train_model(other, machines=machines)
        predict_scores(other)
        facts[name] = read_bundle(other.model).facts
        _refuse_other_folds(bundle.facts, facts[name], name)
    cohort = study.cohort.restricted_to(predictions["patient_id"])
    inputs = {
        "model": bundle.digest,
        "outcomes": cohort.outcomes_digest,
        "bags": digest_of_bags(cohort, study.bags),
        "predictions": digest_of_file(study.predictions),
        **{f"predictions of {n}": digest_of_file(o.predictions) for n, o in others.items()},
    }
    covariates = list(study.settings.survival.covariates)
    stage = study.stage("compare", "comparison", inputs, {"covariates": covariates})
    folder = study.out / "comparison"
    if stage.is_done():
        say("compare: up to date")
        return read_comparison(folder)
    with stage.recorded(lambda: [folder / name for name in (TABLE, BASELINES, PICTURE)]):
        patients = _known_patients(cohort, bundle.facts)
        baselines = _baselines(study, cohort, patients, bundle.facts)
        write_text(folder / BASELINES, baselines.to_csv(index=False))
        ours = _Scored(bundle.facts, predictions)
        theirs = {
            str(n): _Scored(facts[n], read_predictions(o.predictions)) for n, o in others.items()
        }
        seed = np.random.SeedSequence(study.settings.seed)
        table = _compared(ours, theirs, baselines, patients, seed)
        write_text(folder / TABLE, table.to_csv(index=False))
        write_text(folder / PICTURE, str(drawn_comparison(table, stands_alone=True)))
    say(f"compare: {table['model'].nunique()} models, baselines among them")
    return table


def read_comparison(folder: Path) -> pd.DataFrame:
    """Read the table that `compare_models` wrote to `folder`."""
    words = dict.fromkeys(("cohort", "model", "role", "note", "model_digest"), str)
    return pd.read_csv(folder / TABLE, converters=words)


def _other(study: Study, name: str) -> Study:
    mil = study.settings.mil.model_copy(update={"aggregator": name, "compare": ()})
    settings = study.settings.model_copy(update={"mil": mil})
    return Study.at(study.out / "models" / name, settings, bags=study.bags)


def _refuse_other_folds(ours: "ModelFacts", theirs: "ModelFacts", name: str) -> None:
    dealt = [(facts.fold_of, facts.later_fold_of) for facts in (ours, theirs)]
    if dealt[0] != dealt[1]:
        raise DataError(
            f"the model has other folds than {name}, so that their difference would not be paired; "
            "run cmil train with this study's seed and folds"
        )


def _known_patients(cohort: "Cohort", facts: "ModelFacts") -> pd.DataFrame:
    """Give all patients of a binary label; else those of whom what was learnt is known."""
    from cmil.comparison.comparable_scores import outcomes_of

    if facts.mil.task == "binary":
        return cohort.patients
    patients = outcomes_of(cohort.patients, facts)
    left_out = cohort.patients.index.difference(patients.index)
    if len(left_out):
        say(f"compare: no time or event, left out: {', '.join(left_out)}")
    return patients


def _baselines(
    study: Study, cohort: "Cohort", patients: pd.DataFrame, facts: "ModelFacts"
) -> pd.DataFrame:
    from cmil.comparison.baselines import baseline_scores, baselines_of
    from cmil.patient_bags import read_patient_bags

    bags = read_patient_bags(cohort, study.bags, memory_gb=study.settings.mil.memory_gb)
    seen = cohort.patients.loc[patients.index]
    known = baselines_of(seen, bags, study.settings.survival.covariates)
    folds = [pd.Series(fold_of) for fold_of in (facts.fold_of, *facts.later_fold_of)]
    return baseline_scores(patients, known, folds, study.settings.seed, facts.classes)


def _compared(
    ours: _Scored,
    others: Mapping[str, _Scored],
    baselines: pd.DataFrame,
    patients: pd.DataFrame,
    seed: np.random.SeedSequence,
) -> pd.DataFrame:
    from cmil.comparison.comparable_scores import scores_of
    from cmil.comparison.compare import AGGREGATOR, BASELINE, MODEL, compare
    from cmil.comparison.compare_by_bootstrap import compare_by_bootstrap

    is_binary = ours.facts.mil.task == "binary"

    def told(model: _Scored) -> pd.DataFrame:
        if is_binary:
            return model.predictions
        return scores_of(model.predictions, patients, model.facts)

    tables = [
        told(ours).assign(model=ours.facts.mil.aggregator, role=MODEL),
        *(told(other).assign(model=name, role=AGGREGATOR) for name, other in others.items()),
        baselines.assign(role=BASELINE, model_digest=""),
    ]
    columns = [*baselines.columns, "role", "model_digest"]
    scores = pd.concat([table[columns] for table in tables], ignore_index=True)
    return compare(scores, seed) if is_binary else compare_by_bootstrap(scores, seed)
