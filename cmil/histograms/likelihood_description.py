"""Describe a bag by its patch likelihoods: as histogram, as bag of words, or by all of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmil.histograms.bag_features import BagFeatures, joined
from cmil.histograms.bag_of_words import bag_of_words, inverse_document_frequency
from cmil.histograms.likelihood_histogram import likelihood_histogram, predicted_shares
from cmil.histograms.patch_classifier import PatchClassifier
from cmil.histograms.settings import HistogramSettings

Member = Literal["likelihood_histogram", "bag_of_words", "cmil"]


@dataclass(frozen=True)
class LikelihoodDescription:
    """A patch classifier and how bags are described by its likelihoods.

    With two classes it is the likelihood of class 1 that is described, with more that of each.

    Attributes
    ----------
    rarity
        (C', 101) inverse document frequencies of the words among training patients, a row for
        each class described.
    member
        "cmil" is the published combination: histogram, shares of predicted classes, bag of words.
    """

    classifier: PatchClassifier
    rarity: NDArray[np.float64]
    member: Member
    settings: HistogramSettings

    @classmethod
    def fit(
        cls,
        classifier: PatchClassifier,
        likelihoods: Sequence[NDArray[np.float32]],
        member: Member,
        settings: HistogramSettings,
    ) -> "LikelihoodDescription":
        """Learn how rare words are from the (N_i, C) likelihoods of training patients."""
        by_class = zip(*(_described(bag) for bag in likelihoods), strict=True)
        rarity = np.stack([inverse_document_frequency(bags) for bags in by_class])
        return cls(classifier, rarity, member, settings)

    @classmethod
    def of_tensors(
        cls, stored: Mapping[str, Tensor], member: Member, settings: HistogramSettings
    ) -> "LikelihoodDescription":
        """Rebuild it from its `tensors`."""
        classifier = PatchClassifier(stored["patch_weight"], stored["patch_bias"])
        return cls(classifier, stored["word_rarity"].numpy(), member, settings)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that has to be stored of it."""
        return {
            "patch_weight": self.classifier.weight,
            "patch_bias": self.classifier.bias,
            "word_rarity": torch.from_numpy(self.rarity),
        }

    def describe(self, instances: Tensor) -> BagFeatures:
        """Describe a bag, (N, D), of a patient that the classifier has not seen."""
        return self.describe_likelihoods(self.classifier.likelihoods(instances))

    def describe_likelihoods(self, likelihoods: NDArray[np.float32]) -> BagFeatures:
        """Describe a bag of which likelihoods, (N, C), are known."""
        columns, parts = _described(likelihoods), []
        if self.member in ("likelihood_histogram", "cmil"):
            bins, bandwidth = self.settings.bins, self.settings.bandwidth
            parts += [likelihood_histogram(column, bins, bandwidth) for column in columns]
        if self.member == "cmil":
            parts.append(predicted_shares(likelihoods))
        if self.member in ("bag_of_words", "cmil"):
            parts += [bag_of_words(*pair) for pair in zip(columns, self.rarity, strict=True)]
        return joined(parts)


def _described(likelihoods: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return list(likelihoods.T[1:] if likelihoods.shape[1] == 2 else likelihoods.T)
