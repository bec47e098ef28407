"""A study's own external patients: whoever evaluates them has opened them, locked or not."""

import pandas as pd

from cmil.progress import say
from cmil.protocol.log import LOG, append_once
from cmil.study import Study
from cohorts.files import digest_of_file


def log_own_opening(study: Study, predictions: pd.DataFrame, lock: str) -> None:
    """Log that the external patients of these predictions are evaluated, once for these scores.

    Scores that `cmil validate --model` has opened are in the log already.

    Parameters
    ----------
    predictions
        Of `study.predictions`, and all that is refused was refused.
    lock
        Its digest; "" where the model is not locked yet.

    Raises
    ------
    FileFormatError
        If the log was changed or is of another lock.
    """
    external = predictions[predictions["split"] == "external"]
    if external.empty:
        return
    entry = append_once(
        study.model / LOG,
        action="study",
        lock=lock,
        cohort=study.manifest.external.digest,
        centres=patients_of_centres(external),
        scores=digest_of_file(study.predictions),
    )
    if entry.number > 1 and entry.action == "study":
        say(f"validate: evaluation {entry.number} of external patients, see {LOG}")


def patients_of_centres(scores: pd.DataFrame) -> dict[str, int]:
    """Count the patients of each centre."""
    counts = scores["centre"].value_counts()
    return {str(centre): int(number) for centre, number in counts.items()}
