"""What a model is to predict of each patient."""

import pandas as pd

from cmil.settings import MilSettings
from cmil.training.truth import truth_of
from cohorts.endpoints import Endpoint


def test_a_competing_event_ends_observation() -> None:
    patients = pd.DataFrame({"months": [3.0, 5.0, 8.0, 20.0], "first": [1.0, 2.0, 3.0, 0.0]})
    endpoint = Endpoint(time="months", event="first", competing=("death", "transplant"))
    settings = MilSettings(task="survival", endpoint="metastasis", horizon=12)
    assert truth_of(patients, settings, endpoint)["event"].tolist() == [1, 0, 0, 0]
