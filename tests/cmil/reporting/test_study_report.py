"""The report says what the tables say, in a page, a PDF and files, and trusts no name in them."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from pypdf import PdfReader

from cmil.reporting.study_files import StudyFiles
from cmil.reporting.study_report import write_study_report
from survival.print_numbers import interval_text

from .conftest import NASTY


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="session")
def written(study_files: StudyFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    files = write_study_report(study_files, folder)
    assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


@pytest.fixture(scope="session")
def page(written: Path) -> Page:
    return Page(written / "report.html")


def test_numbers_of_every_cohort_are_in_page_and_pdf(
    study_files: StudyFiles, written: Path, page: Page
) -> None:
    found = study_files.validation.tables.discrimination
    auc = found[found["measure"] == "auc"]
    document = "".join(p.extract_text() for p in PdfReader(written / "report.pdf").pages)
    document = "".join(document.split())
    assert len(auc) == 5
    for row in auc.itertuples():
        text = interval_text(row.value, row.ci_low, row.ci_high, "z.3f")
        assert text in page.text
        assert text.replace(" ", "") in document


def test_names_are_text_and_never_markup(page: Page) -> None:
    assert NASTY in page.text
    assert "b" not in {tag for tag, _ in page.tags}
    assert "script" not in {tag for tag, _ in page.tags}


def test_page_needs_no_other_file(page: Page) -> None:
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")


def test_links_lead_to_sections(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [str(a["href"])[1:] for tag, a in page.tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)


def test_provenance_stands_under_each_figure(
    study_files: StudyFiles, written: Path, page: Page
) -> None:
    figures = sorted((written / "figures").glob("*.svg"))
    assert [path.stem for path in figures] == sorted(
        path.stem for path in (written / "figures").glob("*.pdf")
    )
    digests = study_files.bundle.digest[:12], "1f" * 6, study_files.cohort.digest[:12]
    captions = re.findall(r"Figure \d+\.", page.text)
    assert len(captions) == len(figures)
    for digest in digests:
        assert page.text.count(digest) >= len(figures)


def test_research_use_only_is_on_every_page_of_the_pdf(written: Path) -> None:
    pages = PdfReader(written / "report.pdf").pages
    assert all("Research use only" in one.extract_text() for one in pages)


def test_figures_of_the_pdf_are_vectors_with_text(written: Path) -> None:
    pages = PdfReader(written / "report.pdf").pages
    assert not [image for one in pages for image in one.images]
    assert "Sensitivity" in "".join(one.extract_text() for one in pages)
    assert "<text" in (written / "figures" / "roc.svg").read_text(encoding="utf-8")


def test_tables_hold_unrounded_numbers(study_files: StudyFiles, written: Path) -> None:
    read = pd.read_csv(written / "tables" / "discrimination.csv")
    ours = study_files.validation.tables.discrimination
    pd.testing.assert_series_equal(read["value"], ours["value"], check_exact=False, rtol=1e-12)


def test_same_study_gives_the_same_bytes(
    study_files: StudyFiles, written: Path, tmp_path: Path
) -> None:
    again = write_study_report(study_files, tmp_path)
    for path in again:
        assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes(), path.name


def test_checklists_are_answered_by_the_study(written: Path) -> None:
    text = (written / "checklist-tripod-ai.yaml").read_text(encoding="utf-8")
    assert "Development of a model in 30 patients" in text
    assert "state: to write" in text


def test_no_cell_shows_a_number_that_is_none(page: Page) -> None:
    assert not re.search(r"\bnan\b", page.text.replace(NASTY, ""), re.IGNORECASE)
