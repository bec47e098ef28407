"""How a model of the cMIL family is fitted."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ClassifierName = Literal[
    "logistic_regression",
    "linear_svm",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "k_nearest",
    "naive_bayes",
    "mlp",
]

MEMBERS = ("likelihood_histogram", "bag_of_words", "codebook", "cmil")


class HistogramSettings(BaseModel):
    """The `[mil.histogram]` table of a study: read by aggregators of the cMIL family only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classifier: ClassifierName = Field(
        "logistic_regression", description="of the selected features of a patient"
    )
    bins: int = Field(20, ge=2, le=1000, description="of equal width, of a likelihood histogram")
    bandwidth: float = Field(
        0.0, ge=0, le=1, description="of a Gaussian that smooths the histogram; 0: none"
    )
    inner_folds: int = Field(
        5, ge=2, le=50, description="that give training patients likelihoods out of fold"
    )
    patch_penalty: float = Field(
        1.0, gt=0, description="on the squared weights of the patch classifier, times their number"
    )
    codebook: Literal["k_means", "gaussian_mixture"] = Field(
        "k_means", description="whether an instance is of one code, or a share of each"
    )
    codes: int = Field(32, ge=2, le=1000, description="of the codebook")
    bag_size: bool = Field(
        False, description="give the classifier the logarithm of the bag size as well"
    )
