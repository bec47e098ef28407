"""`cmil cohort check` counts what is there and says what is missing."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import numpy as np
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


def checked(path: Path, manifest: Path | None = None, *, as_json: bool = False) -> str:
    printed, errors = check_cohort(path, manifest, images=False, as_json=as_json)
    assert errors == []
    return printed


LUND = {"split": "development", "centre": "Lund", "patients": 2, "slides": 3, "positive": 1}
BERN = {"split": "external", "centre": "Bern", "patients": 1, "slides": 1, "positive": 1}


def test_manifest_alone_is_counted_per_centre(manifest: Path) -> None:
    content = json.loads(checked(manifest, as_json=True))
    assert content == {"centres": [LUND, BERN]}


def test_study_counts_missing_covariates_too(study: Path) -> None:
    content = json.loads(checked(study, as_json=True))
    assert content == {"centres": [{**LUND, "age missing": 1}, {**BERN, "age missing": 0}]}


def test_manifest_given_beside_the_study_takes_its_place(study: Path, manifest: Path) -> None:
    other = manifest.with_name("other.csv")
    other.write_text("\n".join(MANIFEST.splitlines()[:3]), encoding="utf-8")
    (line,) = json.loads(checked(study, other, as_json=True))["centres"]
    assert (line["patients"], line["slides"]) == (1, 2)


def test_text_says_that_the_manifest_is_valid(manifest: Path) -> None:
    text = checked(manifest)
    assert text.endswith("The manifest is valid.")
    assert text.splitlines()[1].split() == ["development", "Lund", "2", "3", "1"]


def test_manifest_that_is_not_valid_is_refused(manifest: Path) -> None:
    manifest.with_name("c1.svs").unlink()
    with pytest.raises(ManifestError, match=r"row 5.*c1\.svs"):
        checked(manifest)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Patients A and B share a file; C has a brighter copy of an image of A's, and no image."""
    rng = np.random.default_rng(2)
    for number, name in enumerate(("a/1.png", "a/2.png", "b/1.png", "c/1.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        grey = cv2.resize(rng.integers(0, 180, (5, 5)).astype(np.uint8), (60, 60))
        cv2.imwrite(str(tmp_path / name), np.repeat(grey[..., None], 3, axis=2) + number)
    (tmp_path / "b" / "same.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    (tmp_path / "a" / "again.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    brighter = cv2.imread(str(tmp_path / "a" / "2.png")) + np.uint8(20)
    cv2.imwrite(str(tmp_path / "c" / "copy.jpg"), brighter)
    (tmp_path / "c" / "empty.png").touch()
    rows = [
        "patient_id,slide_id,path,centre,label",
        *(f"{p},{p}1,{p.lower()},Lund,1" for p in "ABC"),
    ]
    (tmp_path / "pictures.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path / "pictures.csv"


SHARED = (
    'the same image in two patients: patient "A", slide "A1" (manifest row 2), image "1.png"; '
    'patient "B", slide "B1" (manifest row 3), image "same.png"; '
    "find out whose it is and remove the other"
)


def test_an_image_of_two_patients_is_an_error_and_a_likeness_is_printed(pictures: Path) -> None:
    printed, errors = check_cohort(pictures, None, images=True, as_json=False)
    assert errors == [SHARED]
    said = printed.splitlines()
    assert said[3:7] == [
        "The manifest is valid.",
        "",
        "images: 7, not readable: 1",
        "exact copies within a patient: 1 (each image is used once)",
    ]
    assert said[9] == '  patient "A", slide "A1" (manifest row 2), image "2.png"'
    assert said[10].startswith(
        '    patient "C", slide "C1" (manifest row 4), image "copy.jpg", correlation '
    )
    assert 'slide "C1" (manifest row 4): image "empty.png" is empty' in said[-1]


def test_json_holds_the_pairs(pictures: Path) -> None:
    content = json.loads(check_cohort(pictures, None, images=True, as_json=True)[0])["images"]
    assert (content["images"], content["repeated_within_patients"]) == (7, 1)
    assert [(p["kind"], p["first"]["row"], p["second"]["row"]) for p in content["pairs"]] == [
        ("exact", 2, 3),
        ("near", 2, 4),
    ]
    assert content["pairs"][1]["second"] == {
        "patient_id": "C",
        "slide_id": "C1",
        "row": 4,
        "image": "copy.jpg",
    }


def test_the_command_ends_with_an_error_only_on_a_shared_image(
    pictures: Path, cmil_here: Callable[..., CompletedProcess[str]]
) -> None:
    done = cmil_here("cohort", "check", pictures, "--images", "--json")
    assert done.returncode == 1
    assert f"error: {SHARED}" in done.stderr.splitlines()
    assert json.loads(done.stdout)["images"]["images"] == 7
    (pictures.parent / "b" / "same.png").unlink()
    done = cmil_here("cohort", "check", pictures, "--images")
    assert done.returncode == 0, done.stderr
    assert "pairs of two patients that look the same: 1" in done.stdout
