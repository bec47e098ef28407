"""Counts that may leave a centre: small ones are hidden, and what they could be worked out from."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from cmil.validation.discrimination import auc_delong

# A usual choice of statistical offices and hospitals.
SMALLEST_COUNT = 5


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CentreAggregate(_Frozen):
    """What is shared of a centre in place of its patients; None is hidden or not estimable.

    Attributes
    ----------
    centre
        As in the manifest.
    patients, positives, negatives
        With a score.
    true_positive, false_negative, false_positive, true_negative
        At the locked threshold.
    auc, auc_variance
        DeLong's.
    mean_score, brier
        Over the patients.
    note
        Why something is not given.
    """

    centre: str
    patients: int | None
    positives: int | None
    negatives: int | None
    true_positive: int | None
    false_negative: int | None
    false_positive: int | None
    true_negative: int | None
    auc: float | None
    auc_variance: float | None
    mean_score: float | None
    brier: float | None
    note: str


class CentreQuality(_Frozen):
    """What became of a centre's slides; None is hidden. There is no total to subtract from."""

    centre: str
    slides_with_bag: int | None
    slides_without_bag: int | None
    patients_without_score: int | None
    patches: int | None


def aggregate(scores: pd.DataFrame, smallest: int = SMALLEST_COUNT) -> tuple[CentreAggregate, ...]:
    """Sum up each centre, with counts below `smallest` hidden.

    Positives and negatives add up to the patients, true positives and false negatives to the
    positives, and so on. Of each such pair both are hidden if one is: the other would give it away.
    Where a total is hidden, so are its parts. AUC and its variance are given where positives and
    negatives are.

    Parameters
    ----------
    scores
        `centre, score, label, decision`.
    smallest
        3 or more: with 2, a hidden count of a centre that is named is 1.
    """
    return tuple(_of_centre(str(name), group, smallest) for name, group in scores.groupby("centre"))


def shared_parts(parts: Mapping[str, int], smallest: int) -> dict[str, int | None]:
    """Hide the parts of a total that is known, so that none below `smallest` can be worked out.

    Primary suppression of each small part; then of the smallest others until at least two are
    hidden that make up `smallest` together (complementary suppression, Willenborg & de Waal 2001,
    Elements of Statistical Disclosure Control, ch. 4, in one dimension).
    """
    ascending = sorted(parts, key=lambda name: parts[name])
    hidden = [name for name in ascending if parts[name] < smallest]
    for name in ascending[len(hidden) :]:
        if not hidden or (len(hidden) > 1 and sum(parts[n] for n in hidden) >= smallest):
            break
        hidden.append(name)
    return {name: None if name in hidden else parts[name] for name in parts}


def shared_count(count: int, smallest: int) -> int | None:
    """Hide a count that nothing else adds up to."""
    return count if count >= smallest else None


def refuse_inconsistent(found: Sequence[CentreAggregate]) -> str | None:
    """Say in a line what does not add up in aggregates, if anything."""
    for one in found:
        sums = (
            (one.patients, (one.positives, one.negatives)),
            (one.positives, (one.true_positive, one.false_negative)),
            (one.negatives, (one.false_positive, one.true_negative)),
        )
        for total, parts in sums:
            known = [part for part in parts if part is not None]
            if any(part < 0 for part in known):
                return f'centre "{one.centre}": a count is below 0'
            if len(known) == len(parts) and (total is None or sum(known) != total):
                return f'centre "{one.centre}": {known} do not add up to {total}'
        if one.auc is not None and not 0 <= one.auc <= 1:
            return f'centre "{one.centre}": AUC {one.auc} is not between 0 and 1'
        if one.auc_variance is not None and one.auc_variance < 0:
            return f'centre "{one.centre}": the variance of the AUC is below 0'
    return None


def shared_counts(decided: Mapping[str, int], smallest: int) -> dict[str, int | None]:
    """Hide what may not be shared of a centre's two-by-two table and its margins.

    Parameters
    ----------
    decided
        `true_positive, false_negative, false_positive, true_negative`.

    Returns
    -------
    dict
        `patients, positives, negatives` and the four, None where hidden.
    """
    of_positives = {name: decided[name] for name in ("true_positive", "false_negative")}
    of_negatives = {name: decided[name] for name in ("false_positive", "true_negative")}
    sides = {"positives": sum(of_positives.values()), "negatives": sum(of_negatives.values())}
    shown: dict[str, int | None] = {"patients": shared_count(sum(sides.values()), smallest)}
    for total, parts in (
        ("patients", sides),
        ("positives", of_positives),
        ("negatives", of_negatives),
    ):
        known = shown[total] is not None
        shown |= shared_parts(parts, smallest) if known else dict.fromkeys(parts)
    return shown


def _of_centre(centre: str, group: pd.DataFrame, smallest: int) -> CentreAggregate:
    label, decision = group["label"].to_numpy() == 1, group["decision"].to_numpy() == 1
    score = group["score"].to_numpy(dtype=float)
    decided = {
        "true_positive": int((label & decision).sum()),
        "false_negative": int((label & ~decision).sum()),
        "false_positive": int((~label & decision).sum()),
        "true_negative": int((~label & ~decision).sum()),
    }
    shown = shared_counts(decided, smallest)
    both = label.any() and not label.all()
    estimable = both and shown["positives"] is not None and shown["negatives"] is not None
    auc = auc_delong(score, label) if estimable else None
    hidden = [name for name, value in shown.items() if value is None]
    notes = [f"below {smallest}, or telling what is: {', '.join(hidden)}"] if hidden else []
    if auc is None:
        notes.append(f"AUC not given: {'counts are hidden' if both else 'one label only'}")
    return CentreAggregate(
        centre=centre,
        **shown,
        auc=auc.value if auc else None,
        auc_variance=auc.variance if auc and math.isfinite(auc.variance) else None,
        mean_score=None if shown["patients"] is None else float(score.mean()),
        brier=float(np.mean((score - label) ** 2)) if estimable else None,
        note="; ".join(notes),
    )
