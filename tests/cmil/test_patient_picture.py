"""The picture shows the slide under its attention and the patches that held it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cmil.attention import SlideAttention
from cmil.patient_picture import ReadSlide, draw_patient
from cohorts.errors import FileFormatError
from cohorts.manifest import Slide, SourceKind
from cohorts.pyramid_tiff import write_pyramid
from feature_extraction.bags import Bag

PINK = (210, 150, 180)
SIDE = 200
GRID = [(x, y) for y in range(0, 800, SIDE) for x in range(0, 1000, SIDE)]
LEFT = 620  # columns of the picture that only an overview reaches into


def read_slide(
    path: Path,
    kind: SourceKind,
    coords: Sequence[tuple[int, int]],
    values: Sequence[float],
    *,
    image_index: Sequence[int] | None = None,
    side: int = SIDE,
    signed: bool = False,
    images_are: str = "fields",
) -> ReadSlide:
    """A slide whose model said `values`: attention, or signed contributions."""
    place = np.array(coords, np.int64)
    said = np.array(values, np.float32)
    bag = Bag(
        features=np.zeros((len(place), 2), np.float32),
        coords=place,
        attributes={"images_are": images_are},
        grid={"patch_size_level0": side},
        image_index=None if image_index is None else np.array(image_index, np.int32),
    )
    looked = SlideAttention(place, None if signed else said, said, len(place))
    return ReadSlide(Slide("S1", "P1", path, kind, 0.5, 2), bag, looked)


def drawn(slides: Sequence[ReadSlide], seed: int = 0) -> NDArray[np.int64]:
    picture = draw_patient(slides, "P1", np.random.default_rng(seed))
    return np.asarray(picture.convert("RGB")).astype(np.int64)


def has(picture: NDArray[np.int64], colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture - colour).max(axis=2) <= 4).any())


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1000 x 800 px of one colour."""
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    pixels = np.broadcast_to(np.array(PINK, np.uint8), (800, 1000, 3)).copy()
    write_pyramid(path, pixels, mpp=0.5, quality=95)
    return path


@pytest.fixture
def over_slide(slide: Path) -> Callable[..., NDArray[np.int64]]:
    """Draws the slide and gives the colours of the overview at the middles of given patches."""

    def colours(
        coords: list[tuple[int, int]], values: list[float], ask: list[tuple[int, int]], **more: bool
    ) -> NDArray[np.int64]:
        picture = drawn([read_slide(slide, SourceKind.SLIDE, coords, values, **more)])[:, :LEFT]
        plain = np.argwhere(np.abs(picture - PINK).max(axis=2) <= 4)
        (y0, x0), (y1, x1) = plain.min(axis=0), plain.max(axis=0) + 1
        middles = [
            (y0 + (y + SIDE / 2) * (y1 - y0) / 800, x0 + (x + SIDE / 2) * (x1 - x0) / 1000)
            for x, y in ask
        ]
        return np.array([picture[int(row), int(column)] for row, column in middles])

    return colours


def test_patch_of_high_attention_is_coloured_and_the_others_are_not(
    over_slide: Callable[..., NDArray[np.int64]],
) -> None:
    high, low, bare = (200, 400), (600, 0), (800, 600)
    coords = [patch for patch in GRID if patch != bare and patch not in {(0, 0), (0, 600)}]
    values = [1.0 if patch == high else 0.0 for patch in coords]

    colours = over_slide(coords, values, [high, low, bare])

    np.testing.assert_allclose(colours[1:], [PINK, PINK], atol=4)
    yellow = np.array([253, 231, 36])
    np.testing.assert_allclose(colours[0], (yellow + PINK) / 2, atol=4)


def test_without_attention_the_sign_of_contributions_is_drawn(
    over_slide: Callable[..., NDArray[np.int64]],
) -> None:
    coords = [(200, 200), (600, 400), (400, 400)]
    towards, against, neither = over_slide(coords, [1.0, -1.0, 0.0], coords, signed=True)
    np.testing.assert_allclose(neither, PINK, atol=4)
    assert towards[2] < PINK[2] - 40  # red takes blue away
    assert against[0] < PINK[0] - 40  # blue takes red away


def test_one_patch_is_enough(over_slide: Callable[..., NDArray[np.int64]]) -> None:
    covered, bare = over_slide([(400, 200)], [1.0], [(400, 200), (0, 600)])
    np.testing.assert_allclose(bare, PINK, atol=4)
    assert np.abs(covered - PINK).max() > 20


HUES = [(200 - 25 * i, 60 + 20 * i, 90 + 15 * (i % 3)) for i in range(8)]


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Eight fields, each of its own colour."""
    for i, hue in enumerate(HUES):
        Image.new("RGB", (300, 200), hue).save(tmp_path / f"field{i}.png")
    return tmp_path


def test_fields_of_highest_attention_are_shown(fields: Path) -> None:
    # A patch in the corner of each field; fields 3 and 6 hold least attention.
    values = [0.15, 0.14, 0.13, 0.01, 0.12, 0.2, 0.02, 0.23]
    read = read_slide(
        fields, SourceKind.FOLDER, [(0, 0)] * 8, values, image_index=range(8), side=50
    )
    overview = drawn([read])[:, :LEFT]
    assert [has(overview, hue) for hue in HUES] == [i not in {3, 6} for i in range(8)]


def test_cells_have_no_overview_and_are_shown_whole(fields: Path) -> None:
    cells = {"side": 1, "image_index": range(8)}
    values = [0.125] * 8
    place = [(0, 0)] * 8
    whole = drawn(
        [read_slide(fields, SourceKind.FOLDER, place, values, images_are="cells", **cells)]
    )
    cut = drawn([read_slide(fields, SourceKind.FOLDER, place, values, **cells)])
    assert whole.shape[1] < cut.shape[1] - 200
    assert all(has(whole, hue) for hue in HUES)


@pytest.fixture
def many(tmp_path: Path) -> ReadSlide:
    """A field of 40 patches, each of its own grey, of falling attention."""
    grey = np.repeat(np.repeat(np.arange(40, dtype=np.uint8)[None] * 5 + 20, 50, 0), 50, 1)
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "field.png")
    values = np.linspace(2, 0, 40) / 40
    coords = [(50 * i, 0) for i in range(40)]
    return read_slide(tmp_path / "field.png", SourceKind.IMAGE, coords, values, side=50)


def test_same_seed_same_picture(many: ReadSlide) -> None:
    assert np.array_equal(drawn([many], 1), drawn([many], 1))
    assert not np.array_equal(drawn([many], 1), drawn([many], 2))


def test_patches_of_highest_attention_are_in_the_gallery(many: ReadSlide) -> None:
    picture = drawn([many])
    beside = picture[:, picture.shape[1] // 2 :]
    greys = [20 + 5 * i for i in range(40)]

    def shown(grey: int) -> bool:
        """Text and lines hold any grey for a few pixels, a tile one grey for thousands."""
        return int((beside == grey).all(axis=2).sum()) > 5000

    assert all(shown(grey) for grey in greys[:12])
    # As many again at random, from the rest.
    assert sum(shown(grey) for grey in greys[12:]) == 12


def test_several_slides_share_one_scale(slide: Path, fields: Path) -> None:
    """The field holds little of the patient's attention, so it stays clear."""
    first = read_slide(slide, SourceKind.SLIDE, [(0, 0)], [0.999])
    second = read_slide(
        fields / "field0.png", SourceKind.IMAGE, [(0, 0), (50, 0)], [0.001, 0.0], side=50
    )
    overview = drawn([first, second])[:, :LEFT]
    assert has(overview, PINK)
    assert has(overview, HUES[0])


def test_bag_that_does_not_say_how_large_its_patches_are_is_refused(slide: Path) -> None:
    read = read_slide(slide, SourceKind.SLIDE, [(0, 0)], [1.0])
    foreign = ReadSlide(read.slide, Bag(read.bag.features, read.bag.coords), read.attention)
    with pytest.raises(FileFormatError, match='"S1" does not state patch_size_level0'):
        drawn([foreign])
