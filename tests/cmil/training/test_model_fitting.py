"""Networks and histograms go the same way from bags to bundle to scores."""

from pathlib import Path

import numpy as np
import pytest

from cmil.aggregators import build_aggregator
from cmil.bundle import WEIGHTS, load_weights, read_bundle
from cmil.histograms.histogram_model import HistogramModel
from cmil.histograms.settings import MEMBERS
from cmil.patient_bags import PatientBags
from cmil.prediction import predict
from cmil.settings import MilSettings
from cmil.training.cross_validation import train
from cohorts.errors import FileFormatError, SettingsError
from cohorts.manifest import Cohort


@pytest.mark.parametrize("member", MEMBERS)
def test_bundle_of_histograms_is_read_as_it_was_trained(
    toy: tuple[Cohort, Path], toy_bags: PatientBags, quick: MilSettings, tmp_path: Path, member: str
) -> None:
    settings = quick.model_copy(update={"aggregator": member})
    cohort = toy[0]
    told = []
    bundle = train(
        cohort.development, toy_bags, settings, tmp_path,
        label="metastasis", seed=1, on_epoch=told.append,
    )  # fmt: skip
    assert {(event.fold, event.epoch) for event in told} == {(f, 19) for f in range(3)}
    assert isinstance(bundle.models[0], HistogramModel)
    read = read_bundle(tmp_path)
    assert read.digest == bundle.digest
    ours, theirs = (dict(predict(b, cohort, toy_bags)) for b in (bundle, read))
    for patient, said in ours.items():
        assert said.logit == theirs[patient].logit
        np.testing.assert_array_equal(said.contributions, theirs[patient].contributions)
    assert read.models[0].description.tensors.keys() <= read.models[0].state_dict().keys()
    for other in (quick, settings.model_copy(update={"aggregator": "codebook"})):
        if other.aggregator != member:
            with pytest.raises(FileFormatError, match="another"):
                load_weights(tmp_path / WEIGHTS, other, 4)


def test_histogram_cannot_be_built_before_it_is_fitted() -> None:
    with pytest.raises(SettingsError, match='"cmil"'):
        build_aggregator(MilSettings(aggregator="cmil"), 4)
