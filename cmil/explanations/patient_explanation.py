"""One patient: what its maps are worth, and what they look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmil.attention import MapKind
from cmil.bundle import ModelBundle, ModelFacts
from cmil.explanations.agreement import rank_agreement, top_agreement
from cmil.explanations.concentration import TOP_PERCENT, share_held
from cmil.explanations.enrichment import patient_effect
from cmil.explanations.faithfulness import Curves, counts_to_keep, curves_of, orders_to_try
from cmil.explanations.prefix_logits import prefix_logits
from cmil.patient_bags import PatientBag
from cmil.prediction import (
    attribution_of,
    combine,
    maps_of_models,
    numbers_for,
    scores_of,
)
from cmil.validation.discrimination import auc_delong

Map = NDArray[np.float32]


@dataclass(frozen=True)
class PatientExplanation:
    """What was found of one patient.

    Attributes
    ----------
    decision
        Whether the score, a probability, is at least the threshold: the curves follow it, or what
        is left of it to 1.
    curves
        Of each map.
    worth
        Of each map: `patches`, `top_<percent>`, `deletion_gain`, `insertion_gain`, `models`,
        `rank_agreement`, `top_agreement`, `marked_patches` and `truth_auc`, NaN where not known.
    effects
        measure -> `patient_effect` of the map that is shown.
    """

    decision: int
    curves: Mapping[MapKind, Curves]
    worth: Mapping[MapKind, Mapping[str, float]]
    effects: Mapping[str, Mapping[str, float]]


def explain_patient(
    bundle: ModelBundle,
    patient_id: str,
    bag: PatientBag,
    maps: Mapping[MapKind, Map],
    *,
    measures: Mapping[str, NDArray[np.float64]],
    truth: NDArray[np.float64],
    rng: np.random.Generator,
) -> PatientExplanation:
    """Check a patient's maps with the models that may speak of the patient.

    Parameters
    ----------
    maps
        Kind to (N,) values, the one that is shown first.
    measures
        Name to (N,) values, NaN where not known.
    truth
        (N,) 1 for marked, 0 for not, NaN where not known.
    rng
        Of random orders.
    """
    facts, numbers = bundle.facts, numbers_for(bundle, patient_id)
    models = [bundle.models[number] for number in numbers]
    results = [model.score(bag.instances) for model in models]
    whole = combine(facts, numbers, np.stack([result.logits for result in results]))
    decision = int(whole.score >= facts.threshold)
    by_model = maps_of_models(facts, numbers, results)
    curves, worth = {}, {}
    for kind, values in maps.items():
        # Signed maps point to a higher score; a decision against it rests on the other end.
        towards = values if kind == "attention" or decision else -values
        orders = orders_to_try(towards, rng)
        counts = counts_to_keep(len(bag))
        logits = [prefix_logits(model, bag.instances, orders, counts) for model in models]
        scores = _scores_of_prefixes(facts, numbers, np.stack(logits))
        curves[kind] = curves_of(scores if decision else 1 - scores)
        each = by_model.get(kind) or _attributions(bundle, numbers, patient_id, bag)
        worth[kind] = {
            "patches": len(bag),
            **{f"top_{percent}": share_held(values, percent) for percent in TOP_PERCENT},
            "deletion_gain": curves[kind].deletion_gain,
            "insertion_gain": curves[kind].insertion_gain,
            "models": len(models),
            "rank_agreement": rank_agreement(each),
            "top_agreement": top_agreement(each),
            **_against_truth(values, truth),
        }
    shown = next(iter(maps.values()))
    found = {name: patient_effect(shown, values) for name, values in measures.items()}
    effects = {name: effect for name, effect in found.items() if effect is not None}
    return PatientExplanation(decision, curves, worth, effects)


def _scores_of_prefixes(
    facts: ModelFacts, numbers: Sequence[int], logits: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores, (orders, C), of the logits of every model, (models, orders, C, K)."""
    models, orders, counts, outputs = logits.shape
    flat = logits.reshape(models, orders * counts, outputs)
    return scores_of(facts, numbers, flat).reshape(orders, counts)


def _attributions(
    bundle: ModelBundle, numbers: Sequence[int], patient_id: str, bag: PatientBag
) -> list[Map]:
    """Attributions by each model; none of a single one, which has nobody to agree with."""
    agreeing = numbers if len(numbers) > 1 else []
    return [attribution_of(bundle, (number,), patient_id, bag) for number in agreeing]


def _against_truth(values: Map, truth: NDArray[np.float64]) -> dict[str, float]:
    known = ~np.isnan(truth)
    marked = truth[known] == 1
    auc = np.nan
    if marked.any() and not marked.all():
        auc = auc_delong(values[known], marked).value
    return {"marked_patches": float(marked.sum()) if known.any() else np.nan, "truth_auc": auc}
