import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageCms
from safetensors.torch import save_file

from cohorts.errors import EncoderError
from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction import ExtractionSettings, read_bag
from feature_extraction.encoders.torchvision_operators import declare_torchvision_operators
from feature_extraction.extract import extract
from feature_extraction.slide_job import Extraction
from feature_extraction.slide_record import SlideOutcome

Draw = Callable[..., np.ndarray]


@pytest.fixture
def images(tmp_path: Path, smear: Draw, pyramid: Callable[..., Path]) -> Path:
    """Two slides, a folder of fields, a list of two others, and a single field."""
    folder = tmp_path / "images"
    (folder / "fields").mkdir(parents=True)
    (folder / "listed").mkdir()
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        Image.fromarray(smear(96, 80, seed)).save(folder / "fields" / f"{name}.png")
    for name, seed in (("d", 7), ("e", 8)):
        Image.fromarray(smear(96, 80, seed)).save(folder / "listed" / f"{name}.png")
    (folder / "list.txt").write_text("listed/e.png\nlisted/d.png\n")
    Image.fromarray(smear(130, 70, 4)).save(folder / "one.png")
    for name, seed in (("s1.tif", 5), ("s2.tif", 6)):
        pyramid(smear(300, 200, seed, cells=30), name).rename(folder / name)
    return folder


PATHS = {"S1": "s1.tif", "S2": "s2.tif", "F": "fields", "L": "list.txt", "I": "one.png"}
KINDS = {
    "S1": SourceKind.SLIDE,
    "S2": SourceKind.SLIDE,
    "F": SourceKind.FOLDER,
    "L": SourceKind.LIST,
    "I": SourceKind.IMAGE,
}


def cohort_of(folder: Path, *slide_ids: str, mpp: float | None = None) -> Cohort:
    chosen = slide_ids or tuple(PATHS)
    slides = tuple(
        Slide(name, f"patient of {name}", folder / PATHS[name], KINDS[name], mpp, row)
        for row, name in enumerate(chosen, start=2)
    )
    index = pd.Index([slide.patient_id for slide in slides], name="patient_id")
    return Cohort(slides, pd.DataFrame(index=index), folder / "cohort.csv")


def extracted(
    cohort: Cohort, settings: ExtractionSettings, out: Path, **asked: object
) -> list[SlideOutcome]:
    on_slide = asked.pop("on_slide", lambda _: None)
    return extract(cohort, Extraction(settings, out, **asked), on_slide=on_slide)


def states(outcomes: list[SlideOutcome]) -> dict[str, str]:
    return {outcome.slide_id: outcome.state for outcome in outcomes}


def test_every_slide_becomes_a_bag(tmp_path: Path, images: Path, chosen) -> None:
    seen: list[SlideOutcome] = []
    cohort = cohort_of(images)
    outcomes = extracted(cohort, chosen(min_stained=0.01), tmp_path / "bags", on_slide=seen.append)
    assert seen == outcomes
    assert states(outcomes) == dict.fromkeys(PATHS, "made")
    table = pd.read_csv(tmp_path / "bags" / "slides.csv", keep_default_na=False)
    counted = ["patches", "dropped", "duplicates", "attempts", "seconds"]
    assert list(table) == ["slide_id", "patient_id", "state", *counted, "reason", "note"]
    assert table["slide_id"].tolist() == list(PATHS)
    assert table["patches"].tolist() == [outcome.patches for outcome in outcomes]
    for outcome in outcomes:
        bag = read_bag(tmp_path / "bags" / f"{outcome.slide_id}.h5")
        assert len(bag) == outcome.patches > 1
        assert bag.attributes["slide_id"] == outcome.slide_id
        assert {"stained", "sharpness", "overlap"} <= set(bag.quality)
        assert bag.features.dtype == np.float16


@pytest.mark.parametrize("images_are", ["cells", "fields"])
def test_a_bag_of_several_images_says_how_many_had_a_colour_profile(
    tmp_path: Path, images: Path, chosen, images_are: str
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("a", "c"):
        path = images / "fields" / f"{name}.png"
        Image.open(path).save(path, icc_profile=profile)
    extracted(cohort_of(images, "F", "L"), chosen(images=images_are, patch_px=32), tmp_path)
    said = read_bag(tmp_path / "F.h5").attributes
    assert (said["icc"], said["icc_images"]) == ("applied", 2)
    said = read_bag(tmp_path / "L.h5").attributes
    assert (said["icc"], said["icc_images"]) == ("none", 2)


def test_a_bag_says_how_it_was_made(tmp_path: Path, images: Path, chosen) -> None:
    extracted(cohort_of(images, "S1"), chosen(mpp=0.5, storage="float32"), tmp_path)
    bag = read_bag(tmp_path / "S1.h5")
    assert bag.features.dtype == np.float32
    said = bag.attributes
    assert (said["encoder"], said["precision"]) == ("stain-filters", "float32")
    assert said["dimension"] == bag.features.shape[1]
    assert (said["patches"], said["patch_px"], said["images_are"]) == (len(bag), 32, "fields")
    assert (said["mpp_read"], said["mpp_used"]) == (pytest.approx(0.25), 0.5)
    assert len(str(said["encoder_digest"])) == len(str(said["source_digest"])) == 64
    assert bag.image_index is None
    assert dict(bag.grid) == {
        "patch_size": 32,
        "patch_size_level0": 64,
        "level0_magnification": pytest.approx(40),
        "target_magnification": 20.0,
        "overlap": 0,
        "name": "S1",
        "level0_width": 300,
        "level0_height": 200,
    }


def test_a_bag_of_several_images_says_which_a_patch_is_from(
    tmp_path: Path, images: Path, chosen
) -> None:
    extracted(cohort_of(images, "F", "L"), chosen(min_stained=0), tmp_path)
    folder, listed = read_bag(tmp_path / "F.h5"), read_bag(tmp_path / "L.h5")
    assert folder.images == ("a.png", "b.png", "c.png")
    assert listed.images == ("listed/e.png", "listed/d.png")
    assert folder.image_index is not None
    assert listed.image_index is not None
    assert folder.image_index.tolist() == [0] * 9 + [1] * 9 + [2] * 9
    assert listed.image_index.tolist() == [0] * 9 + [1] * 9
    assert (folder.attributes["mpp_read"], folder.attributes["mpp_used"]) == ("unknown", "native")
    assert folder.grid["level0_magnification"] == 0


def test_cells_are_one_patch_each(tmp_path: Path, images: Path, chosen) -> None:
    outcomes = extracted(cohort_of(images, "F", "I", "S1"), chosen(images="cells"), tmp_path)
    assert [(o.state, o.patches) for o in outcomes] == [("made", 3), ("made", 1), ("failed", 0)]
    single = read_bag(tmp_path / "I.h5")
    assert single.images == ("one.png",)
    assert single.image_index is not None


def test_a_slide_that_fails_is_listed_and_stops_nobody(
    tmp_path: Path, images: Path, chosen
) -> None:
    (images / "s1.tif").write_bytes(b"no slide")
    (images / "fields" / "b.png").write_bytes(b"no image")
    Image.new("RGB", (64, 64), (240, 240, 240)).save(images / "one.png")
    (images / "list.txt").unlink()
    out = tmp_path / "bags"
    outcomes = {o.slide_id: o for o in extracted(cohort_of(images), chosen(), out)}
    assert states(list(outcomes.values())) == {
        "S1": "failed",
        "S2": "made",
        "F": "failed",
        "L": "failed",
        "I": "failed",
    }
    for slide_id, row, said in (
        ("S1", 2, "s1.tif"),
        ("F", 4, '"b.png" cannot be decoded'),
        ("L", 5, '"list.txt" cannot be read'),
        ("I", 6, "min_stained = 0.05"),
    ):
        reason = outcomes[slide_id].reason
        assert reason.startswith(f'slide "{slide_id}" (manifest row {row}): ')
        assert said in reason
        assert len(reason.splitlines()) == 1
        assert not (out / f"{slide_id}.h5").exists()
    table = pd.read_csv(out / "slides.csv", keep_default_na=False).set_index("slide_id")
    assert table["reason"].to_dict() == {name: o.reason for name, o in outcomes.items()}


def test_what_is_made_is_not_made_again(tmp_path: Path, images: Path, chosen) -> None:
    first = extracted(cohort_of(images), chosen(), tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.h5")}
    again = extracted(cohort_of(images), chosen(batch_size=3), tmp_path)
    assert states(again) == dict.fromkeys(PATHS, "reused")
    assert [o.patches for o in again] == [o.patches for o in first]
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.h5")} == before


@pytest.mark.parametrize(
    "change",
    [
        {"patch_px": 48},
        {"min_stained": 0.02},
        {"storage": "float32"},
        {"mpp": 0.5},
        {"encoder": "untrained:timm:test_resnet"},
    ],
)
def test_another_setting_makes_every_bag_again(
    tmp_path: Path, images: Path, chosen, change: dict[str, object]
) -> None:
    cohort = cohort_of(images, "S1", "I", mpp=0.25)
    extracted(cohort, chosen(), tmp_path)
    assert states(extracted(cohort, chosen(**change), tmp_path)) == {"S1": "made", "I": "made"}
    assert states(extracted(cohort, chosen(**change), tmp_path)) == {"S1": "reused", "I": "reused"}


def test_another_resolution_in_the_manifest_makes_the_bag_again(
    tmp_path: Path, images: Path, chosen
) -> None:
    for mpp, state in ((0.25, "made"), (0.3, "made"), (0.3, "reused"), (None, "made")):
        cohort = cohort_of(images, "S1", mpp=mpp)
        assert states(extracted(cohort, chosen(mpp=0.5), tmp_path)) == {"S1": state}


def test_changed_bytes_make_a_bag_again_and_a_touched_file_does_not(
    tmp_path: Path, images: Path, chosen, smear: Draw
) -> None:
    cohort = cohort_of(images, "F", "L", "I")
    extracted(cohort, chosen(), tmp_path)
    os.utime(images / "one.png", ns=(1, 1))
    assert states(extracted(cohort, chosen(), tmp_path)) == dict.fromkeys("FLI", "reused")
    Image.fromarray(smear(96, 80, 9)).save(images / "fields" / "b.png")
    expected = {"F": "made", "L": "reused", "I": "reused"}
    assert states(extracted(cohort, chosen(), tmp_path)) == expected
    (images / "list.txt").write_text("listed/d.png\nlisted/e.png\n")
    expected = {"F": "reused", "L": "made", "I": "reused"}
    assert states(extracted(cohort, chosen(), tmp_path)) == expected


def test_a_truncated_bag_is_made_again(tmp_path: Path, images: Path, chosen) -> None:
    extracted(cohort_of(images, "S1", "S2"), chosen(), tmp_path)
    whole = (tmp_path / "S1.h5").read_bytes()
    (tmp_path / "S1.h5").write_bytes(whole[: len(whole) // 2])
    again = extracted(cohort_of(images, "S1", "S2"), chosen(), tmp_path)
    assert states(again) == {"S1": "made", "S2": "reused"}
    assert (tmp_path / "S1.h5").read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b'{"files": ', b"[]", b"\xff"])
def test_a_damaged_record_of_an_earlier_run_stops_nobody(
    tmp_path: Path, images: Path, chosen, content: bytes
) -> None:
    extracted(cohort_of(images, "S1", "S2"), chosen(), tmp_path)
    (tmp_path / "state" / "S1.json").write_bytes(content)
    again = extracted(cohort_of(images, "S1", "S2"), chosen(), tmp_path)
    assert states(again) == {"S1": "reused", "S2": "reused"}


@pytest.mark.parametrize(
    "change", [{"attempts": None}, {"state": "lost"}, {"files": {"digests": 7}}, {"recipe": []}]
)
def test_a_record_with_values_of_another_kind_is_as_good_as_none(
    tmp_path: Path, images: Path, chosen, change: dict[str, object]
) -> None:
    extracted(cohort_of(images, "S1"), chosen(), tmp_path)
    path = tmp_path / "state" / "S1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (images / "s1.tif").touch()
    (tmp_path / "S1.h5").unlink()
    assert states(extracted(cohort_of(images, "S1"), chosen(), tmp_path)) == {"S1": "made"}
    assert json.loads(path.read_text())["attempts"] == 1


def test_a_slide_that_fails_later_leaves_no_stale_bag(tmp_path: Path, images: Path, chosen) -> None:
    cohort = cohort_of(images, "S1", "I")
    extracted(cohort, chosen(), tmp_path)
    (images / "s1.tif").write_bytes(b"no slide")
    assert states(extracted(cohort, chosen(), tmp_path)) == {"S1": "failed", "I": "reused"}
    assert not (tmp_path / "S1.h5").exists()


def test_a_slide_out_of_reach_keeps_the_bag_made_of_it(
    tmp_path: Path, images: Path, chosen
) -> None:
    cohort = cohort_of(images, "S1", "I")
    extracted(cohort, chosen(), tmp_path)
    bag = (tmp_path / "S1.h5").read_bytes()
    (images / "s1.tif").rename(images / "away")
    outcomes = extracted(cohort, chosen(), tmp_path)
    assert states(outcomes) == {"S1": "failed", "I": "reused"}
    assert "the bag made earlier is kept and used" in outcomes[0].reason
    assert (tmp_path / "S1.h5").read_bytes() == bag
    (images / "away").rename(images / "s1.tif")
    assert states(extracted(cohort, chosen(), tmp_path)) == {"S1": "reused", "I": "reused"}
    assert json.loads((tmp_path / "state" / "S1.json").read_text())["attempts"] == 2


def test_lack_of_memory_for_one_slide_stops_nobody_else(
    tmp_path: Path, images: Path, chosen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_extraction.sources.openslide_source import OpenSlideCanvas

    def exhausted(canvas: OpenSlideCanvas, longest: int) -> None:
        raise MemoryError

    monkeypatch.setattr(OpenSlideCanvas, "thumbnail", exhausted)
    outcomes = extracted(cohort_of(images, "S1", "I"), chosen(), tmp_path)
    assert states(outcomes) == {"S1": "failed", "I": "made"}
    assert "MemoryError" in outcomes[0].reason


@pytest.mark.parametrize("encoder", ["stain-filters", "untrained:timm:test_resnet"])
def test_a_run_elsewhere_gives_the_same_bags_bit_for_bit(
    tmp_path: Path, images: Path, chosen, encoder: str
) -> None:
    extracted(cohort_of(images), chosen(encoder=encoder), tmp_path / "bags")
    shutil.copytree(images, tmp_path / "elsewhere" / "copied")
    cohort = cohort_of(tmp_path / "elsewhere" / "copied")
    slides = tuple(replace(slide, row=slide.row + 7) for slide in cohort.slides)
    extracted(replace(cohort, slides=slides), chosen(encoder=encoder), tmp_path / "again")
    for slide_id in PATHS:
        first, again = (tmp_path / name / f"{slide_id}.h5" for name in ("bags", "again"))
        assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("encoder", ["stain-filters", "untrained:timm:test_efficientnet"])
def test_the_batch_size_does_not_change_the_result(
    tmp_path: Path, images: Path, chosen, encoder: str
) -> None:
    bags = []
    for size in (1, 7, 1000):
        usual = chosen(encoder=encoder, batch_size=size, min_stained=0)
        extracted(cohort_of(images, "S1", "F"), usual, tmp_path / str(size))
        bags.append([read_bag(tmp_path / str(size) / f"{name}.h5") for name in ("S1", "F")])
    for one, *others in zip(*bags, strict=True):
        exact = one.features.astype(float)
        assert np.ptp(exact, axis=0).max() > 0.1 * np.abs(exact).max()  # patches do differ
        for other in others:
            np.testing.assert_array_equal(other.coords, one.coords)
            np.testing.assert_allclose(
                other.features.astype(float), exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max()
            )


def test_features_are_those_of_the_patch_at_the_coordinates(
    tmp_path: Path, images: Path, chosen, smear: Draw
) -> None:
    """One stained corner: the row of that corner is told from all others, which are alike."""
    image = np.full((96, 128, 3), 245, dtype=np.uint8)
    image[64:96, 32:64] = smear(32, 32, 3, cells=9)
    Image.fromarray(image).save(images / "one.png")
    extracted(cohort_of(images, "I"), chosen(min_stained=0), tmp_path)
    bag = read_bag(tmp_path / "I.h5")
    assert len(bag) == 12
    stained = np.abs(bag.features.astype(float)).sum(axis=1) > 0
    assert bag.coords[stained].tolist() == [[32, 64]]
    assert bag.quality["stained"].argmax() == stained.argmax()


def test_an_encoder_that_gives_no_numbers_fails_the_slide(
    tmp_path: Path, images: Path, chosen: Callable[..., ExtractionSettings]
) -> None:
    declare_torchvision_operators()
    import timm

    network = timm.create_model("test_resnet", num_classes=0)
    weights = network.state_dict()
    first, *_, last = (name for name in weights if name.endswith("weight"))
    for name, factor, said in (
        (first, 1e38, "the encoder gave NaN or infinity"),
        (last, 1e7, 'numbers too large for float16; set storage = "float32"'),
    ):
        huge = tmp_path / f"{factor}.safetensors"
        save_file({**weights, name: torch.full_like(weights[name], factor)}, huge)
        usual = chosen(encoder="timm:test_resnet", weights=huge)
        (outcome,) = extracted(cohort_of(images, "S1"), usual, tmp_path / "bags")
        assert outcome.state == "failed"
        assert said in outcome.reason
    in_full = usual.model_copy(update={"storage": "float32"})
    (outcome,) = extracted(cohort_of(images, "S1"), in_full, tmp_path / "bags")
    assert outcome.state == "made"


def test_an_encoder_that_cannot_be_built_is_an_error_before_any_slide(
    tmp_path: Path, images: Path, chosen
) -> None:
    with pytest.raises(EncoderError):
        extracted(cohort_of(images), chosen(encoder="nonsense"), tmp_path / "bags")
    assert not (tmp_path / "bags").exists()


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["broken.svs", "unopenable.tiff", "unreadable.svs", "small_dicom.dcm"]
)
def test_a_real_file_that_does_not_open_is_one_line(
    tmp_path: Path, slide_at, chosen, real_slide: Callable[[str], Path], name: str
) -> None:
    slide = slide_at(real_slide(name), slide_id="S7")
    cohort = Cohort((slide,), pd.DataFrame(index=[slide.patient_id]), tmp_path / "cohort.csv")
    small = chosen(encoder="untrained:timm:test_resnet", patch_px=16, min_stained=0)
    (outcome,) = extracted(cohort, small, tmp_path / "bags")
    assert outcome.state == "failed"
    assert outcome.reason.startswith('slide "S7" (manifest row 2): ')
    assert name in outcome.reason
    assert len(outcome.reason.splitlines()) == 1


@pytest.mark.shared
def test_a_real_slide_becomes_a_bag(
    tmp_path: Path, slide_at, chosen, real_slide: Callable[[str], Path]
) -> None:
    slide = slide_at(real_slide("cmu_small_region.svs"))
    cohort = Cohort((slide,), pd.DataFrame(index=[slide.patient_id]), tmp_path / "cohort.csv")
    (outcome,) = extracted(cohort, chosen(mpp=0.5, patch_px=224), tmp_path)
    assert outcome.state == "made"
    bag = read_bag(tmp_path / "S1.h5")
    assert 20 < len(bag) <= 10 * 14
    assert bag.attributes["mpp_read"] == pytest.approx(0.499)
    assert bag.grid["patch_size_level0"] == round(224 * 0.5 / 0.499)
    assert (bag.coords.max(axis=0) + 224 <= [2220, 2967]).all()
    assert bag.features.astype(float).std(axis=0).max() > 0.05
