"""Landmark analysis and delayed entry: no patient is credited with time that had to be survived.

A score that is known only at some time after time zero says nothing of those who died before: to
count from zero gives every scored patient "immortal" time. Either patients enter when the score is
known (`entry` of curves and tests), or all are followed from one landmark on (`landmark_analysis`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cohorts.errors import DataError, SettingsError
from survival.follow_up import FollowUp, at_risk, follow_up, group_names

Clock = Literal["restarted", "kept"]

# An event while fewer are at risk moves a curve by a tenth or more.
_FEW = 10


@dataclass(frozen=True)
class Landmark:
    """Patients still under observation after a landmark.

    Attributes
    ----------
    at
        The landmark, in the unit of time.
    kept
        Which of the patients given are analysed (n,), boolean.
    time, event, entry
        Of those kept (m,), ready for curves and tests. With the clock restarted, time counts from
        the landmark and entry is 0; with the clock kept, entry is the landmark.
    counts
        `group, n, kept, event_before, censored_before, unscored`: why patients are left out. Who
        had the event or was censored at the landmark itself counts as before it; unscored are those
        whose score became known only after it.
    note
        What to say of it in a report.
    """

    at: float
    kept: NDArray[np.bool_]
    time: NDArray[np.float64]
    event: NDArray[np.bool_]
    entry: NDArray[np.float64]
    counts: pd.DataFrame
    note: str


def landmark_analysis(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    at: float,
    *,
    clock: Clock = "restarted",
    known_at: ArrayLike | None = None,
) -> Landmark:
    """Keep the patients who are event-free and under observation after a landmark.

    Anderson, Cain & Gelber 1983, J Clin Oncol 1:710; who is at risk is as in `cutLM` of R's dynpred
    (time > landmark). Curves of those kept are conditional on reaching the landmark.

    Parameters
    ----------
    time, event, group
        Time under observation from time zero, 1 for an event, and group of each patient (n,).
    at
        The landmark, greater than 0; to be chosen before looking at the outcome.
    clock
        "restarted" counts time from the landmark, "kept" from time zero with entry at the landmark.
        Tests and hazard ratios are the same.
    known_at
        Time at which each patient's score (or group) became known (n,); who was scored after the
        landmark is left out.

    Raises
    ------
    SettingsError
        If nobody is under observation after the landmark.
    """
    data, groups = follow_up(time, event), np.asarray(group)
    known = np.zeros(len(data.time)) if known_at is None else _known(data, known_at)
    reached = data.time > at
    kept = reached & (known <= at)
    if not at > 0 or not kept.any():
        raise SettingsError(
            f"landmark: {at:g} is not above 0 with patients observed beyond it; "
            f"give one below {data.time.max():g}"
        )
    of = {
        "kept": kept,
        "event_before": ~reached & data.event,
        "censored_before": ~reached & ~data.event,
        "unscored": reached & ~kept,
    }
    names = group_names(group)
    counts = pd.DataFrame(
        {"group": names, "n": [int(np.sum(groups == name)) for name in names]}
        | {why: [int(np.sum(who & (groups == n))) for n in names] for why, who in of.items()}
    )
    shift, entry = (at, 0.0) if clock == "restarted" else (0.0, at)
    note = (
        f"landmark at {at:g}: {counts['kept'].sum()} of {len(kept)} patients analysed; left out: "
        f"{counts['event_before'].sum()} with the event and {counts['censored_before'].sum()} "
        f"censored up to it, {counts['unscored'].sum()} scored after it"
    )
    return Landmark(
        at,
        kept,
        data.time[kept] - shift,
        data.event[kept],
        np.full(int(kept.sum()), entry),
        counts,
        note,
    )


def immortal_time_warning(time: ArrayLike, event: ArrayLike, known_at: ArrayLike) -> str | None:
    """Warn if scores became known after time zero, so that patients had to survive to get one.

    Parameters
    ----------
    time, event
        Time under observation from time zero and 1 for an event (n,).
    known_at
        Time at which each patient's score became known (n,), e.g. of the smear; 0 at time zero.

    Returns
    -------
    str or None
        What is wrong and how to mend it; None where every score was known at time zero.

    Raises
    ------
    DataError
        If a score became known after the patient's time under observation.
    """
    data = follow_up(time, event)
    known = _known(data, known_at)
    late = known > 0
    if not late.any():
        return None
    share = float(known[late].sum() / data.time.sum())
    return (
        f"immortal time: {late.sum()} of {len(late)} scores became known after time zero (median "
        f"{np.median(known[late]):g}, last {known.max():g}); until then the patient could not have "
        f"the event and be scored. {share:.0%} of all time under observation is of this kind and "
        "makes survival look longer. Let patients enter when the score is known (entry), count "
        "time from then, or follow all from a landmark"
    )


def delayed_entry_notes(time: ArrayLike, event: ArrayLike, entry: ArrayLike) -> list[str]:
    """Say where delayed entry makes curves unreliable.

    With late entries few may be at risk early on. One event then moves the whole curve, and where
    all at risk have the event it is 0 for good (Klein & Moeschberger 2003, section 4.6).

    Returns
    -------
    list of str
        Empty where at least 10 are at risk at every event before the last entry, and the risk set
        never empties before it.
    """
    data = follow_up(time, event, entry)
    last_entry = data.entry.max()
    if not np.isfinite(last_entry):
        return []
    times, deaths = np.unique(data.time[data.event], return_counts=True)
    early = times <= last_entry
    times, deaths, n = times[early], deaths[early], at_risk(data, times[early])
    notes = []
    if (few := n < _FEW).any():
        notes.append(
            f"delayed entry: events at {times[few][0]:g} to {times[few][-1]:g} happen with fewer "
            f"than {_FEW} patients at risk; each moves the whole curve after it"
        )
    if (gone := deaths == n).any():
        notes.append(
            f"delayed entry: all at risk at {times[gone][0]:g} have the event, so the curve is 0 "
            f"although patients enter later; start it at {times[gone][-1]:g} (landmark)"
        )
    exits = np.unique(data.time[data.time < last_entry])
    if (empty := at_risk(data, np.nextafter(exits, np.inf)) == 0).any():
        notes.append(
            f"delayed entry: nobody is at risk just after {exits[empty][0]:g}; "
            "the curve is conditional on surviving the gap"
        )
    return notes


def _known(data: FollowUp, known_at: ArrayLike) -> NDArray[np.float64]:
    known = np.asarray(known_at, dtype=np.float64)
    if len(known) != len(data.time) or np.isnan(known).any():
        raise DataError("known_at: give the time at which each patient's score became known, or 0")
    if (late := known >= data.time).any() and (known[late] > 0).any():
        raise DataError(
            f"known_at: {late.sum()} scores became known when observation had ended; "
            "leave these patients out"
        )
    return known
