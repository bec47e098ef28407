"""From a patient's selected features to logits: the classifiers a study may name."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmil.histograms.final_cox import FinalCox
from cmil.histograms.settings import ClassifierName

# A forest may be sure to the last tree; a logit must stay finite for calibration.
_SMALLEST_LIKELIHOOD = 1e-4


class FinalClassifier:
    """A scikit-learn classifier fitted on standardised features of training patients.

    The same features, labels, seed, name and version of scikit-learn give the same classifier: what
    it draws comes from the seed. So these are all that has to be kept of it.

    Parameters
    ----------
    features
        (n, S) of the selected features.
    labels
        (n,) 0 .. C-1.
    """

    def __init__(
        self,
        name: ClassifierName,
        features: NDArray[np.float64],
        labels: NDArray[np.int64],
        seed: int,
    ) -> None:
        self.mean = features.mean(axis=0)
        spread = features.std(axis=0)
        # What rounding leaves of a feature that is the same for all must not become its unit.
        varies = spread > 1e-9 * np.maximum(1, np.abs(self.mean))
        self.spread = np.where(varies, spread, 1.0)
        self.estimator = _estimator(name, len(labels), seed)
        self.estimator.fit((features - self.mean) / self.spread, labels)

    def logits(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logits (n, K) of features (n, S): K = 1 for two labels, else one for each.

        The classifier's decision function where it has one: the log-odds, for the linear SVM the
        distance from its plane; otherwise log-odds of its likelihoods, cut at 1e-4.
        """
        standardised = (features - self.mean) / self.spread
        if hasattr(self.estimator, "decision_function"):
            decided = np.asarray(self.estimator.decision_function(standardised), dtype=np.float64)
            return decided.reshape(len(features), -1)
        likely = self.estimator.predict_proba(standardised)
        logs = np.log(np.clip(likely, _SMALLEST_LIKELIHOOD, 1 - _SMALLEST_LIKELIHOOD))
        logits: NDArray[np.float64] = logs[:, 1:] - logs[:, :1] if logs.shape[1] == 2 else logs
        return logits

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """(S, K) by which features as they are enter the logits; None unless linear."""
        if not hasattr(self.estimator, "coef_"):
            return None
        weights: NDArray[np.float64] = self.estimator.coef_.T / self.spread[:, None]
        return weights


def fit_final(
    name: ClassifierName,
    features: NDArray[np.float64],
    truth: NDArray[np.int64] | NDArray[np.float64],
    seed: int,
) -> FinalClassifier | FinalCox:
    """Fit the classifier named to labels (n,), or a Cox model to times and events (n, 2)."""
    if truth.ndim == 2:
        return FinalCox(features, truth.astype(np.float64))
    return FinalClassifier(name, features, truth.astype(np.int64), seed)


def fitted_by(truth: NDArray[np.int64] | NDArray[np.float64]) -> str:
    """Library and version that `fit_final` fits with, e.g. "scikit-learn 1.8.0"."""
    import lifelines
    import sklearn

    if truth.ndim == 2:
        return f"lifelines {lifelines.__version__}"
    return f"scikit-learn {sklearn.__version__}"


def _estimator(name: ClassifierName, patients: int, seed: int) -> Any:
    """Build an unfitted scikit-learn classifier for so many patients."""
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC

    forest = {
        "n_estimators": 200,
        "min_samples_leaf": 3,
        "class_weight": "balanced",
        "random_state": seed,
    }
    boosting = {"n_estimators": 100, "learning_rate": 0.05, "max_depth": 2, "subsample": 0.8}
    builders: dict[ClassifierName, Callable[[], Any]] = {
        "logistic_regression": lambda: LogisticRegression(class_weight="balanced", max_iter=1000),
        "linear_svm": lambda: LinearSVC(C=0.1, dual=False, class_weight="balanced"),
        "random_forest": lambda: RandomForestClassifier(**forest),
        "extra_trees": lambda: ExtraTreesClassifier(**forest),
        "gradient_boosting": lambda: GradientBoostingClassifier(**boosting, random_state=seed),
        "k_nearest": lambda: KNeighborsClassifier(min(15, patients)),
        "naive_bayes": GaussianNB,
        "mlp": lambda: MLPClassifier(
            (16,), solver="lbfgs", alpha=1.0, max_iter=5000, random_state=seed
        ),
    }
    return builders[name]()
