"""Previews: of what the bag says, drawn once, and one slide's trouble is its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cohorts.errors import FileFormatError
from cohorts.manifest import Cohort, Slide
from feature_extraction.bags import bag_path
from feature_extraction.candidates import Candidates, write_candidates
from feature_extraction.preview import preview_path, write_previews
from feature_extraction.preview.patch_painting import colour_of
from feature_extraction.preview.slide_picture import draw_preview, share_text, spread
from feature_extraction.selection import REASONS

SIDE = 50
PINK = (210, 150, 180)
BLURRED = REASONS.index("blurred")


def candidates_of(
    coords: list[tuple[int, int]],
    reason: list[int],
    *,
    images: tuple[str, ...] = (),
    **said: object,
) -> Candidates:
    """Patches of one image, or one of each image in turn."""
    rng = np.random.default_rng(0)
    return Candidates(
        coords=np.array(coords, np.int64),
        reason=np.array(reason, np.uint8),
        reasons=REASONS,
        quality={"sharpness": rng.random(len(coords), dtype=np.float32)},
        image_index=np.arange(len(coords), dtype=np.int32) if images else None,
        images=images,
        attributes={"encoder": "stain-filters", "patch_px": SIDE, "mpp_read": 0.5, **said},
        grid={"patch_size": SIDE, "patch_size_level0": SIDE},
    )


def frames(picture: Image.Image, reason: int) -> int:
    """How many example patches wear the frame of a reason: its upper edges are 5 px of colour."""
    pixels = np.asarray(picture)
    like = (pixels == colour_of(reason)).all(axis=2)
    edge = SIDE * 4 + 10  # examples are enlarged to 200 px
    runs = 0
    for row in range(like.shape[0]):
        solid = np.convolve(like[row], np.ones(edge, int), "valid")
        runs += int((solid == edge).sum())
    return round(runs / 10)  # upper and lower edge, of 5 rows each


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.png"
    Image.new("RGB", (400, 300), PINK).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 fields, each of its own colour."""
    path = tmp_path_factory.mktemp("fields")
    for i in range(60):
        Image.new("RGB", (80, 60), (100 + i, 60, 200 - i)).save(path / f"{i:02d}.png")
    return path


def test_examples_are_of_each_reason_there_is(image: Path, slide_at: Callable[..., Slide]) -> None:
    grid = [(x, y) for y in range(0, 300, SIDE) for x in range(0, 400, SIDE)]
    reason = [BLURRED] * 3 + [0] * 45
    picture = draw_preview(slide_at(image), candidates_of(grid, reason), "A")
    assert picture.width <= 2000
    assert [frames(picture, r) for r in range(len(REASONS))] == [8, 0, 0, 0, 3, 0]


def test_only_candidates_are_coloured(image: Path, slide_at: Callable[..., Slide]) -> None:
    picture = draw_preview(slide_at(image), candidates_of([(0, 0), (200, 150)], [0, 4]), "A")
    pixels = np.asarray(picture).astype(int)
    plain = (pixels == PINK).all(axis=2)
    top = np.flatnonzero(plain[:, :1300].any(axis=1))[0]
    overview = pixels[top : top + 1000, 16 : 16 + 1333]  # 400 x 300 in the room there is

    def at(x: float, y: float) -> np.ndarray:
        return overview[int(y / 300 * 1000), int(x / 400 * 1333)]

    assert at(350, 30).tolist() == list(PINK)
    towards = np.array(colour_of(BLURRED)) - PINK
    assert (at(222, 172) - PINK) @ towards > 0


def test_a_folder_is_a_contact_sheet_of_some_fields(
    folder: Path, slide_at: Callable[..., Slide]
) -> None:
    names = tuple(sorted(path.name for path in folder.iterdir()))
    reason = [0] * 30 + [BLURRED] * 30
    said = candidates_of([(30, 10)] * 60, reason, images=names)
    pixels = np.asarray(draw_preview(slide_at(folder), said, "A"))[:1100]
    shown = [(pixels == (100 + i, 60, 200 - i)).all(axis=2).sum() > 500 for i in range(60)]
    assert sum(shown) == 48
    assert shown[0]
    assert shown[59]


def test_cells_are_shown_whole(folder: Path, slide_at: Callable[..., Slide]) -> None:
    names = tuple(sorted(path.name for path in folder.iterdir()))
    said = candidates_of([(0, 0)] * 60, [0] * 60, images=names, images_are="cells")
    pixels = np.asarray(draw_preview(slide_at(folder), said, "A"))
    examples = pixels[-400:]
    chosen = spread(np.arange(60), 8)
    shown = [(examples == (100 + i, 60, 200 - i)).all(axis=2).sum() for i in chosen]
    assert all(count == 200 * 200 for count in shown)


def test_bag_of_other_images_is_refused(
    folder: Path, image: Path, slide_at: Callable[..., Slide]
) -> None:
    said = candidates_of([(0, 0)] * 2, [0, 0], images=("a.png", "b.png"))
    with pytest.raises(FileFormatError, match="holds other images"):
        draw_preview(slide_at(folder), said, "A")
    one = candidates_of([(0, 0)], [0])
    larger = replace(one, grid={**one.grid, "level0_width": 800, "level0_height": 300})
    with pytest.raises(FileFormatError, match="holds other images"):
        draw_preview(slide_at(image), larger, "A")


@pytest.mark.parametrize("side", [None, 0, "wide", float("nan"), 1e12])
def test_side_that_cannot_be_is_refused(
    image: Path, slide_at: Callable[..., Slide], side: object
) -> None:
    one = candidates_of([(0, 0)], [0])
    grid = {"patch_size": SIDE} | ({} if side is None else {"patch_size_level0": side})
    with pytest.raises(FileFormatError, match='states "patch_size_level0" as'):
        draw_preview(slide_at(image), replace(one, grid=grid), "A")


def test_bag_of_another_program_is_drawn(image: Path, slide_at: Callable[..., Slide]) -> None:
    one = candidates_of([(0, 0)], [0])
    foreign = replace(one, attributes={}, quality={}, reasons=("kept",))
    assert frames(draw_preview(slide_at(image), foreign, "A"), 0) == 1


def test_real_slide(real_slide: Callable[[str], Path], slide_at: Callable[..., Slide]) -> None:
    path = real_slide("cmu_small_region.svs")
    coords = [(x, y) for y in range(0, 2800, 224) for x in range(0, 2000, 224)]
    reason = [i % len(REASONS) for i in range(len(coords))]
    said = candidates_of(coords, reason, mpp_read=0.499)
    said = replace(said, grid={**said.grid, "patch_size_level0": 224})
    picture = draw_preview(slide_at(path), said, "A")
    assert [frames(picture, r) for r in range(len(REASONS))] == [8] * len(REASONS)


@pytest.fixture
def study(tmp_path: Path, slide_at: Callable[..., Slide]) -> tuple[Cohort, Path]:
    """Three slides: one to be drawn, one whose image is gone, one without a bag."""
    slides = []
    for i, name in enumerate(("good", "gone", "bare")):
        Image.new("RGB", (400, 300), PINK).save(tmp_path / f"{name}.png")
        slides.append(replace(slide_at(tmp_path / f"{name}.png", slide_id=name), row=i + 2))
        if name != "bare":
            write_bag_of(tmp_path / "bags", name, [0, 0, 4])
    (tmp_path / "gone.png").unlink()
    patients = pd.DataFrame({"centre": "A"}, index=[slide.patient_id for slide in slides])
    return Cohort(tuple(slides), patients, tmp_path / "cohort.csv"), tmp_path / "bags"


def write_bag_of(bags: Path, slide_id: str, reason: list[int], **said: object) -> None:
    coords = [(SIDE * i, 0) for i in range(len(reason))]
    made = candidates_of(coords, reason, made_by="a" * 64, **said)
    write_candidates(bag_path(bags, slide_id), made, [np.ones((len(reason), 2), np.float16)])


def states(cohort: Cohort, bags: Path) -> dict[str, str]:
    return {outcome.slide_id: outcome.state for outcome in write_previews(cohort, bags)}


def test_trouble_of_one_slide_is_listed_and_stops_no_other(study: tuple[Cohort, Path]) -> None:
    cohort, bags = study
    told: list[str] = []
    outcomes = write_previews(cohort, bags, on_slide=told.append)
    assert told == ["good", "gone", "bare"]
    assert [(o.slide_id, o.state) for o in outcomes] == [("good", "drawn"), ("gone", "failed")]
    assert outcomes[1].reason.startswith('preview of slide "gone" (manifest row 3): ')
    assert "\n" not in outcomes[1].reason
    assert [path.name for path in (bags / "preview").iterdir()] == ["good.png"]


def test_unchanged_bag_is_not_drawn_again(study: tuple[Cohort, Path]) -> None:
    cohort, bags = study
    assert states(cohort, bags)["good"] == "drawn"
    before = preview_path(bags, "good").stat()
    assert states(cohort, bags)["good"] == "reused"
    assert preview_path(bags, "good").stat().st_mtime_ns == before.st_mtime_ns
    write_bag_of(bags, "good", [0, 0, 4], rule="{}", mpp_read=float("nan"))
    assert states(cohort, bags)["good"] == "drawn"
    assert states(cohort, bags)["good"] == "reused"


def test_same_bag_gives_the_same_bytes(study: tuple[Cohort, Path]) -> None:
    cohort, bags = study
    states(cohort, bags)
    first = preview_path(bags, "good").read_bytes()
    preview_path(bags, "good").write_bytes(b"no picture")
    assert states(cohort, bags)["good"] == "drawn"
    assert preview_path(bags, "good").read_bytes() == first


def test_preview_of_an_earlier_bag_does_not_stay(study: tuple[Cohort, Path]) -> None:
    cohort, bags = study
    states(cohort, bags)
    write_bag_of(bags, "good", [0, 4, 4])
    cohort.slides[0].path.unlink()
    assert states(cohort, bags)["good"] == "failed"
    assert not preview_path(bags, "good").exists()


def test_preview_of_a_bag_that_is_gone_does_not_stay(study: tuple[Cohort, Path]) -> None:
    cohort, bags = study
    states(cohort, bags)
    bag_path(bags, "good").unlink()
    assert states(cohort, bags) == {"gone": "failed"}
    assert not list((bags / "preview").iterdir())


def test_damaged_bag_is_listed(study: tuple[Cohort, Path]) -> None:
    cohort, bags = study
    bag_path(bags, "good").write_bytes(b"no bag")
    assert states(cohort, bags) == {"good": "failed", "gone": "failed"}


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 9, "0%"), (1, 1000, "< 1%"), (999, 1000, "> 99%"), (9, 9, "100%"), (1, 3, "33%")],
)
def test_share_is_none_or_all_only_if_it_is(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text
