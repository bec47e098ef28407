"""Exported maps: exact coordinates, and everything needed to lay them over the slide."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import tifffile

from cmil.attention import write_attention
from cmil.explanations.ome_map import write_ome_map
from cmil.explanations.qupath import percentiles
from cmil.heatmap_export import export_patient
from cmil.patient_bags import PatientBag, read_patient_bags
from cmil.prediction import PatientPrediction
from cohorts.manifest import Cohort, read_cohort
from cohorts.settings import CohortSettings
from feature_extraction.bags import Bag, bag_path, write_bag

SIDE = 64
COORDS = np.array([[640, 128], [704, 128], [640, 192], [768, 320], [704, 320]])


@pytest.fixture
def export(tmp_path: Path):
    """Exports one patient of a slide whose bag is as asked for."""

    def write(formats: list[str], **more: object) -> tuple[list[Path], PatientBag]:
        stated = {"images_are": "fields", "mpp_read": 0.25, **more.pop("attributes", {})}
        grid = {"patch_size_level0": SIDE}
        bag = Bag(np.zeros((5, 2), np.float32), COORDS, stated, grid, **more)
        write_bag(bag_path(tmp_path / "bags", "S1"), bag)
        (tmp_path / "S1.svs").touch()
        row = {"patient_id": "P1", "slide_id": "S1", "path": "S1.svs", "centre": "A", "label": 1}
        pd.DataFrame([row]).to_csv(tmp_path / "cohort.csv", index=False)
        cohort: Cohort = read_cohort(CohortSettings(manifest=tmp_path / "cohort.csv"))
        joined = read_patient_bags(cohort, tmp_path / "bags").bags["P1"]
        attention = np.array([0.5, 0.1, 0.1, 0.2, 0.1], np.float32)
        said = PatientPrediction(0.0, 0.5, 0.1, (), attention, attention - np.float32(0.25))
        write_attention(tmp_path / "attention", joined, said, "0")
        folders = {name: tmp_path / name for name in ("bags", "attention")}
        folder = tmp_path / "maps"
        return export_patient(cohort, "P1", **folders, folder=folder, formats=formats), joined

    return write


def test_every_patch_is_a_tile_at_its_place(export) -> None:
    [path], _ = export(["geojson"])
    assert path.name == "S1.geojson"
    content = json.loads(path.read_text())
    assert content["type"] == "FeatureCollection"
    assert len(content["features"]) == 5
    for (x, y), feature in zip(COORDS.tolist(), content["features"], strict=True):
        [ring] = feature["geometry"]["coordinates"]
        assert ring == [[x, y], [x + 64, y], [x + 64, y + 64], [x, y + 64], [x, y]]
        assert feature["properties"]["objectType"] == "tile"
    first, second = (feature["properties"] for feature in content["features"][:2])
    assert first["measurements"] == pytest.approx(
        {"attention": 0.5, "contribution": 0.25, "percentile": 100}
    )
    assert first["classification"] == {"name": "highest 10%", "color": [253, 231, 37]}
    assert second["measurements"]["percentile"] == 60
    assert second["classification"]["name"] == "next 40%"


def test_percentile_is_that_of_r() -> None:
    """R 4: 100 * ecdf(x)(x) for x = c(3, 1, 1, 2) is 100 50 50 75."""
    assert percentiles(np.array([3, 1, 1, 2.0])).tolist() == [100, 50, 50, 75]


def read_map(path: Path) -> tuple[np.ndarray, dict[str, str], dict[str, str]]:
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        names = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
        root = ElementTree.fromstring(file.ome_metadata)  # noqa: S314  # our own file
        pixels, plane = root.find(".//o:Pixels", names), root.find(".//o:Plane", names)
        assert pixels is not None
        assert plane is not None
        return file.asarray(), pixels.attrib, plane.attrib


def test_image_of_a_grid_has_one_pixel_a_patch_with_scale_and_origin(export) -> None:
    [path], _ = export(["ome-tiff"])
    assert path.name == "S1.ome.tif"
    values, pixels, plane = read_map(path)
    expected = np.full((4, 3), np.nan, np.float32)
    for (x, y), value in zip((COORDS - [640, 128]) // SIDE, [0.5, 0.1, 0.1, 0.2, 0.1], strict=True):
        expected[y, x] = value
    np.testing.assert_array_equal(values, expected)
    assert values.dtype == np.float32
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == ("16.0", "µm")
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeYUnit"]) == ("16.0", "µm")
    assert (plane["PositionX"], plane["PositionXUnit"]) == ("160.0", "µm")
    assert (plane["PositionY"], plane["PositionYUnit"]) == ("32.0", "µm")


def test_without_resolution_scale_and_origin_are_in_pixels(export) -> None:
    [path], _ = export(["ome-tiff"], attributes={"mpp_read": "unknown"})
    _, pixels, plane = read_map(path)
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == ("64.0", "pixel")
    assert (plane["PositionX"], plane["PositionXUnit"]) == ("640.0", "pixel")


def test_patches_off_a_grid_are_placed_to_an_eighth(tmp_path: Path) -> None:
    coords, said = np.array([[100, 40], [156, 60]]), np.array([1.0, 2.0])
    write_ome_map(tmp_path / "m.ome.tif", coords, said, 64, 0.5, channel="attention")
    values, pixels, _ = read_map(tmp_path / "m.ome.tif")
    assert pixels["PhysicalSizeX"] == "4.0"
    rows, columns = np.nonzero(values == 2)
    assert (columns.min() * 8 + 100, rows.min() * 8 + 40) == (156, 56)
    assert (values[:8, :7] == 1).all()
    assert np.isnan(values[-1, 0])
    again = tmp_path / "again.ome.tif"
    write_ome_map(again, coords, said, 64, 0.5, channel="attention")
    assert again.read_bytes() == (tmp_path / "m.ome.tif").read_bytes()


def test_each_field_has_a_file_of_its_own(export) -> None:
    index = np.array([0, 0, 2, 2, 2], np.int32)
    paths, _ = export(
        ["geojson", "ome-tiff"], image_index=index, images=("a.png", "b.png", "d/c.png")
    )
    names = [
        path.relative_to(path.parents[2 if "d" in path.parts else 1]).as_posix() for path in paths
    ]
    assert names == [
        "S1/a.png.geojson",
        "S1/a.png.ome.tif",
        "S1/d/c.png.geojson",
        "S1/d/c.png.ome.tif",
    ]
    assert [len(json.loads(paths[i].read_text())["features"]) for i in (0, 2)] == [2, 3]


def test_single_cells_have_no_map(export) -> None:
    index = np.arange(5, dtype=np.int32)
    names = tuple(f"{i}.png" for i in range(5))
    attributes = {"images_are": "cells"}
    assert export(["geojson"], attributes=attributes, image_index=index, images=names)[0] == []
