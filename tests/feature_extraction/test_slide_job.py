"""What decides whether a slide is extracted again, and what of it is left out."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cohorts.errors import AccessError
from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction import ExtractionSettings, read_bag
from feature_extraction.colour_sample import fit_development_reference
from feature_extraction.extract import extract, extract_here, shared_images
from feature_extraction.slide_job import Extraction
from feature_extraction.slide_record import SlideOutcome

Draw = Callable[..., np.ndarray]


def folder_of(path: Path, *images: np.ndarray) -> Path:
    path.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f"{number}.png")
    return path


def cohort_of(folder: Path, **patients: dict[str, Path]) -> Cohort:
    """Patients with their slides, each a path."""
    rows = [(s, p, path) for p, slides in patients.items() for s, path in slides.items()]
    slides = tuple(
        Slide(s, p, path, SourceKind.FOLDER if path.is_dir() else SourceKind.SLIDE, None, row)
        for row, (s, p, path) in enumerate(rows, start=2)
    )
    index = pd.Index(list(patients), name="patient_id")
    return Cohort(slides, pd.DataFrame(index=index), folder / "cohort.csv")


def one(outcomes: list[SlideOutcome]) -> SlideOutcome:
    (outcome,) = outcomes
    return outcome


def test_copies_inside_a_patient_are_left_out_and_counted(
    tmp_path: Path, smear: Draw, chosen
) -> None:
    a, b, c, d = (smear(64, 64, seed) for seed in range(4))
    cohort = cohort_of(
        tmp_path,
        P1={
            "first": folder_of(tmp_path / "first", a, b, a),
            "second": folder_of(tmp_path / "second", c, b, d),
            "third": folder_of(tmp_path / "third", d, a),
        },
    )
    extraction = Extraction(chosen(min_stained=0), tmp_path / "bags")
    outcomes = extract(cohort, extraction)
    assert [o.state for o in outcomes] == ["made", "made", "duplicate"]
    assert [o.duplicates for o in outcomes] == [1, 1, 2]
    first, second = (read_bag(tmp_path / "bags" / f"{name}.h5") for name in ("first", "second"))
    assert first.images == ("0.png", "1.png", "2.png")
    assert first.image_index is not None
    assert second.image_index is not None
    assert set(first.image_index.tolist()) == {0, 1}
    assert set(second.image_index.tolist()) == {0, 2}
    assert first.attributes["duplicates"] == 1
    assert not (tmp_path / "bags" / "third.h5").exists()
    assert [o.state for o in extract(cohort, extraction)] == ["reused", "reused", "duplicate"]


def test_a_copied_slide_counts_once(tmp_path: Path, smear: Draw, pyramid, chosen) -> None:
    slide = pyramid(smear(200, 200))
    copied = tmp_path / "copied.tif"
    copied.write_bytes(slide.read_bytes())
    cohort = cohort_of(tmp_path, P1={"S1": slide, "S2": copied})
    outcomes = extract(cohort, Extraction(chosen(), tmp_path / "bags"))
    assert [o.state for o in outcomes] == ["made", "duplicate"]


def test_an_image_of_two_patients_is_told(tmp_path: Path, smear: Draw, chosen) -> None:
    a, b, c = (smear(64, 64, seed) for seed in range(3))
    cohort = cohort_of(
        tmp_path,
        P1={"S1": folder_of(tmp_path / "s1", a, b)},
        P2={"S2": folder_of(tmp_path / "s2", c, a)},
    )
    extract(cohort, Extraction(chosen(min_stained=0), tmp_path / "bags"))
    (line,) = shared_images(cohort.slides, tmp_path / "bags")
    assert '"S1" of patient "P1" (manifest row 2) and "S2" of patient "P2" (row 3)' in line
    assert "share 1 image, byte for byte" in line
    assert len(list((tmp_path / "bags").glob("*.h5"))) == 2


def test_a_failure_met_twice_is_not_tried_again_unless_asked(
    tmp_path: Path, smear: Draw, chosen
) -> None:
    folder = folder_of(tmp_path / "images", smear(64, 64))
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:200])
    cohort = cohort_of(tmp_path, P1={"S1": folder})
    extraction = Extraction(chosen(), tmp_path / "bags")

    def attempts() -> int:
        return json.loads((tmp_path / "bags" / "state" / "S1.json").read_text())["attempts"]

    first = one(extract(cohort, extraction))
    assert (first.state, first.note, attempts()) == ("failed", "", 1)
    assert (one(extract(cohort, extraction)), attempts()) == (first, 2)
    third = one(extract(cohort, extraction))
    assert (third.reason, attempts()) == (first.reason, 2)
    assert "--retry-failed" in third.note
    again = replace(extraction, retry_failed=True)
    assert (one(extract(cohort, again)), attempts()) == (first, 3)
    extract(cohort, replace(extraction, settings=chosen(patch_px=48)))
    assert attempts() == 4  # another setting may well succeed
    Image.fromarray(smear(64, 64)).save(folder / "0.png")
    assert (one(extract(cohort, extraction)).state, attempts()) == ("made", 5)


def test_a_rule_that_drops_all_is_no_failure_of_the_images(
    tmp_path: Path, smear: Draw, pyramid, chosen
) -> None:
    cohort = cohort_of(tmp_path, P1={"S1": pyramid(smear(200, 200))})
    nothing = Extraction(chosen(keep={"min_stained": 1.0}), tmp_path / "bags")
    for _ in range(3):
        assert "no patch passes the rule" in one(extract(cohort, nothing)).reason
    (tmp_path / "bags" / "S1.h5").unlink()
    assert one(extract(cohort, replace(nothing, settings=chosen()))).state == "made"


def test_images_of_a_slide_that_failed_are_not_taken_for_seen(
    tmp_path: Path, smear: Draw, chosen
) -> None:
    a, b, c = (smear(64, 64, seed) for seed in range(3))
    broken = folder_of(tmp_path / "broken", a, b, c)
    (broken / "2.png").write_bytes((broken / "2.png").read_bytes()[:200])
    mended = folder_of(tmp_path / "mended", a, b, c)
    cohort = cohort_of(tmp_path, P1={"S1": broken, "S2": mended})
    told: list[SlideOutcome] = []
    extraction = Extraction(chosen(min_stained=0), tmp_path / "bags")
    failed, made = extract(cohort, extraction, on_slide=told.append)
    assert (failed.state, made.state, made.duplicates) == ("failed", "made", 0)
    # In whatever order they are worked off, as on a cluster.
    backwards = replace(extraction, out=tmp_path / "backwards")

    def engine(jobs, asked):
        yield from reversed(list(extract_here()(list(reversed(jobs)), asked)))

    again = extract(cohort, backwards, engine=engine)
    assert [replace(outcome, note="") for outcome in again] == [failed, made]
    bags = [tmp_path / name / "S2.h5" for name in ("bags", "backwards")]
    assert bags[0].read_bytes() == bags[1].read_bytes()
    assert [outcome.slide_id for outcome in told] == ["S1", "S2"]


def test_a_bag_that_cannot_be_read_now_stops_nobody(
    tmp_path: Path, smear: Draw, pyramid, chosen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_extraction import recipe

    paths = {f"P{i}": {f"S{i}": pyramid(smear(200, 200, i), f"{i}.tif")} for i in range(2)}
    cohort, extraction = cohort_of(tmp_path, **paths), Extraction(chosen(), tmp_path / "bags")
    extract(cohort, extraction)
    read = recipe.read_bag_attributes

    def withheld(path: Path):
        if path.name == "S0.h5":
            raise AccessError("the share is away")
        return read(path)

    monkeypatch.setattr(recipe, "read_bag_attributes", withheld)
    outcomes = extract(cohort, extraction)
    assert [outcome.state for outcome in outcomes] == ["failed", "reused"]
    assert "the share is away" in outcomes[0].reason


def test_another_image_of_the_same_size_and_time_is_seen(
    tmp_path: Path, smear: Draw, chosen
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    image = folder / "0.bmp"
    Image.fromarray(smear(64, 64, 1)).save(image)
    os.utime(image, ns=(1, 1))
    cohort, extraction = (
        cohort_of(tmp_path, P1={"S1": folder}),
        Extraction(chosen(min_stained=0), tmp_path / "bags"),
    )
    extract(cohort, extraction)
    Image.fromarray(smear(64, 64, 2)).save(image)
    os.utime(image, ns=(1, 1))
    assert "changed source" in one(extract(cohort, extraction)).note


def test_a_renamed_folder_of_images_is_another_source(tmp_path: Path, smear: Draw, chosen) -> None:
    folder = tmp_path / "images"
    folder_of(folder / "a", smear(64, 64, 1), smear(64, 64, 2))
    cohort, extraction = (
        cohort_of(tmp_path, P1={"S1": folder}),
        Extraction(chosen(min_stained=0), tmp_path / "bags"),
    )
    extract(cohort, extraction)
    (folder / "a").rename(folder / "b")
    assert one(extract(cohort, extraction)).state == "made"
    assert read_bag(tmp_path / "bags" / "S1.h5").images == ("b/0.png", "b/1.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patch_px": 48}, "patch_px from 32 to 48"),
        ({"storage": "float32"}, "storage from float16 to float32"),
        ({"max_patches": 3}, "max_patches from null to 3"),
        ({"encoder": "untrained:timm:test_resnet"}, "encoder from stain-filters to "),
        ({"stain": "grey-world"}, "stain from none to grey-world"),
        ({"icc": False}, "icc from true to false"),
    ],
)
def test_the_log_says_what_changed(
    tmp_path: Path, smear: Draw, pyramid, chosen, change: dict[str, object], said: str
) -> None:
    cohort = cohort_of(tmp_path, P1={"S1": pyramid(smear(200, 200, cells=40))})
    extract(cohort, Extraction(chosen(), tmp_path / "bags"))
    outcome = one(extract(cohort, Extraction(chosen(**change), tmp_path / "bags")))
    assert outcome.state == "made"
    assert outcome.note.startswith("made again: changed ")
    assert said in outcome.note
    table = pd.read_csv(tmp_path / "bags" / "slides.csv", keep_default_na=False)
    assert table["note"].tolist() == [outcome.note]


def test_the_log_says_that_the_image_changed(tmp_path: Path, smear: Draw, pyramid, chosen) -> None:
    cohort = cohort_of(tmp_path, P1={"S1": pyramid(smear(200, 200))})
    extract(cohort, Extraction(chosen(), tmp_path / "bags"))
    pyramid(smear(200, 200, seed=5))
    outcome = one(extract(cohort, Extraction(chosen(), tmp_path / "bags")))
    assert "changed source from" in outcome.note


@pytest.fixture
def large(tmp_path: Path, smear: Draw, pyramid: Callable[..., Path]) -> Cohort:
    return cohort_of(tmp_path, P1={"S1": pyramid(smear(640, 480, cells=400))})


def test_a_sample_is_seeded_spread_and_part_of_the_whole(
    tmp_path: Path, large: Cohort, chosen: Callable[..., ExtractionSettings]
) -> None:
    def bag_of(name: str, seed: int, **asked: object):
        settings = chosen(min_stained=0.01, storage="float32", **asked)
        extract(large, Extraction(settings, tmp_path / name, seed))
        return read_bag(tmp_path / name / "S1.h5")

    whole = bag_of("whole", 0)
    sample, same, other = (bag_of(f"{i}", s, max_patches=40) for i, s in enumerate((1, 1, 2)))
    assert len(sample) == 40 < len(whole) / 4
    np.testing.assert_array_equal(sample.coords, same.coords)
    assert sample.coords.tolist() != other.coords.tolist()
    rows = {tuple(corner): row for row, corner in enumerate(whole.coords.tolist())}
    found = [rows[tuple(corner)] for corner in sample.coords.tolist()]
    assert found == sorted(found)  # in the order of the grid
    np.testing.assert_allclose(sample.features, whole.features[found], rtol=1e-5, atol=1e-6)
    quarters = (sample.coords // [320, 240]) @ [1, 2]
    assert np.bincount(quarters, minlength=4).min() >= 6
    assert len(bag_of("more", 1, max_patches=10_000)) == len(whole)


def test_a_sample_counts_kept_patches_only(
    tmp_path: Path, large: Cohort, chosen: Callable[..., ExtractionSettings]
) -> None:
    dense = {"min_stained": 0.6, "min_saturation": "none", "min_sharpness": "none"}
    rule = {**dense, "max_overlap": "none", "max_ink": "none"}
    settings = chosen(min_stained=0.01, max_patches=12, keep=rule)
    outcome = one(extract(large, Extraction(settings, tmp_path / "bags")))
    assert outcome.patches == 12
    assert outcome.dropped > 0


def test_what_the_rule_drops_of_an_images_share_is_made_up_for(
    tmp_path: Path, smear: Draw, chosen
) -> None:
    folder = folder_of(tmp_path / "images", *(smear(160, 160, s, cells=30) for s in range(4)))
    cohort = cohort_of(tmp_path, P1={"S1": folder})
    rule = {"min_stained": 0.3, "max_ink": "none", "min_saturation": "none"}
    rule |= {"min_sharpness": "none", "max_overlap": "none"}

    def kept(**asked: object) -> int:
        settings = chosen(min_stained=0, keep=rule, **asked)
        return one(extract(cohort, Extraction(settings, tmp_path / f"{asked}"))).patches

    whole = kept()
    assert 12 < whole < 80
    assert kept(max_patches=whole - 2) == whole - 2
    assert kept(max_patches=1000) == whole


@pytest.mark.parametrize("images", ["fields", "cells"])
def test_a_sample_of_a_folder_is_spread_over_its_images(
    tmp_path: Path, smear: Draw, chosen, images: str
) -> None:
    folder = folder_of(tmp_path / "images", *(smear(96, 96, seed) for seed in range(12)))
    cohort = cohort_of(tmp_path, P1={"S1": folder})
    settings = chosen(min_stained=0, max_patches=6, images=images)
    extract(cohort, Extraction(settings, tmp_path / "bags"))
    bag = read_bag(tmp_path / "bags" / "S1.h5")
    assert len(bag) == 6
    assert bag.image_index is not None
    assert len(set(bag.image_index.tolist())) == 6
    assert bag.image_index.tolist() == sorted(bag.image_index.tolist())


@pytest.mark.parametrize("stain", ["grey-world", "reinhard", "macenko"])
def test_normalised_colours_are_embedded_and_the_bag_says_so(
    tmp_path: Path, smear: Draw, pyramid, chosen, stain: str
) -> None:
    rng = np.random.default_rng(0)
    image = smear(400, 400, cells=120)
    red = np.full((400, 400), False)
    red[::3, ::2] = rng.random((134, 200)) < 0.5
    image[red] = (205, 120, 130)
    tinted = np.clip(image * (0.85, 0.95, 1.0), 0, 255).astype(np.uint8)
    cohort = cohort_of(
        tmp_path, P1={"S1": pyramid(image, "a.tif")}, P2={"S2": pyramid(tinted, "b.tif")}
    )
    # An encoder that sees colours; stain-filters takes the glass of each patch off.
    usual = {"encoder": "untrained:timm:test_resnet", "storage": "float32", "patch_px": 64}
    settings = chosen(stain=stain, **usual)
    reference = None
    if stain != "grey-world":
        reference = fit_development_reference(cohort.slides[:1], settings)
    extract(cohort, Extraction(settings, tmp_path / "bags", reference=reference))
    extract(cohort, Extraction(chosen(**usual), tmp_path / "plain"))

    def apart(folder: str) -> float:
        first, second = (read_bag(tmp_path / folder / f"{s}.h5").features for s in ("S1", "S2"))
        return float(np.abs(first.mean(axis=0) - second.mean(axis=0)).sum())

    assert apart("bags") < apart("plain")
    said = read_bag(tmp_path / "bags" / "S2.h5").attributes
    assert said["stain"] == stain
    if reference:
        assert json.loads(str(said["stain_reference"]))["digest"] == reference.digest
    else:
        assert said["stain_reference"] == "none"


def test_patches_that_another_program_found_take_the_place_of_the_grid(
    tmp_path: Path, large: Cohort, chosen
) -> None:
    import h5py

    (tmp_path / "coords").mkdir()
    corners = np.array([[5, 9], [300, 200], [37, 9]])
    with h5py.File(tmp_path / "coords" / "S1_patches.h5", "w") as file:
        coords = file.create_dataset("coords", data=corners, chunks=(1, 2), maxshape=(None, 2))
        coords.attrs.update({"patch_size": 32, "patch_size_level0": 32, "overlap": 0})
        coords.attrs.update({"level0_magnification": 40, "target_magnification": 40})
        coords.attrs.update({"level0_width": 640, "level0_height": 480, "name": "S1"})
    extraction = Extraction(chosen(), tmp_path / "bags", coordinates=tmp_path / "coords")
    assert one(extract(large, extraction)).state == "made"
    assert read_bag(tmp_path / "bags" / "S1.h5").coords.tolist() == [[5, 9], [37, 9], [300, 200]]
    grid = one(extract(large, replace(extraction, coordinates=None)))
    assert "changed coordinates from" in grid.note
