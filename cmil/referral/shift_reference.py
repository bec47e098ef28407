"""What development looks like, how far its centres lie apart, and how often the test cries wolf."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from cmil.referral.energy_distance import energy_distances, pairwise_distances, permutation_p
from cmil.validation.decisions import Proportion, wilson
from cohorts.errors import DataError

Verdict = Literal["like development", "another centre", "too far", "too few patients"]
FEWEST = 5
FEWEST_IN_DEVELOPMENT = 4 * FEWEST
LEVEL = 0.05
PERMUTATIONS = 1999
_CENTRES_TO_COMPARE = 3
_PERMUTATIONS_OF_A_SPLIT = 199


@dataclass(frozen=True)
class ShiftReference:
    """What development looks like, and how far is too far; frozen with the model.

    Attributes
    ----------
    mean, scale
        (F,) of the development patients' descriptions.
    descriptions
        (n, F) of the development patients, standardised.
    too_far
        Distance beyond which a centre that differs is called "too far": the largest of a
        development centre from the others, or, of fewer than three centres, the largest but 5%
        of random splits.
    of_centres
        `centre, patients, distance, p, verdict` of each development centre against the others,
        with everything fitted on those only.
    false_alarms_of_centres
        Development centres called "too far", each judged by a limit and a reference made of the
        others only. Of K centres that are alike, another is farthest with probability
        1 / (K + 1).
    false_alarms_of_splits, differs_in_splits
        Random splits called "too far", and of p below 0.05.
    note
        What the reference cannot say; empty otherwise.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    descriptions: NDArray[np.float64]
    too_far: float
    of_centres: pd.DataFrame
    false_alarms_of_centres: Proportion
    false_alarms_of_splits: Proportion
    differs_in_splits: Proportion
    note: str


def describe_patient(instances: ArrayLike) -> NDArray[np.float64]:
    """Mean and standard deviation of each feature over a patient's patches.

    Parameters
    ----------
    instances
        (N, D) embeddings; of a single patch the standard deviations are 0.

    Returns
    -------
    (2D,) means, then standard deviations.
    """
    rows = np.asarray(instances)
    spread = rows.std(axis=0, dtype=np.float64)
    return np.concatenate([rows.mean(axis=0, dtype=np.float64), spread])


def fit_shift_reference(
    descriptions: ArrayLike,
    centres: ArrayLike,
    rng: np.random.Generator,
    splits: int = 200,
) -> ShiftReference:
    """Learn from development how far centres lie apart, and how often the test cries wolf.

    Features are standardised, not whitened: with fewer patients than features a covariance, or
    principal components, fit development better than they fit new patients, who would seem far
    off for no other reason. Distances need neither, whatever the width.

    Parameters
    ----------
    descriptions
        (n, F) of development patients, as `describe_patient` gives them.
    centres
        (n,) where each was seen.
    splits
        Random splits, a fifth of the patients against the others, from which false alarms of
        chance are measured.

    Raises
    ------
    DataError
        If a description is not finite, or there are fewer than 20 patients.
    """
    rows, places = checked_descriptions(descriptions), np.asarray(centres).astype(str)
    if len(rows) < FEWEST_IN_DEVELOPMENT:
        raise DataError(
            f"{len(rows)} development patients are too few to tell a shift; "
            f"at least {FEWEST_IN_DEVELOPMENT} are needed"
        )
    with threadpool_limits(1):  # products this small are shared out more slowly than computed
        of_splits = _random_splits(rows, rng, splits)
        of_centres = _centres_left_out(rows, places, rng)
    comparable = of_centres.dropna(subset="distance")
    notes = []
    if len(comparable) >= _CENTRES_TO_COMPARE:
        too_far = float(comparable["distance"].max())
        judged = [
            p < LEVEL and distance > _farthest_of(rows[places != centre], places[places != centre])
            for centre, distance, p in comparable[["centre", "distance", "p"]].to_numpy()
        ]
        false_alarms = wilson(int(sum(judged)), len(judged))
    else:
        too_far = float(np.quantile(of_splits["distance"], 1 - LEVEL))
        false_alarms = wilson(0, 0)
        notes.append(
            f"{len(comparable)} development centre(s) of {FEWEST} patients or more against others: "
            "how far centres lie apart is not known, so any other centre may be called too far"
        )
    differs = of_splits["p"] < LEVEL
    mean, scale = _scale_of(rows)
    return ShiftReference(
        mean=mean,
        scale=scale,
        descriptions=(rows - mean) / scale,
        too_far=too_far,
        of_centres=of_centres.assign(
            verdict=[verdict_of(d, p, too_far) for d, p in of_centres[["distance", "p"]].to_numpy()]
        ),
        false_alarms_of_centres=false_alarms,
        false_alarms_of_splits=wilson(
            int((differs & (of_splits["distance"] > too_far)).sum()), splits
        ),
        differs_in_splits=wilson(int(differs.sum()), splits),
        note="; ".join(notes),
    )


def _random_splits(
    rows: NDArray[np.float64], rng: np.random.Generator, splits: int
) -> pd.DataFrame:
    held_out = max(FEWEST, len(rows) // 5)
    found = []
    for _ in range(splits):
        members = np.zeros(len(rows), dtype=bool)
        members[rng.choice(len(rows), held_out, replace=False)] = True
        found.append(_held_out(rows, members, rng, _PERMUTATIONS_OF_A_SPLIT))
    return pd.DataFrame(found, columns=["distance", "p"])


def _farthest_of(rows: NDArray[np.float64], places: NDArray[np.str_]) -> float:
    """Largest distance of a centre from the others of them."""
    sizes = {centre: int((places == centre).sum()) for centre in np.unique(places)}
    return max(
        _left_out(rows, places == centre)
        for centre, size in sizes.items()
        if size >= FEWEST and len(rows) - size >= FEWEST
    )


def _left_out(rows: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    mean, scale = _scale_of(rows[~members])
    distances = pairwise_distances((rows - mean) / scale)
    return float(energy_distances(distances, members[None])[0])


def _centres_left_out(
    rows: NDArray[np.float64], places: NDArray[np.str_], rng: np.random.Generator
) -> pd.DataFrame:
    found = []
    for centre in np.unique(places):
        members = places == centre
        size = int(members.sum())
        comparable = size >= FEWEST and len(rows) - size >= FEWEST
        nothing = (float("nan"), float("nan"))
        apart = _held_out(rows, members, rng, PERMUTATIONS) if comparable else nothing
        found.append((centre, size, *apart))
    return pd.DataFrame(found, columns=["centre", "patients", "distance", "p"])


def _held_out(
    rows: NDArray[np.float64], members: NDArray[np.bool_], rng: np.random.Generator, samples: int
) -> tuple[float, float]:
    """Judge patients by a reference made of the others only, as a new centre would be."""
    mean, scale = _scale_of(rows[~members])
    standardised = (rows - mean) / scale
    return apart(standardised[members], standardised[~members], rng, samples)


def apart(
    group: NDArray[np.float64],
    others: NDArray[np.float64],
    rng: np.random.Generator,
    samples: int,
) -> tuple[float, float]:
    """Distance of (m, F) patients from (n, F) others, and its permutation p."""
    members = np.arange(len(group) + len(others)) < len(group)
    distances = pairwise_distances(np.concatenate([group, others]))
    distance = float(energy_distances(distances, members[None])[0])
    return distance, permutation_p(distances, members, rng, samples)


def _scale_of(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    spread = rows.std(axis=0, ddof=1)
    # A feature that is constant in development counts in its own unit where it does vary.
    return rows.mean(axis=0), np.where(spread > 0, spread, 1.0)


def verdict_of(distance: float, p: float, too_far: float) -> Verdict:
    """Put distance and p in words; see `cmil.referral.shift.Shift`."""
    if np.isnan(distance):
        return "too few patients"
    if p >= LEVEL:
        return "like development"
    return "too far" if distance > too_far else "another centre"


def checked_descriptions(descriptions: ArrayLike) -> NDArray[np.float64]:
    """Refuse descriptions that are not finite rows.

    Raises
    ------
    DataError
        Naming the first patient.
    """
    rows = np.asarray(descriptions, dtype=float)
    if rows.ndim != 2:
        raise DataError(f"descriptions have {rows.ndim} dimension(s); give patients x numbers")
    if not np.isfinite(rows).all():
        patient = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise DataError(f"the description of patient number {patient} is not finite; extract again")
    return rows
