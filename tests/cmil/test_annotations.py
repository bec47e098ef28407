"""Drawn areas, and the patches they mark."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmil.explanations.annotations import (
    centroid,
    marked_patches,
    read_areas,
    refuse_unknown_class,
)
from cmil.explanations.image_file import image_file
from cmil.explanations.patch_truth import patch_truth
from cohorts.errors import FileFormatError, SettingsError
from feature_extraction.bags import Bag

SQUARE = [[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]
HOLE = [[150, 150], [250, 150], [250, 250], [150, 250], [150, 150]]


def feature(coordinates: object, name: str | None = None, kind: str = "Polygon") -> dict:
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"classification": {"name": name, "color": [200, 0, 0]}} if name else {},
    }


@pytest.fixture
def file(tmp_path: Path):
    def write(content: object, name: str = "S1.geojson") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    return write


def grid(step: int = 50) -> np.ndarray:
    return np.array([(x, y) for y in range(0, 400, step) for x in range(0, 400, step)])


def test_region_marks_the_patches_whose_middle_it_covers_and_holes_do_not(file) -> None:
    areas = read_areas(file({"type": "FeatureCollection", "features": [feature([SQUARE, HOLE])]}))
    marked = marked_patches(areas, grid(), 50)
    corners = {tuple(corner) for corner in grid()[marked].tolist()}
    square = {(x, y) for x in range(100, 300, 50) for y in range(100, 300, 50)}
    hole = {(x, y) for x in (150, 200) for y in (150, 200)}
    # The middle of the area, (200, 200), lies in a patch of the hole.
    assert corners == (square - hole) | {(200, 200)}


def test_cell_marks_the_one_patch_that_holds_its_middle() -> None:
    triangle = np.array([[148.0, 60.0], [160.0, 60.0], [148.0, 66.0]])
    assert centroid(triangle).tolist() == [152, 62]
    marked = marked_patches([[triangle]], grid(), 50)
    assert grid()[marked].tolist() == [[150, 50]]


@given(st.integers(0, 2**32 - 1), st.integers(3, 9))
def test_points_in_a_star_are_those_of_its_triangles(seed: int, corners: int) -> None:
    """A polygon drawn around (0, 0) by rising angle: a point is inside if nearer than its edge."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(-np.pi, np.pi, corners))
    if np.diff(angles, append=angles[0] + 2 * np.pi).max() >= np.pi * 0.99:
        return
    radii = rng.uniform(500, 2000, corners)
    star = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1) + 3000
    coords = rng.integers(0, 6000, (200, 2))
    inside = np.zeros(len(coords), dtype=bool)
    for a, b in zip(star, np.roll(star, -1, axis=0), strict=True):
        parts = np.linalg.solve(np.stack([a - 3000, b - 3000], axis=1), (coords + 0.5 - 3000).T)
        inside |= (parts >= 0).all(axis=0) & (parts.sum(axis=0) < 1)
    tiny = marked_patches([[star]], coords, 1)
    holds_the_middle = np.abs(coords + 0.5 - centroid(star)).max(axis=1) <= 0.5
    assert np.array_equal(tiny, inside | holds_the_middle)


def test_forms_of_geojson_and_choice_of_a_class(file) -> None:
    both = [feature([SQUARE], "Tumor"), feature([[HOLE]], "Artefact", "MultiPolygon")]
    for content in ({"type": "FeatureCollection", "features": both}, both):
        assert len(read_areas(file(content))) == 2
        assert len(read_areas(file(content), "Tumor")) == 1
    assert len(read_areas(file(feature([SQUARE])))) == 1
    assert read_areas(file(feature([SQUARE])), "Tumor") == []


@pytest.mark.parametrize(
    "content",
    [
        [feature([1, 2], kind="Point")],
        [feature([[[1, 2], [3, 4]]])],
        [feature([[[1], [2], [3]]])],
        [feature([[["a", 1], [2, 2], [3, 3]]])],
        [feature([[[float("nan"), 1], [2, 2], [3, 3]]])],
        [{"properties": {}}],
        ["area"],
        [None],
    ],
)
def test_what_is_no_polygon_is_named(file, content: object) -> None:
    with pytest.raises(FileFormatError, match=r'S1\.geojson": feature 0 is no polygon'):
        read_areas(file(content))


def test_a_damaged_drawing_is_to_be_exported_again_not_deleted(file) -> None:
    path = file([feature([SQUARE])])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FileFormatError, match=r'S1\.geojson" is not valid JSON') as refused:
        read_areas(path)
    assert "export the annotations again" in str(refused.value)
    assert "delete" not in str(refused.value)


def test_a_class_that_no_area_has_is_refused_with_those_there_are(file, tmp_path: Path) -> None:
    refuse_unknown_class(tmp_path, "tumor")  # nothing is drawn yet
    file([feature([SQUARE], "tumor"), feature([HOLE])])
    file([feature([SQUARE], "normal")], "S2/field.geojson")
    refuse_unknown_class(tmp_path, "normal")
    with pytest.raises(SettingsError, match=r'of class "Tumour"; there are "normal", "tumor"$'):
        refuse_unknown_class(tmp_path, "Tumour")


@pytest.mark.parametrize("content", [3, "areas"])
def test_other_json_is_refused(file, content: object) -> None:
    with pytest.raises(FileFormatError, match="is no GeoJSON"):
        read_areas(file(content))


def test_truth_of_fields_comes_from_a_file_for_each(file, tmp_path: Path) -> None:
    file([feature([SQUARE])], "S2/b.png.geojson")
    coords = np.array([[0, 0], [150, 150], [0, 0], [150, 150]])
    bag = Bag(
        np.zeros((4, 2), np.float32),
        coords,
        grid={"patch_size_level0": 50},
        image_index=np.array([0, 0, 1, 1], np.int32),
        images=("a.png", "b.png"),
    )
    found = patch_truth(tmp_path, "S2", bag, None)
    np.testing.assert_array_equal(found, [np.nan, np.nan, 0, 1])
    with pytest.raises(FileFormatError, match="patch_size_level0"):
        patch_truth(
            tmp_path, "S2", Bag(bag.features, coords, {}, {}, bag.image_index, bag.images), None
        )


@pytest.mark.parametrize("image", ["../up.png", "/etc/passwd", "a/../../b.png", "c:\\x.png"])
def test_names_of_images_do_not_lead_out_of_the_folder(image: str) -> None:
    with pytest.raises(FileFormatError, match="leads out of its folder"):
        image_file(Path("out"), "S1", image, ".geojson")


def test_field_in_a_folder_keeps_it() -> None:
    assert image_file(Path("out"), "S1", "day 1/f.png", ".geojson") == Path(
        "out/S1/day 1/f.png.geojson"
    )
