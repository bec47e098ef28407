"""The detection limit of a study: bags planted with the patches its annotations mark."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cmil.bundle import ModelBundle
from cmil.instances import Instances
from cmil.patient_bags import PatientBag
from cmil.referral.patch_number import subset_scorer
from cmil.referral.planted_bags import mixed_scores

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
MOST_PATIENTS = 30
_DRAWS = 20
_LARGEST = 2000
# Bags of a patient differ in their background too, so there is more of it than one bag takes.
_POOL = 4

Marked = Mapping[str, NDArray[np.float64]]
"""patient_id -> (N,) 1 for patches known to be tumour, 0 for others, NaN where not known."""


def planted_scores(
    bundle: ModelBundle,
    bags: Mapping[str, PatientBag],
    marked: Marked,
    labels: "pd.Series[int]",
    seed: int,
) -> pd.DataFrame:
    """Score bags mixed of one patient's tumour patches and patches of patients without metastasis.

    All patches of a bag are of patients whom the same models have not seen. Bags have as many
    patches as half of the patients have, 2,000 at most. A patient with few tumour patches takes
    part in small fractions only. No more than 30 patients are planted, drawn by the seed.

    Parameters
    ----------
    bags
        patient_id -> bag.
    labels
        0 or 1 by patient_id.

    Returns
    -------
    DataFrame
        `patient_id, patches, fraction, draw, score`; fraction 0 is a bag without tumour. Empty
        where no patient has marked patches, or the others are too few to plant them among.
    """
    size = min(_LARGEST, int(np.median([len(bag) for bag in bags.values()])))
    positive = [p for p in marked if labels[p] == 1 and (marked[p] == 1).any()]
    drawn = np.random.default_rng(seed).permutation(len(positive))[:MOST_PATIENTS]
    tables = []
    for patient in (positive[number] for number in sorted(drawn)):
        rng = np.random.default_rng([seed, *patient.encode()])
        unaware = bundle.facts.models_unaware_of(patient)
        others = [
            bags[p].rows
            for p in bags
            if labels[p] == 0 and bundle.facts.models_unaware_of(p) == unaware
        ]
        background = _pool(others, _POOL * size, rng)
        rows = np.flatnonzero(marked[patient] == 1)
        fractions = [f for f in FRACTIONS if 1 <= round(f * size) <= len(rows)]
        if not fractions or len(background) < size:
            continue
        tumour = bags[patient].rows[torch.from_numpy(rows)]
        mixed = PatientBag(torch.cat([tumour, background]), {})
        scores = mixed_scores(
            subset_scorer(bundle, patient, mixed),
            np.arange(len(rows)),
            np.arange(len(rows), len(mixed)),
            [0.0, *fractions],
            size,
            _DRAWS,
            rng,
        )
        tables.append(scores.assign(patient_id=patient, patches=size))
    columns = ["patient_id", "patches", "fraction", "draw", "score"]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def _pool(bags: Sequence[Instances], most: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw patches of several bags, of each its share."""
    total = sum(len(bag) for bag in bags)
    if not total:
        return torch.empty(0)
    share = min(1.0, most / total)
    parts = []
    for bag in bags:
        rows = rng.choice(len(bag), max(1, round(share * len(bag))), replace=False)
        parts.append(bag[torch.from_numpy(np.sort(rows))])
    return torch.cat(parts)
