"""Score patients with a frozen bundle, and keep where the attention lay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.aggregators import BagScore
from cmil.bundle import ModelBundle, ModelFacts
from cmil.explanations.attribution import attribute
from cmil.explanations.subset_logits import Subset, subset_logits
from cmil.patient_bags import PatientBag, PatientBags, shortened
from cohorts.errors import DataError
from cohorts.manifest import SPLITS, Cohort

COLUMNS = (
    "patient_id",
    "centre",
    "split",
    "score_kind",
    "score",
    "logit",
    "score_sd",
    "label",
    "decision",
    "n_patches",
    "model_digest",
)


@dataclass(frozen=True)
class PatientPrediction:
    """What the bundle says of one patient.

    Attributes
    ----------
    logit
        Mean over the models that may speak: all for an external patient, for a development
        patient only those that have not seen it. Of classes, the log-odds of the last; of an
        endpoint, the log of the hazard.
    class_scores
        Probability of each class, in their order; empty for two.
    score_sd
        Standard deviation of the calibrated scores of those models; NaN for a single one.
    attention, contributions
        (N,) means over those models; None where the aggregator has none.
    attribution
        (N,) likewise, by leaving instances out; only where the aggregator has neither.
    """

    logit: float
    score: float
    score_sd: float
    class_scores: Sequence[float]
    attention: NDArray[np.float32] | None
    contributions: NDArray[np.float32] | None
    attribution: NDArray[np.float32] | None = None


def numbers_for(bundle: ModelBundle, patient_id: str) -> Sequence[int]:
    """Give the numbers of the models that may speak of a patient: that have not trained on it."""
    return bundle.facts.models_unaware_of(patient_id) or range(len(bundle.models))


def attribution_of(
    bundle: ModelBundle, numbers: Sequence[int], patient_id: str, bag: PatientBag
) -> NDArray[np.float32]:
    """Attribute what models together rank a patient by to the patient's instances, (N,).

    The parts of the bag are the same at every call, whatever the models.
    """

    def said(parts: Sequence[Subset]) -> NDArray[np.float64]:
        each = [subset_logits(bundle.models[number], bag.instances, parts) for number in numbers]
        return ranks_of(bundle.facts, numbers, np.stack(each))

    rng = np.random.default_rng([bundle.facts.seed, *patient_id.encode()])
    return attribute(said, len(bag), rng)


def predict_patient(bundle: ModelBundle, patient_id: str, bag: PatientBag) -> PatientPrediction:
    """Score one patient with the models that have not seen it."""
    numbers = numbers_for(bundle, patient_id)
    results = [bundle.models[number].score(bag.instances) for number in numbers]
    said = combine(bundle.facts, numbers, np.stack([result.logits for result in results]))
    each = maps_of_models(bundle.facts, numbers, results)
    attention, contributions = _mean_of(each["attention"]), _mean_of(each["contribution"])
    attribution = None
    if attention is None and contributions is None:
        attribution = attribution_of(bundle, numbers, patient_id, bag)
    return replace(said, attention=attention, contributions=contributions, attribution=attribution)


def maps_of_models(
    facts: ModelFacts, models: Sequence[int], results: Sequence[BagScore]
) -> dict[str, list[NDArray[np.float32]]]:
    """Give the maps of a patient, model by model, of what patients are ranked by.

    Parameters
    ----------
    models
        Numbers of the models that speak.
    results
        What they say.

    Returns
    -------
    "attention" and "contribution" -> (N,) of each model that has it.
    """
    at = np.stack([result.logits for result in results]).astype(np.float64)
    if facts.classes:  # their rank is that of the mean logits; of an endpoint, the mean of ranks
        at = np.broadcast_to(at.mean(axis=0), at.shape)
    maps: dict[str, list[NDArray[np.float32]]] = {"attention": [], "contribution": []}
    for number, result, logits in zip(models, results, at, strict=True):
        slope = facts.head_of(number).slope(logits)
        # Of several outputs each has an attention, of which those count that raise the rank.
        raising = np.maximum(slope, 0) / np.maximum(slope, 0).sum()
        if result.attention is not None:
            maps["attention"].append(_one_of(result.attention, raising))
        if result.contributions is not None:
            maps["contribution"].append(_one_of(result.contributions, slope))
    return maps


def scores_of(
    facts: ModelFacts, models: Sequence[int], logits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Make scores, (n,), of what the models say of n bags, (models, n, K), as `combine` of one."""
    if facts.classes:
        return facts.calibration(logits.mean(axis=0))[:, -1]
    return facts.calibration(ranks_of(facts, models, logits))


def ranks_of(
    facts: ModelFacts, models: Sequence[int], logits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the number, (n,), that n bags are ranked by, of what the models say, (models, n, K).

    Of classes the rank of the mean logits; else the mean of the models' ranks.
    """
    if facts.classes:
        return facts.head_of(models[0]).rank(logits.mean(axis=0))
    ranks = [facts.head_of(number).rank(x) for number, x in zip(models, logits, strict=True)]
    return np.asarray(np.mean(ranks, axis=0))


def combine(
    facts: ModelFacts, models: Sequence[int], logits: NDArray[np.float64]
) -> PatientPrediction:
    """Make a score of what models say of a patient.

    Parameters
    ----------
    models
        Numbers of the models that speak.
    logits
        (models, K) what they say.
    """
    calibrate = facts.calibration
    if facts.classes:
        mean = logits.mean(axis=0)
        rank = float(facts.head_of(0).rank(mean[None])[0])
        of_classes = [float(score) for score in calibrate(mean)]
        score, scores = of_classes[-1], calibrate(logits)[:, -1]
    else:
        heads = [facts.head_of(number) for number in models]
        ranks = np.array([head.rank(x[None])[0] for head, x in zip(heads, logits, strict=True)])
        rank, of_classes = float(ranks.mean()), []
        score, scores = float(calibrate(rank)), calibrate(ranks)
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else float("nan")
    return PatientPrediction(rank, score, spread, of_classes, None, None)


def _one_of(values: NDArray[np.float32], weight: NDArray[np.float64]) -> NDArray[np.float32]:
    """One map, (N,), of those of K outputs, weighted by (K,), or of the one of all outputs."""
    if values.shape[1] == len(weight) > 1:
        return np.asarray(values @ weight, dtype=np.float32)
    return values[:, -1]


def _mean_of(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    return np.mean(maps, axis=0) if len(maps) else None


def predict(
    bundle: ModelBundle, cohort: Cohort, bags: PatientBags
) -> Iterator[tuple[str, PatientPrediction]]:
    """Score a cohort, patient by patient.

    Raises
    ------
    DataError
        If the bags were made with another encoder or preprocessing than the model's, a
        development patient is unknown to the model, or an external patient was trained on.
    """
    check_encoding(bundle, bags)
    for patient_id, split in cohort.patients["split"].items():
        known = patient_id in bundle.facts.fold_of
        if split == "external" and known:
            raise DataError(
                f'external patient "{patient_id}" is among the model\'s development patients; '
                "its score would not be external"
            )
        if split == "development" and not known:
            raise DataError(
                f'development patient "{patient_id}" has no out-of-fold model; train again, or '
                "give the patient as external"
            )
    for patient_id in cohort.patients.index:
        yield patient_id, predict_patient(bundle, patient_id, bags.bags[patient_id])


def check_encoding(bundle: ModelBundle, bags: PatientBags) -> None:
    """Refuse bags that the model's numbers do not speak of.

    Raises
    ------
    DataError
        Naming the first property that differs.
    """
    expected = bundle.facts.encoding
    for name in dict.fromkeys([*expected, *bags.encoding]):
        if expected.get(name) != bags.encoding.get(name):
            raise DataError(
                f"the model was trained on bags with {name} {shortened(expected.get(name))}, these "
                f"have {shortened(bags.encoding.get(name))}; extract them with the model's settings"
            )
    if bags.dimension != bundle.facts.dimension:
        raise DataError(
            f"the model takes vectors of {bundle.facts.dimension} numbers, the bags hold "
            f"{bags.dimension}"
        )


def prediction_row(
    bundle: ModelBundle, cohort: Cohort, patient_id: str, bag: PatientBag, said: PatientPrediction
) -> dict[str, object]:
    """One row of `predictions.csv`."""
    patient = cohort.patients.loc[patient_id]
    classes = bundle.facts.classes
    row = {
        "patient_id": patient_id,
        "centre": patient["centre"],
        "split": patient["split"],
        "score_kind": "oof" if patient_id in bundle.facts.fold_of else "external",
        "score": said.score,
        "logit": said.logit,
        "score_sd": said.score_sd,
        "label": _label(patient.get("label", ""), classes),
        "decision": int(said.score >= bundle.facts.threshold),
        "n_patches": len(bag),
        "model_digest": bundle.digest,
    }
    if classes:
        row["class"] = classes[int(patient["label"])] if "label" in patient else ""
        row["predicted_class"] = classes[int(np.argmax(said.class_scores))]
        row |= {f"score_{name}": x for name, x in zip(classes, said.class_scores, strict=True)}
    return row


def _label(label: object, classes: Sequence[str]) -> object:
    """0 or 1; of several classes, whether it is the last, of which the score speaks."""
    return int(label == len(classes) - 1) if classes and label != "" else label


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a predictions table, ours or one made elsewhere with the same columns.

    Raises
    ------
    DataError
        If it is missing, a column is absent, a patient occurs twice, has no centre or is neither
        development nor external, or a score is not a number in [0, 1]; the line names the column
        or patient.
    """
    if not path.exists():
        raise DataError(f'predictions "{path}" do not exist; run cmil predict')
    # Classes, too, may be called "1", "2" and "3".
    texts = (
        *("patient_id", "centre", "split", "score_kind", "model_digest"),
        *("class", "predicted_class"),
    )
    # Only an empty field is missing: a centre may well be called "NA".
    table = pd.read_csv(
        path,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
    )
    absent = [column for column in COLUMNS if column not in table.columns]
    if absent:
        raise DataError(f'"{path.name}" has no column "{absent[0]}"')
    repeated = table["patient_id"][table["patient_id"].duplicated()]
    if len(repeated):
        raise DataError(f'"{path.name}": patient "{repeated.iloc[0]}" occurs twice')
    nowhere = table[table["centre"].isna() | ~table["split"].isin(SPLITS)]
    if len(nowhere):
        patient = nowhere["patient_id"].iloc[0]
        raise DataError(
            f'"{path.name}": "{patient}" needs a centre and a split, {" or ".join(SPLITS)}'
        )
    wrong = table[~pd.to_numeric(table["score"], errors="coerce").between(0, 1)]
    if len(wrong):
        patient = wrong["patient_id"].iloc[0]
        raise DataError(f'"{path.name}": the score of "{patient}" is not a number in [0, 1]')
    return table
