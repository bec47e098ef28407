"""Evaluation of a frozen score on patients it has not seen, every number with its interval.

`validate_scores` answers everything at once, table by table; `performance` is the short table of
the result page. The modules hold one method each, as pure functions on arrays.
"""

from cmil.validation.performance import (
    cohort_auc,
    cohort_auc_difference,
    cohorts_of,
    performance,
    roc_curves,
)
from cmil.validation.validate import Questions, ValidationTables, validate_scores

__all__ = [
    "Questions",
    "ValidationTables",
    "cohort_auc",
    "cohort_auc_difference",
    "cohorts_of",
    "performance",
    "roc_curves",
    "validate_scores",
]
