"""One patient: what its maps are worth, and what they look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmil.aggregators import BagModel
from cmil.attention import MAP_KINDS, MapKind
from cmil.bundle import ModelBundle
from cmil.explanations.agreement import rank_agreement, top_agreement
from cmil.explanations.concentration import TOP_PERCENT, share_held
from cmil.explanations.enrichment import patient_effect
from cmil.explanations.faithfulness import Curves, counts_to_keep, curves_of, orders_to_try
from cmil.explanations.prefix_logits import prefix_logits
from cmil.patient_bags import PatientBag
from cmil.prediction import attribution_of, models_for, numbers_for
from cmil.validation.discrimination import auc_delong

Map = NDArray[np.float32]


@dataclass(frozen=True)
class PatientExplanation:
    """What was found of one patient.

    Attributes
    ----------
    decision
        1 for metastasis, 0 for none: the class whose probability the curves follow.
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
    models = models_for(bundle, patient_id)
    facts = bundle.facts
    whole = np.mean([model.score(bag.instances).logits[-1] for model in models])
    decision = int(facts.calibration(whole) >= facts.threshold)
    curves, worth = {}, {}
    for kind, values in maps.items():
        # Signed maps point towards metastasis; a decision against it rests on the other end.
        towards = values if kind == "attention" or decision else -values
        orders = orders_to_try(towards, rng)
        counts = counts_to_keep(len(bag))
        logits = np.mean(
            [prefix_logits(model, bag.instances, orders, counts) for model in models], axis=0
        )
        metastasis = facts.calibration(logits)
        curves[kind] = curves_of(metastasis if decision else 1 - metastasis)
        each = _maps_of_models(bundle, models, patient_id, bag, kind)
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


def _maps_of_models(
    bundle: ModelBundle,
    models: Sequence[BagModel],
    patient_id: str,
    bag: PatientBag,
    kind: MapKind,
) -> list[Map]:
    """One map a model; none where there is a single model, which has nobody to agree with."""
    if len(models) < 2:
        return []
    if kind == "attribution":
        return [
            attribution_of(bundle, number, patient_id, bag)
            for number in numbers_for(bundle, patient_id)
        ]
    said = [model.score(bag.instances) for model in models]
    both = [(one.attention, one.contributions)[MAP_KINDS.index(kind)] for one in said]
    return [values[:, -1] for values in both if values is not None]


def _against_truth(values: Map, truth: NDArray[np.float64]) -> dict[str, float]:
    known = ~np.isnan(truth)
    marked = truth[known] == 1
    auc = np.nan
    if marked.any() and not marked.all():
        auc = auc_delong(values[known], marked).value
    return {"marked_patches": float(marked.sum()) if known.any() else np.nan, "truth_auc": auc}
