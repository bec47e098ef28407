"""The model bundle: a folder with all fold models and everything that is frozen with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cmil.aggregators import BagModel
from cmil.calibration import Calibration
from cmil.frozen_record import FrozenRecord
from cmil.heads import Binary, Classes, Cox, DiscreteHazard, Head
from cmil.settings import MilSettings
from cmil.training.model_fitting import rebuild_model
from cohorts.endpoints import Endpoint
from cohorts.errors import FileFormatError
from cohorts.files import (
    digest_of,
    digest_of_file,
    json_text,
    read_json,
    whole_file,
    write_text,
)

FORMAT_VERSION = 1
WEIGHTS = "model.safetensors"
FACTS = "model.json"


class OutOfFold(FrozenRecord):
    """What the fold models reached on the development patients they had not seen.

    Attributes
    ----------
    measure
        What `auc` and its interval are: of several classes the AUC of the last against the others,
        of an endpoint Harrell's concordance, which is an AUC for times.
    positives
        Patients with label 1, of the last class, or with the event.
    auc_ci_low, auc_ci_high
        None where not estimable: fewer than 5 patients of a label.
    auc_of_folds
        None where a fold has one class only.
    """

    measure: Literal["AUC", "AUC of the last class", "concordance"] = "AUC"
    patients: int
    positives: int
    auc: float
    auc_ci_low: float | None
    auc_ci_high: float | None
    auc_of_folds: tuple[float | None, ...]


class ModelFacts(FrozenRecord):
    """Everything in `model.json`; its digest identifies the model.

    Attributes
    ----------
    label
        Column of the manifest the model was trained to predict.
    encoding
        Encoder and preprocessing its bags were made with; it serves no other.
    fold_of
        development patient -> the fold whose model did not see that patient.
    later_fold_of
        The same of each repeat after the first; their models follow those of the first.
    classes
        Names of the classes, if the label has more than two.
    endpoint
        What was learnt instead of the label, if it was.
    time_bins
        Ends of the intervals of each model, if it gives hazards.
    searched
        Settings that were chosen for each model, if there was a search.
    threshold
        A score of at least this is a decision for metastasis.
    """

    format: Literal["cmil-model"] = "cmil-model"
    format_version: int = FORMAT_VERSION
    software_version: str
    label: str
    seed: int
    mil: MilSettings
    dimension: int
    encoding: Mapping[str, str | int | float]
    fold_of: Mapping[str, int]
    later_fold_of: tuple[Mapping[str, int], ...] = ()
    classes: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    time_bins: tuple[tuple[float, ...], ...] = ()
    searched: tuple[Mapping[str, Any], ...] = ()
    centres: Sequence[str]
    calibration: Calibration
    threshold: float
    threshold_method: str
    out_of_fold: OutOfFold
    cohort_digest: str
    bags_digest: str
    weights_digest: str

    def models_unaware_of(self, patient_id: str) -> tuple[int, ...]:
        """Numbers of the models that have not seen a development patient; of others none."""
        numbers = []
        first = 0
        for fold_of in (self.fold_of, *self.later_fold_of):
            if patient_id in fold_of:
                numbers.append(first + fold_of[patient_id])
            first += max(fold_of.values()) + 1
        return tuple(numbers)

    def settings_of(self, model: int) -> MilSettings:
        """Give the settings that a model was trained with."""
        return self.mil.at(self.searched[model]) if self.searched else self.mil

    def head_of(self, model: int) -> Head:
        """Tell what a model's logits mean."""
        match self.mil.task:
            case "binary":
                return Binary()
            case "classes":
                return Classes((1.0,) * len(self.classes))
            case "survival" if self.time_bins:
                return DiscreteHazard(self.time_bins[model], self.mil.horizon)
            case "survival":
                return Cox()


@dataclass(frozen=True)
class ModelBundle:
    """The fold models of one cross-validation, ready to score."""

    models: Sequence[BagModel]
    facts: ModelFacts

    @property
    def digest(self) -> str:
        """SHA-256 over the facts, and through them over the weights."""
        return digest_of(self.facts.stated())


def save_weights(models: Sequence[BagModel], path: Path) -> None:
    """Write the fold models' tensors as `<fold>.<name>` into one safetensors file."""
    tensors = {
        f"{fold}.{name}": tensor.contiguous()
        for fold, model in enumerate(models)
        for name, tensor in model.state_dict().items()
    }
    with whole_file(path) as partial:
        save_file(tensors, partial)


def load_weights(
    path: Path, settings: MilSettings | Sequence[MilSettings], dimension: int, outputs: int = 1
) -> list[BagModel]:
    """Rebuild the fold models that `save_weights` wrote.

    Parameters
    ----------
    settings
        Of all models, or one for each.
    outputs
        K, the logits of a model.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, of another aggregator or width, or cannot be rebuilt
        with this release of scikit-learn.
    """
    try:
        tensors = load_file(path)
    except (FileNotFoundError, SafetensorError) as error:
        raise FileFormatError(f'model weights "{path}" are missing or damaged') from error
    folds: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        fold, _, name = key.partition(".")
        folds.setdefault(int(fold), {})[name] = tensor
    models = []
    for number, state in sorted(folds.items()):
        own = settings if isinstance(settings, MilSettings) else settings[number]
        try:
            models.append(rebuild_model(own, dimension, outputs, state))
        except RuntimeError as error:
            raise FileFormatError(f'model weights "{path}" are of another aggregator') from error
    return models


def write_facts(facts: ModelFacts, folder: Path) -> None:
    """Write `model.json`: the last file of a bundle, whose presence says that it is complete."""
    write_text(folder / FACTS, facts_text(facts.sealed()))


def facts_text(facts: ModelFacts) -> str:
    """Give what `model.json` holds, to the byte."""
    return json_text(facts.stated())


def read_bundle(folder: Path) -> ModelBundle:
    """Read a bundle and check that its weights are those its facts were written with.

    Raises
    ------
    FileFormatError
        If a file is missing, damaged, changed, or of a newer version.
    """
    content = read_json(folder / FACTS)
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FileFormatError(
            f'"{folder / FACTS}" has format version {version}, this cMIL reads up to '
            f"{FORMAT_VERSION}; upgrade cmil"
        )
    try:
        facts = ModelFacts.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise FileFormatError(f'"{folder / FACTS}": {where}: {first["msg"]}') from error
    weights = folder / WEIGHTS
    if weights.is_file() and digest_of_file(weights) != facts.weights_digest:
        raise FileFormatError(f'"{weights}" was changed after training; restore or train again')
    count = 1 + max(number for p in facts.fold_of for number in facts.models_unaware_of(p))
    settings = [facts.settings_of(number) for number in range(count)]
    models = load_weights(weights, settings, facts.dimension, facts.head_of(0).outputs)
    return ModelBundle(models, facts)
