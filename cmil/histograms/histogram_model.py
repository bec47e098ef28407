"""A fitted model of the cMIL family: describe the bag, choose features, classify."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.aggregators.bag_model import BagModel, BagScore
from cmil.histograms.bag_features import BagFeatures
from cmil.histograms.codebook import Codebook
from cmil.histograms.final_classifier import fit_final, fitted_by
from cmil.histograms.likelihood_description import LikelihoodDescription, Member
from cmil.histograms.settings import HistogramSettings
from cohorts.errors import FileFormatError

Description = LikelihoodDescription | Codebook

_OF_LIKELIHOODS = ("patch_weight", "patch_bias", "word_rarity")
_OF_CODEBOOK = ("code_axes", "code_offset", "code_centres", "code_variances", "code_weights")
_OF_CLASSIFIER = (
    "selected",
    "training_features",
    "training_truth",
    "training_logits",
    "seed",
    "fitted_by",
)

# Sums in another order move a logit by less; another classifier moves it by more.
_TOLERANCE = 1e-4


class HistogramModel(BagModel):
    """One fold's model, whole in its tensors.

    A scikit-learn classifier has no tensors and its pickle must not be read from strangers. So
    the model keeps the selected features and truth of its training patients, without their
    ids, and fits the classifier (of times and events: the Cox model) anew; training logits that
    are kept as well must come out again.

    Contributions exist where the classifier is linear: logits are then a weighted sum of features
    that are sums over instances, and an instance contributes its part of each. Everything
    else (the classifier's intercept, the means features are standardised by, the bag size
    where it is asked for) is the bias. Of a bag of words, what instances add is divided by the
    length of the bag's vector of counts, as attention is by the sum over the bag.

    Parameters
    ----------
    member
        `MilSettings.aggregator`.
    stored
        `selected` (S,) positions of features; `training_features` (n, S), with the logarithm of
        the bag size as another column where it is asked for; `training_truth`, labels (n,) or
        times and events (n, 2); `training_logits` (n, K); `seed` (1,); `fitted_by`, the library
        and its version in ASCII; and the description's.

    Raises
    ------
    FileFormatError
        If the classifier does not come out as it was.
    """

    def __init__(
        self, member: str, settings: HistogramSettings, stored: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        for name, tensor in stored.items():
            self.register_buffer(name, tensor)
        self.with_bag_size = settings.bag_size
        self.positions: NDArray[np.int64] = stored["selected"].numpy()
        self.description: Description = (
            Codebook.of_tensors(stored, soft=settings.codebook == "gaussian_mixture")
            if member == "codebook"
            else LikelihoodDescription.of_tensors(stored, cast(Member, member), settings)
        )
        features = stored["training_features"].numpy()
        truth = stored["training_truth"].numpy()
        self.classifier = fit_final(
            settings.classifier, features, truth, int(stored["seed"].item())
        )
        moved = np.abs(self.classifier.logits(features) - stored["training_logits"].numpy()).max()
        if not moved < _TOLERANCE:
            _refuse(stored["fitted_by"], fitted_by(truth), float(moved))

    @classmethod
    def restored(
        cls,
        member: str,
        settings: HistogramSettings,
        dimension: int,
        stored: Mapping[str, Tensor],
    ) -> "HistogramModel":
        """Rebuild a model from its state_dict.

        Raises
        ------
        RuntimeError
            If the tensors are not a model of this member for embeddings of this length.
        FileFormatError
            As on construction.
        """
        described = _OF_CODEBOOK if member == "codebook" else _OF_LIKELIHOODS
        if set(stored) != {*described, *_OF_CLASSIFIER}:
            raise RuntimeError(f"these are not the tensors of {member}")
        if stored[described[0]].shape[1] != dimension:
            raise RuntimeError(f"{member} is of embeddings of another length than {dimension}")
        return cls(member, settings, stored)

    def score(self, instances: Tensor) -> BagScore:
        """Score all instances of a bag, (N, D) in any floating type."""
        described = self.description.describe(instances)
        row = model_row(described, self.positions, len(instances), bag_size=self.with_bag_size)
        logits = self.classifier.logits(row[None])[0]
        return BagScore(logits, self._contributions(described), attention=None)

    def _contributions(self, described: BagFeatures) -> NDArray[np.float32] | None:
        weights = self.classifier.weights
        if weights is None:
            return None
        of_all = np.zeros((len(described.values), weights.shape[1]))
        of_all[self.positions] = weights[: len(self.positions)]
        return described.shares(of_all).astype(np.float32)


def model_row(
    described: BagFeatures, selected: NDArray[np.int64], instances: int, *, bag_size: bool
) -> NDArray[np.float64]:
    """Values that the classifier sees of a bag: those selected, and log bag size if asked for."""
    chosen = described.values[selected]
    return np.append(chosen, np.log(instances)) if bag_size else chosen


def ascii_codes(text: str) -> Tensor:
    """Keep a text as a tensor, which is all that a bundle may hold."""
    return torch.tensor(list(text.encode("ascii")), dtype=torch.uint8)


def _refuse(fitted_by_then: Tensor, fitted_by_now: str, moved: float) -> None:
    then = bytes(fitted_by_then.tolist()).decode("ascii", "replace")
    raise FileFormatError(
        f"{fitted_by_now} does not give the logits stored with the model, which {then} fitted "
        f"(largest difference {moved:.2g}): install {then}, or train again"
    )
