"""A small study with a known effect, and the reference data beside a development checkout."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from survival import Endpoint, SurvivalResults, SurvivalSettings, analyse


@pytest.fixture
def reference() -> Callable[[str], pd.DataFrame]:
    """Reads a reference data set; its licence keeps it out of the repository."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "reference"

    def read(name: str) -> pd.DataFrame:
        if not (folder / name).is_file():
            pytest.skip(f"reference data {name} does not lie beside this checkout")
        return pd.read_csv(folder / name)

    return read


@pytest.fixture
def torchsurv_lung() -> dict[str, np.ndarray]:
    """The first benchmark of torchsurv: halves of the lung data, a score, and what R says of it."""
    path = Path(__file__).resolve().parents[3] / "shared/reference/torchsurv_benchmark_cindex.json"
    if not path.is_file():
        pytest.skip(f"reference data {path.name} does not lie beside this checkout")
    first = json.loads(path.read_text(encoding="utf-8"))[0]
    return {name: np.asarray(values, dtype=float) for name, values in first.items()}


@pytest.fixture(scope="session")
def pristine_study() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and patients of two development and two external centres; higher score, worse."""
    random = np.random.default_rng(7)
    sizes = {"Lund": 45, "Uppsala": 46, "Bern": 50, "Oslo": 44}
    centre = np.repeat(list(sizes), list(sizes.values()))
    split = np.where(np.isin(centre, ["Lund", "Uppsala"]), "development", "external")
    score = random.beta(1.2, 1.5, len(centre))
    time = random.exponential(40 * np.exp(-3 * (score - 0.5))) + 0.1
    follow_up = random.uniform(10, 70, len(centre))
    ids = [f"{name[0]}{i:03d}" for i, name in enumerate(centre)]
    predictions = pd.DataFrame(
        {
            "patient_id": ids,
            "centre": centre,
            "split": split,
            "score_kind": np.where(split == "development", "oof", "external"),
            "score": score,
            "model_digest": "model-1",
        }
    )
    patients = pd.DataFrame(
        {
            "os_months": np.minimum(time, follow_up),
            "os_event": (time <= follow_up).astype(int),
            "age": random.normal(3, 1, len(centre)),
            "mycn": random.integers(0, 2, len(centre)),
        },
        index=pd.Index(ids, name="patient_id"),
    )
    return predictions, patients


@pytest.fixture
def study(pristine_study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A copy of the study that a test may spoil."""
    predictions, patients = pristine_study
    return predictions.copy(), patients.copy()


@pytest.fixture(scope="session")
def overall_survival() -> dict[str, Endpoint]:
    return {"overall survival": Endpoint(time="os_months", event="os_event")}


@pytest.fixture(scope="session")
def analysed(pristine_study, overall_survival, tmp_path_factory) -> SurvivalResults:
    """The study analysed with one covariate; in Oslo nobody died, so nothing is estimable there."""
    predictions, patients = pristine_study
    nobody_died = patients["os_event"].mask((predictions["centre"] == "Oslo").to_numpy(), 0)
    return analyse(
        predictions,
        patients.assign(os_event=nobody_died),
        overall_survival,
        SurvivalSettings(covariates=("age",), bootstrap_samples=20),
        tmp_path_factory.mktemp("survival"),
        "cohort-1",
    )
