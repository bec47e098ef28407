"""How many patches are enough: what the score does when fewer of them are seen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from cohorts.errors import DataError

if TYPE_CHECKING:
    from cmil.bundle import ModelBundle
    from cmil.patient_bags import PatientBag

Subset = NDArray[np.intp]
ScoreSubsets = Callable[[Sequence[Subset]], NDArray[np.float64]]

SIZES = (50, 100, 200, 500, 1000, 2000)
# Draws of a patient share more patches the more of the bag they hold, and then differ less than
# another smear would.
_LARGEST_SHARE = 0.5


def subset_scorer(bundle: "ModelBundle", patient_id: str, bag: "PatientBag") -> ScoreSubsets:
    """Score parts of a patient's bag as the frozen models score the whole of it.

    With the models that may speak of the patient.
    """
    from cmil.explanations.subset_logits import subset_logits
    from cmil.prediction import numbers_for, scores_of

    numbers = numbers_for(bundle, patient_id)

    def score(subsets: Sequence[Subset]) -> NDArray[np.float64]:
        logits = [subset_logits(bundle.models[n], bag.instances, subsets) for n in numbers]
        return scores_of(bundle.facts, numbers, np.stack(logits))

    return score


def subset_scores(
    score: ScoreSubsets,
    patches: int,
    rng: np.random.Generator,
    sizes: Sequence[int] = SIZES,
    draws: int = 20,
) -> pd.DataFrame:
    """Score random subsets of one bag, drawn without replacement.

    Sizes above half of the bag are left out: draws would share most of their patches.

    Parameters
    ----------
    score
        Scores subsets of the rows 0 to `patches` - 1, e.g. of `subset_scorer`.

    Returns
    -------
    DataFrame
        `patches, draw, score, whole`, `whole` the score of all patches; empty for a small bag.
    """
    fitting = [size for size in sizes if size <= _LARGEST_SHARE * patches]
    drawn = list(_subsets(patches, fitting, draws, rng))
    scores = score([*drawn, np.arange(patches)])
    return pd.DataFrame(
        {
            "patches": np.repeat(np.array(fitting, dtype=int), draws),
            "draw": np.tile(np.arange(draws), len(fitting)),
            "score": scores[:-1],
            "whole": scores[-1],
        }
    )


def score_parts(
    bundle: "ModelBundle",
    bags: Mapping[str, "PatientBag"],
    seed: int,
    sizes: Sequence[int] = SIZES,
    draws: int = 20,
) -> pd.DataFrame:
    """Score random parts of every patient's bag by the frozen models.

    Parameters
    ----------
    bags
        patient_id -> bag.
    seed
        The study's; a patient's draws do not depend on who else is scored.

    Returns
    -------
    DataFrame
        `patient_id, patches, draw, score, whole`; see `subset_scores`.
    """
    tables = [
        subset_scores(
            subset_scorer(bundle, patient, bag),
            len(bag),
            np.random.default_rng([seed, *patient.encode()]),
            sizes,
            draws,
        ).assign(patient_id=patient)
        for patient, bag in bags.items()
    ]
    return pd.concat(tables, ignore_index=True)


def stability(scores: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Summarise over patients how much the score varies at each number of patches.

    Parameters
    ----------
    scores
        `patient_id, patches, draw, score, whole`, as `score_parts` gives them.
    threshold
        Locked: a score of at least this is a decision for metastasis.

    Returns
    -------
    DataFrame
        One row a number of patches: `patches, patients`; `sd` of a patient's score over draws,
        `flips` (share of draws decided otherwise than by all patches) and `bias` (score less that
        of all patches), each the mean over patients with `_ci_low, _ci_high` by Student's t over
        patients (`t.test`), cut at 0 and 1 for the first two; `note`.

    Raises
    ------
    DataError
        If a patient has a single draw at a size.
    """
    flips = (scores["score"] >= threshold) != (scores["whole"] >= threshold)
    table = scores.assign(flips=flips.astype(float), bias=scores["score"] - scores["whole"])
    by_patient = table.groupby(["patches", "patient_id"])
    if len(table) and by_patient.size().min() < 2:
        raise DataError("a standard deviation needs two draws of a patient or more; raise draws")
    each = by_patient.agg(sd=("score", "std"), flips=("flips", "mean"), bias=("bias", "mean"))
    rows = []
    for size, group in each.groupby(level="patches"):
        row: dict[str, object] = {"patches": size, "patients": len(group)}
        for name, low, high in (("sd", 0, np.inf), ("flips", 0, 1), ("bias", -np.inf, np.inf)):
            mean, half = _mean_and_half_width(group[name].to_numpy())
            row[name] = mean
            row[f"{name}_ci_low"], row[f"{name}_ci_high"] = np.clip(
                [mean - half, mean + half], low, high
            )
        row["note"] = "" if len(group) > 1 else "one patient: no interval"
        rows.append(row)
    return pd.DataFrame(rows)


def patches_needed(stable: pd.DataFrame, most_flips: float) -> int | None:
    """Smallest number of patches from which on few decisions flip; None if none was seen.

    The upper limit of `flips` must be at most `most_flips` there and at every larger number.

    Parameters
    ----------
    stable
        As `stability` gives it.
    """
    needed = None
    for row in stable.sort_values("patches", ascending=False).to_dict("records"):
        if not row["flips_ci_high"] <= most_flips:
            break
        needed = int(row["patches"])
    return needed


def _subsets(
    patches: int, sizes: Sequence[int], draws: int, rng: np.random.Generator
) -> Iterator[Subset]:
    for size in sizes:
        for _ in range(draws):
            yield rng.choice(patches, size, replace=False)


def _mean_and_half_width(values: NDArray[np.float64]) -> tuple[float, float]:
    if len(values) < 2:
        return float(values.mean()), float("nan")
    spread = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(student.ppf(0.975, len(values) - 1) * spread)
