"""Time under observation of patients, checked; ties and risk sets as R's survival sees them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cohorts.errors import DataError

# Times that differ by less are one time: R's aeqSurv(), called by survfit, survdiff and coxph.
_TOLERANCE = float(np.sqrt(np.finfo(np.float64).eps))
_MOST_NAMED = 5


@dataclass(frozen=True)
class FollowUp:
    """Patients under observation in (entry, time].

    Attributes
    ----------
    time
        Time of event or last contact (n,), in any one unit.
    event
        True for an event, False for a censored patient (n,).
    entry
        Time from which a patient is observed (n,); -inf for who is observed from time zero.
    """

    time: NDArray[np.float64]
    event: NDArray[np.bool_]
    entry: NDArray[np.float64]

    def of(self, members: NDArray[np.bool_]) -> "FollowUp":
        """Keep some of the patients."""
        return FollowUp(self.time[members], self.event[members], self.entry[members])


class Counts(NamedTuple):
    """What happens at each distinct time (T,): patients at risk just before it, and who leaves."""

    time: NDArray[np.float64]
    at_risk: NDArray[np.float64]
    of_cause: NDArray[np.float64]
    competing: NDArray[np.float64]
    censored: NDArray[np.float64]


def follow_up(time: ArrayLike, event: ArrayLike, entry: ArrayLike | None = None) -> FollowUp:
    """Check times and events, and merge times that differ by rounding only, as R does.

    Parameters
    ----------
    time
        Time under observation (n,), not negative.
    event
        1 for an event, 0 for a censored patient (n,).
    entry
        Time at which observation starts (n,), before `time`; 0 or less is no delay.

    Raises
    ------
    DataError
        For lengths that differ, no patient, a missing or negative time, an event that is neither 0
        nor 1, or an entry that is not before its time; names the patients.
    """
    times, events = np.asarray(time, dtype=np.float64), np.asarray(event, dtype=np.float64)
    entries = np.full(len(times), -np.inf) if entry is None else np.array(entry, dtype=np.float64)
    if not len(times) == len(events) == len(entries):
        raise DataError("time, event and entry differ in length; give one of each per patient")
    if not len(times):
        raise DataError("time: no patient; leave out a group or stratum that has none")
    names = _names(time, len(times))
    _refuse(~(np.isfinite(times) & (times >= 0)), names, "time", "give a time of 0 or more")
    _refuse(~np.isin(events, (0, 1)), names, "event", "code an event 1, a censored patient 0")
    _refuse(np.isnan(entries), names, "entry", "give the time at which observation starts, or 0")
    entries[entries <= 0] = -np.inf
    times, entries = _merge_ties(times, entries)
    _refuse(
        entries >= times, names, "entry", "it has to be before the time of event or last contact"
    )
    return FollowUp(times, events == 1, entries)


def at_risk(data: FollowUp, at: ArrayLike) -> NDArray[np.int64]:
    """Count the patients with entry < t <= time, for each t of `at` (k,)."""
    started = np.searchsorted(np.sort(data.entry), at, side="left")
    left = np.searchsorted(np.sort(data.time), at, side="left")
    return np.asarray(started - left, dtype=np.int64)


def count_events(time: ArrayLike, event: ArrayLike, cause: int) -> Counts:
    """Count at each distinct time who is at risk, and who leaves by which kind of event."""
    codes = np.asarray(event, dtype=np.int64)
    distinct, position = np.unique(np.asarray(time, dtype=np.float64), return_inverse=True)
    leaving = np.bincount(position).astype(np.float64)
    of_cause, censored = (
        np.bincount(position, weights=codes == code).astype(np.float64) for code in (cause, 0)
    )
    at_risk = leaving[::-1].cumsum()[::-1]
    return Counts(distinct, at_risk, of_cause, leaving - of_cause - censored, censored)


def group_names(group: ArrayLike) -> list[Any]:
    """Give the groups that have patients: in the order of their categories, else sorted.

    Raises
    ------
    DataError
        If a patient has no group.
    """
    if np.any(pd.isna(np.asarray(group))):
        raise DataError("group: a patient has none; leave the patient out or name a group")
    present: list[Any] = np.unique(np.asarray(group)).tolist()
    if isinstance(getattr(group, "dtype", None), pd.CategoricalDtype):
        order = group.dtype.categories.tolist()  # type: ignore[union-attr]
        return [name for name in order if name in present]
    return present


def _names(time: ArrayLike, n: int) -> list[object]:
    return list(time.index) if isinstance(time, pd.Series) else list(range(1, n + 1))


def _refuse(wrong: NDArray[np.bool_], names: list[object], column: str, mend: str) -> None:
    if wrong.any():
        patients = [str(names[i]) for i in np.flatnonzero(wrong)]
        named = ", ".join(patients[:_MOST_NAMED])
        more = f" and {len(patients) - _MOST_NAMED} more" if len(patients) > _MOST_NAMED else ""
        raise DataError(f"{column}: wrong or missing for patient {named}{more}; {mend}")


def _merge_ties(
    time: NDArray[np.float64], entry: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.unique(np.concatenate([time, entry[np.isfinite(entry)]]))
    gaps = np.diff(values)
    tied = (gaps <= _TOLERANCE) | (gaps <= _TOLERANCE * values.mean())
    if not tied.any():
        return time, entry
    first = values[np.concatenate([[True], ~tied])]
    merged = [first[np.searchsorted(first, x, side="right") - 1] for x in (time, entry)]
    return merged[0], np.where(np.isfinite(entry), merged[1], entry)
