"""The example studies are valid as they are shipped."""

import subprocess
import sys
from pathlib import Path

import pytest

from cmil.study_settings import read_study_settings

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("name", ["whole_slides.toml", "fields.toml"])
def test_templates_read_the_manifest_beside_them(name: str) -> None:
    settings = read_study_settings(EXAMPLES / name)

    assert settings.cohort.manifest == EXAMPLES / "cohort.csv"
    assert settings.cohort.label == "metastasis"
    assert "overall survival" in settings.cohort.endpoints


def test_composed_patients_take_manifest_and_weights_at_run_time() -> None:
    manifest, weights = Path("elsewhere/cohort.csv"), Path("elsewhere/weights.safetensors")

    settings = read_study_settings(
        EXAMPLES / "composed_patients.toml", manifest=manifest, weights=weights
    )

    assert settings.cohort.manifest == manifest
    assert settings.extraction.weights == weights
    assert settings.extraction.images == "cells"
    assert settings.survival.covariates == ("age_months", "mycn_amplified")


def test_every_example_is_read_here() -> None:
    read = {"composed_patients.toml", "whole_slides.toml", "fields.toml"}

    assert {path.name for path in EXAMPLES.glob("*.toml")} == read


def test_a_clinical_score_of_a_public_table_is_frozen_and_validated() -> None:
    table = EXAMPLES.parents[1] / "shared" / "data" / "outcomes" / "gse49711_neuroblastoma_498.csv"
    if not table.exists():
        pytest.skip(f"{table} is not here")

    call = [sys.executable, str(EXAMPLES / "gse49711.py"), "--table", str(table), "--samples", "50"]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout

    assert said.startswith("493 patients; 5 without MYCN status left out")
    auc = next(line.split() for line in said.splitlines() if line.split()[5:6] == ["auc"])
    # 247 patients of whom 54 died, as in the table itself.
    assert auc[3:5] == ["247", "54"]
    assert 0.85 < float(auc[6]) < 0.9
