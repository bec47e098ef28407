"""The quality page and table say what the bags say, and trust no name in them."""

import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmil.quality_page import distributions, headline, write_quality_page
from cmil.quality_table import centre_table, quality_table, slides_to_check
from cohorts.errors import FileFormatError
from cohorts.manifest import Cohort, Slide, SourceKind
from feature_extraction.bags import Bag, bag_path, write_bag
from feature_extraction.candidates import Candidates, write_candidates
from feature_extraction.preview import preview_path

REASONS = ("kept", "blurred", "thick")
NASTY = "<b>A & 'B' #1 50%</b>"  # what the manifest lets through, and what it does not
NASTY_ID = "A&B 'x' #1 50%"
CENTRES = {"Lund": "development", NASTY: "external"}


class Page(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def write_bag_of(bags: Path, slide_id: str, reason: list[int], sharpness: list[float]) -> None:
    order = np.arange(len(reason))
    write_candidates(
        bag_path(bags, slide_id),
        Candidates(
            coords=np.stack([order * 50, order * 0], axis=1),
            reason=np.array(reason, np.uint8),
            reasons=REASONS,
            quality={"sharpness": np.array(sharpness, np.float32)},
            attributes={"software": "cmil 0.1.0", "encoder": "e", "made_by": "a" * 64},
            grid={"patch_size_level0": 50},
        ),
        [np.ones((len(reason), 2), np.float16)],
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Path]:
    """Six slides of two centres: three with measures, a foreign one, a failed and a waiting one."""
    bags = tmp_path_factory.mktemp("study") / "bags"
    names = ["L1", "L2", "L3", NASTY_ID, "E2", "E3"]
    centre = ["Lund"] * 3 + [NASTY] * 3
    write_bag_of(bags, "L1", [0, 0, 0, 1], [0.9, 0.7, 0.8, 0.1])
    write_bag_of(bags, "L2", [0, 1, 2, 1], [0.9, 0.1, 0.5, 0.2])
    write_bag_of(bags, NASTY_ID, [0, 0], [0.4, 0.6])
    write_bag(bag_path(bags, "E2"), Bag(np.ones((5, 2), np.float32), np.zeros((5, 2), np.int64)))
    table = pd.DataFrame(
        {
            "slide_id": names[:5],
            "state": ["made", "reused", "failed", "made", "made"],
            "duplicates": [0, 2, 0, 1, 0],
            "reason": ["", "", f'slide "L3" (manifest row 4): {NASTY} ends early', "", ""],
            "note": ["", "made again: changed mpp", "", "", ""],
        }
    )
    table.to_csv(bags / "slides.csv", index=False)
    (bags / "preview").mkdir()
    for name in ("L2", NASTY_ID):
        Image.new("RGB", (1960, 900), "purple").save(preview_path(bags, name))
    slides = tuple(
        Slide(name, f"P{i}", Path("x"), SourceKind.SLIDE, None, i + 2)
        for i, name in enumerate(names)
    )
    patients = pd.DataFrame(
        {"centre": centre, "split": [CENTRES[c] for c in centre]},
        index=[slide.patient_id for slide in slides],
    )
    return Cohort(slides, patients, Path("cohort.csv")), bags


@pytest.fixture(scope="module")
def page(study: tuple[Cohort, Path]) -> Page:
    written = write_quality_page(*study)
    assert written == study[1] / "quality.html"
    return Page(written)


def test_numbers_of_a_slide_are_those_of_its_bag(study: tuple[Cohort, Path]) -> None:
    slides = quality_table(*study).slides.set_index("slide_id")
    counts = ["candidates", "kept", "dropped", "dropped_blurred", "dropped_thick", "duplicates"]
    assert slides.loc["L1", counts].tolist() == [4, 3, 1, 1, 0, 0]
    assert slides.loc["L2", counts].tolist() == [4, 1, 3, 2, 1, 2]
    assert slides.loc["E2", counts].tolist() == [5, 5, 0, 0, 0, 0]
    assert slides.loc[["L3", "E3"], counts[:-1]].isna().all(axis=None)
    medians = slides["median_sharpness"]
    np.testing.assert_allclose(medians[["L1", "L2", NASTY_ID]], [0.75, 0.35, 0.5], atol=1e-6)
    assert medians[["L3", "E2", "E3"]].isna().all()
    assert slides.loc["E3", "state"] == "not listed"


def test_centre_sums_counts_and_takes_the_median_over_slides(study: tuple[Cohort, Path]) -> None:
    centres = centre_table(quality_table(*study)).set_index("centre")
    columns = ["slides", "with_bag", "failed", "candidates", "kept", "dropped", "duplicates"]
    assert centres.loc["Lund", columns].tolist() == [3, 2, 1, 8, 4, 4, 2]
    assert centres.loc[NASTY, columns].tolist() == [3, 2, 0, 7, 7, 0, 1]
    np.testing.assert_allclose(centres["median_sharpness"][["Lund", NASTY]], [0.55, 0.5])


def test_csv_holds_the_same_numbers(study: tuple[Cohort, Path], page: Page) -> None:
    written = pd.read_csv(study[1] / "quality.csv", keep_default_na=False, dtype=str)
    slides = quality_table(*study).slides
    assert list(written) == list(slides)
    assert written["slide_id"].tolist() == slides["slide_id"].tolist()
    assert written["kept"].tolist() == ["3", "1", "", "2", "5", ""]
    assert written["median_sharpness"].tolist() == ["0.75", "0.35", "", "0.5", "", ""]


def test_page_says_them(study: tuple[Cohort, Path], page: Page) -> None:
    table = quality_table(*study)
    assert headline(table) in page.text
    assert headline(table) == (
        "4 of 6 slides of 6 patients have a bag (3 made, 1 reused, 1 failed, 1 not listed). "
        "11 of 15 candidate patches (73%) were kept."
    )
    assert "Lund development 3 2 1 8 4 50% 3 38% 1 12% 2" in page.text
    assert "L2 P1 Lund reused 4 1 25% 2 1 2 0.35" in page.text
    assert "E2 P4" in page.text
    assert page.text.count("not measured") == 3
    assert page.text.count("Research use only") >= 2


def test_names_are_text_and_links_find_their_file(study: tuple[Cohort, Path], page: Page) -> None:
    assert "<b>A" not in page.source
    assert f"(manifest row 4): {NASTY} ends early" in page.text
    assert not [tag for tag, _ in page.elements if tag in {"script", "link", "b"}]
    addresses = [str(a["href"]) for tag, a in page.elements if tag == "a"]
    ids = {a["id"] for _, a in page.elements if "id" in a}
    for address in addresses:
        if address.startswith("#"):
            assert address[1:] in ids
        else:
            assert (study[1] / unquote(address)).is_file()
    assert sum(address.startswith("preview/") for address in addresses) >= 4


def test_page_needs_no_other_file(page: Page) -> None:
    images = [a for tag, a in page.elements if tag == "img"]
    assert len(images) == 2
    assert all(str(a["src"]).startswith("data:image/webp;base64,") for a in images)
    assert "default-src 'none'" in page.source
    assert "url(" not in page.source


def test_same_bags_give_the_same_bytes(study: tuple[Cohort, Path], page: Page) -> None:
    numbers = (study[1] / "quality.csv").read_bytes()
    assert Page(write_quality_page(*study)).source == page.source
    assert (study[1] / "quality.csv").read_bytes() == numbers


def test_slides_to_check_are_the_most_dropped_then_the_fewest_kept(
    study: tuple[Cohort, Path],
) -> None:
    table = quality_table(*study)
    assert [slide for slide, _ in slides_to_check(table, 4)] == ["L2", "L1", NASTY_ID, "E2"]
    (slide, why), *_ = slides_to_check(table, 2)
    assert slide == "L2"
    assert why == ("1 patch kept (median of its centre 2); 75% of 4 dropped, 2 of them: blurred")


def test_every_slide_has_its_dot_where_its_median_lies(study: tuple[Cohort, Path]) -> None:
    (drawn,) = distributions(quality_table(*study))
    places = {said: x for strip in drawn.strips for x, _, said in strip.points}
    low, middle, high = (places[f"{i}"] for i in ("L2: 0.35", f"{NASTY_ID}: 0.5", "L1: 0.75"))
    np.testing.assert_allclose((middle - low) / (high - low), 0.15 / 0.4, atol=1e-3)
    assert drawn.overall == middle
    ticks = {float(text): x for x, text in drawn.ticks}
    assert all(low - 30 < x < high + 30 for x in ticks.values())
    assert len(ticks) > 2


def test_bags_without_measures(study: tuple[Cohort, Path], tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    write_bag(bag_path(bags, "L1"), Bag(np.ones((5, 2), np.float32), np.zeros((5, 2), np.int64)))
    (bags / "slides.csv").write_text("slide_id,patient_id,state,patches,reason\nL1,P0,made,5,\n")
    page = Page(write_quality_page(study[0].with_slides(["L1"]), bags))
    assert "Quality was not measured" in page.text
    assert "L1 P0 Lund made 5 5 100% 0" in page.text


def test_no_bag_at_all(study: tuple[Cohort, Path], tmp_path: Path) -> None:
    (tmp_path / "slides.csv").write_text("slide_id,state,reason\nL3,failed,gone\n")
    page = Page(write_quality_page(study[0].with_slides(["L3"]), tmp_path))
    assert "0 of 1 slides" in page.text
    assert "No slide has a bag." in page.text


def test_damaged_bag_is_named(study: tuple[Cohort, Path], tmp_path: Path) -> None:
    bags = shutil.copytree(study[1], tmp_path / "bags")
    bag_path(bags, "L1").write_bytes(b"no bag")
    with h5py.File(bag_path(bags, "L2"), "r+") as file:
        file["quality/sharpness"][0] = np.nan
    slides = quality_table(study[0], bags).slides.set_index("slide_id")
    for slide, said in (("L1", "L1.h5"), ("L2", 'NaN or infinity in "quality/sharpness"')):
        assert pd.isna(slides.loc[slide, "kept"])
        assert said in slides.loc[slide, "reason"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; run cmil extract"),
        (b"", "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b'slide_id,state\n"a', "is damaged"),
        (b"slide_id,patches\na,1\n", 'has no column "state"'),
        (b"slide_id,state,duplicates\na,made,x\n", "holds no number"),
    ],
)
def test_list_of_slides_that_is_missing_or_damaged(
    study: tuple[Cohort, Path], tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "slides.csv").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        write_quality_page(study[0], tmp_path)
