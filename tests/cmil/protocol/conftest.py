"""A locked toy study, and an external cohort to open under its lock."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cmil.protocol.freeze import lock_study

Write = Callable[..., Path]


@pytest.fixture
def model(copied_study) -> Path:
    lock_study(copied_study)
    return copied_study.model


@pytest.fixture
def external(write_toy, tmp_path) -> Write:
    """Write an external cohort beside its bags, without a column `split`."""

    def write(patients: pd.DataFrame) -> Path:
        folder = tmp_path / "centre"
        write_toy(folder, patients, slides=2, seed=5)
        manifest = folder / "cohort.csv"
        table = pd.read_csv(manifest)
        table.drop(columns="split").to_csv(manifest, index=False)
        return manifest

    return write


@pytest.fixture
def patients() -> pd.DataFrame:
    """Twelve patients of Bern, both labels, and three of Trento, all negative."""
    return pd.DataFrame(
        {
            "patient_id": [f"X{i:02d}" for i in range(15)],
            "centre": ["Bern"] * 12 + ["Trento"] * 3,
            "split": "external",
            "label": [i % 2 for i in range(12)] + [0, 0, 0],
        }
    )


@pytest.fixture
def command(cmil_here) -> Callable[..., tuple[int, str]]:
    """Run a command of ours in this process; give its exit code and what it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        done = cmil_here(*arguments)
        return done.returncode, done.stdout + done.stderr

    return run
