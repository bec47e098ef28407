"""`cmil cohort check` counts what is there and says what is missing."""

import json
from pathlib import Path

import pytest

from cmil.cohort_check import check_cohort
from cohorts.errors import ManifestError

MANIFEST = """patient_id,slide_id,path,centre,split,label,age
A,A1,a1.svs,Lund,development,1,3
A,A2,a2.svs,Lund,development,1,3
B,B1,b1.svs,Lund,development,0,
C,C1,c1.svs,Bern,external,1,5
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    for name in ("a1", "a2", "b1", "c1"):
        (tmp_path / f"{name}.svs").touch()
    (tmp_path / "cohort.csv").write_text(MANIFEST, encoding="utf-8")
    return tmp_path / "cohort.csv"


@pytest.fixture
def study(manifest: Path) -> Path:
    path = manifest.with_name("study.toml")
    path.write_text(
        '[cohort]\nmanifest = "cohort.csv"\n[extraction]\nencoder = "timm:resnet18"\nmpp = 0.5\n'
        '[survival]\ncovariates = ["age"]\n',
        encoding="utf-8",
    )
    return path


LUND = {"split": "development", "centre": "Lund", "patients": 2, "slides": 3, "positive": 1}
BERN = {"split": "external", "centre": "Bern", "patients": 1, "slides": 1, "positive": 1}


def test_manifest_alone_is_counted_per_centre(manifest: Path) -> None:
    content = json.loads(check_cohort(manifest, None, as_json=True))
    assert content == {"centres": [LUND, BERN]}


def test_study_counts_missing_covariates_too(study: Path) -> None:
    content = json.loads(check_cohort(study, None, as_json=True))
    assert content == {"centres": [{**LUND, "age missing": 1}, {**BERN, "age missing": 0}]}


def test_manifest_given_beside_the_study_takes_its_place(study: Path, manifest: Path) -> None:
    other = manifest.with_name("other.csv")
    other.write_text("\n".join(MANIFEST.splitlines()[:3]), encoding="utf-8")
    (line,) = json.loads(check_cohort(study, other, as_json=True))["centres"]
    assert (line["patients"], line["slides"]) == (1, 2)


def test_text_says_that_the_manifest_is_valid(manifest: Path) -> None:
    text = check_cohort(manifest, None, as_json=False)
    assert text.endswith("The manifest is valid.")
    assert text.splitlines()[1].split() == ["development", "Lund", "2", "3", "1"]


def test_manifest_that_is_not_valid_is_refused(manifest: Path) -> None:
    manifest.with_name("c1.svs").unlink()
    with pytest.raises(ManifestError, match=r"row 5.*c1\.svs"):
        check_cohort(manifest, None, as_json=False)
