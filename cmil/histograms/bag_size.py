"""Whether the number of a patient's patches says what the score should find in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu, spearmanr

from cmil.validation.discrimination import Auc, auc_delong


@dataclass(frozen=True)
class BagSizeAssociation:
    """How bag size goes with label and score.

    Attributes
    ----------
    auc
        Of bag size alone for the label; 0.5 where they are unrelated.
    p
        Of the Mann-Whitney test that bag sizes of both labels are alike.
    correlation_with_score, p_of_correlation
        Spearman's rank correlation of bag size and score, NaN where either is the same for all.
    """

    auc: Auc
    p: float
    correlation_with_score: float
    p_of_correlation: float


def bag_size_association(
    sizes: Sequence[int], labels: Sequence[int], scores: Sequence[float]
) -> BagSizeAssociation:
    """Test bag size against label and score; all tests are of ranks, so log size gives the same.

    A study whose positive patients have larger bags can reach any AUC by counting. Equals R's
    `pROC::ci.auc(labels, sizes)`, `wilcox.test(size ~ label)` (`exact = FALSE`) and
    `cor.test(method = "spearman", exact = FALSE)` but for its p, which is of Student's t.

    Parameters
    ----------
    sizes, labels, scores
        For each patient: number of instances, 0 or 1, and score or logit (best out of fold).

    Raises
    ------
    DataError
        If a label is absent.
    """
    size, truth, score = np.asarray(sizes), np.asarray(labels), np.asarray(scores)
    auc = auc_delong(size, truth)
    test = mannwhitneyu(size[truth == 1], size[truth == 0], method="asymptotic")
    if np.ptp(size) == 0 or np.ptp(score) == 0:
        return BagSizeAssociation(auc, float(test.pvalue), np.nan, np.nan)
    ranks = spearmanr(size, score)
    return BagSizeAssociation(auc, float(test.pvalue), float(ranks.statistic), float(ranks.pvalue))
