"""The example studies are valid as they are shipped."""

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
