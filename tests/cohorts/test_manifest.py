import csv
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.endpoints import Endpoint
from cohorts.errors import ManifestError
from cohorts.manifest import MPP_RANGE, Cohort, SourceKind, read_cohort
from cohorts.settings import CohortSettings

Rows = Sequence[Mapping[str, str]]
Read = Callable[..., Cohort]

GOOD: Rows = (
    {"patient_id": "P1", "slide_id": "S1", "path": "a.svs", "centre": "Lund", "label": "1"},
    {"patient_id": "P1", "slide_id": "S2", "path": "b.svs", "centre": "Lund", "label": "1"},
    {"patient_id": "P2", "slide_id": "S3", "path": "c.svs", "centre": "Bern", "label": "0"},
)
OVERALL = {"os": Endpoint(time="months", event="died")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.svs", "b.svs", "c.svs", "d.svs"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def read(folder: Path) -> Read:
    def read(
        rows: Rows,
        covariates: Sequence[str] = (),
        label: str = "label",
        endpoints: dict[str, Endpoint] | None = None,
    ) -> Cohort:
        manifest = folder / "cohort.csv"
        write_table(manifest, rows)
        names = CohortSettings(manifest=manifest, label=label, endpoints=endpoints or {})
        return read_cohort(names, covariates)

    return read


def write_table(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def with_all(rows: Rows, **more: str) -> list[dict[str, str]]:
    return [{**row, **more} for row in rows]


def changed(rows: Rows, row: int, **values: str) -> list[dict[str, str]]:
    """`rows` with other values in one; `row` counts as the manifest does, the header being 1."""
    return [{**r, **values} if n == row else dict(r) for n, r in enumerate(rows, start=2)]


def problems_of(read: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as refusal:
        read()
    assert str(refusal.value).splitlines() == list(refusal.value.problems)
    return refusal.value.problems


def test_a_valid_manifest_is_read_in_its_order(read: Read, folder: Path) -> None:
    cohort = read(GOOD)
    assert [s.slide_id for s in cohort.slides] == ["S1", "S2", "S3"]
    assert [s.row for s in cohort.slides] == [2, 3, 4]
    assert cohort.slides[0].path == folder / "a.svs"
    assert cohort.patients.index.tolist() == ["P1", "P2"]
    assert cohort.patients.index.name == "patient_id"
    assert cohort.patients["label"].tolist() == [1, 0]
    assert cohort.patients["centre"].tolist() == ["Lund", "Bern"]
    assert cohort.patients["split"].tolist() == ["development", "development"]
    assert [s.slide_id for s in cohort.slides_of("P1")] == ["S1", "S2"]


def test_splits_and_choices_take_patients_with_their_slides(read: Read) -> None:
    rows = [
        {**row, "split": "external" if row["patient_id"] == "P2" else "development"} for row in GOOD
    ]
    cohort = read(rows)
    assert cohort.development.patients.index.tolist() == ["P1"]
    assert [s.slide_id for s in cohort.development.slides] == ["S1", "S2"]
    assert cohort.external.patients.index.tolist() == ["P2"]
    assert cohort.with_slides(["S2", "S3"]).patients.index.tolist() == ["P1", "P2"]
    assert cohort.with_slides(["S3"]).patients.index.tolist() == ["P2"]
    assert [s.slide_id for s in cohort.restricted_to(["P1"]).slides] == ["S1", "S2"]


def test_numbers_are_read_and_missing_ones_are_nan(read: Read) -> None:
    rows = with_all(GOOD, months="12.5", died="1", age="NA", mpp="")
    cohort = read(
        changed(rows, 4, months=" ", died="n/a", age="3", mpp="0.25"), ["age"], endpoints=OVERALL
    )
    assert cohort.patients.loc["P1", ["months", "died"]].tolist() == [12.5, 1]
    assert cohort.patients.loc["P2", ["months", "died"]].isna().all()
    assert cohort.patients["age"].isna().tolist() == [True, False]
    assert [slide.mpp for slide in cohort.slides] == [None, None, 0.25]


def test_the_kind_of_source_follows_from_what_the_path_names(read: Read, folder: Path) -> None:
    (folder / "fields").mkdir()
    (folder / "list.TXT").touch()
    (folder / "cell.JPG").touch()
    rows = with_all([GOOD[0]])
    rows += [
        {**GOOD[0], "slide_id": f"S{path}", "path": path}
        for path in ("fields", "list.TXT", "cell.JPG")
    ]
    kinds = [slide.kind for slide in read(rows).slides]
    assert kinds == [SourceKind.SLIDE, SourceKind.FOLDER, SourceKind.LIST, SourceKind.IMAGE]


def test_the_label_column_may_have_any_name(read: Read) -> None:
    rows = [{"metastasis" if k == "label" else k: v for k, v in row.items()} for row in GOOD]
    assert read(rows, label="metastasis").patients["label"].tolist() == [1, 0]


def test_all_problems_are_named_at_once(read: Read) -> None:
    rows = with_all(GOOD, mpp="0.25", age="3")
    rows = changed(rows, 2, label="2")
    rows = changed(rows, 3, label="2", mpp="250", path="nowhere.svs")
    rows = changed(rows, 4, centre="", label="", age="old", slide_id="s1")
    problems = problems_of(lambda: read(rows, ["age"]))
    places = {(line.split(",")[0].split()[-1], line.split('"')[1]) for line in problems}
    assert places == {
        ("2", "label"),
        ("3", "mpp"),
        ("3", "path"),
        ("4", "centre"),
        ("4", "label"),
        ("4", "age"),
        ("4", "slide_id"),
    }
    assert len(problems) == len(places)


@pytest.mark.parametrize(
    ("row", "values", "said"),
    [
        (3, {"centre": "Bern"}, ('row 3, column "centre"', '"P1"', '"Bern"', '"Lund"', "row 2")),
        (3, {"split": "external"}, ('row 3, column "split"', "development or external, never")),
        (3, {"label": "0"}, ('row 3, column "label"', "must agree")),
        (4, {"split": "test"}, ('row 4, column "split"', '"test"', "development nor external")),
        (4, {"label": ""}, ('row 4, column "label"', '"P2" has no label')),
        (4, {"label": "NA"}, ('row 4, column "label"', '"P2" has no label')),
        (4, {"label": "2"}, ('row 4, column "label"', '"2" is neither 0 nor 1')),
        (4, {"label": "yes"}, ('row 4, column "label"', '"yes" is neither 0 nor 1')),
        (4, {"path": "x.svs"}, ('row 4, column "path"', '"x.svs" does not exist')),
        (4, {"path": "x" * 300}, ('row 4, column "path"', "does not exist")),
        (4, {"path": "a\0.svs"}, ('row 4, column "path"', "does not exist")),
        (4, {"path": "a.svs"}, ('row 4, column "path"', "row 2", "another patient")),
        (3, {"path": "./a.svs"}, ('row 3, column "path"', "row 2", "this patient")),
        (4, {"slide_id": "S1"}, ('row 4, column "slide_id"', '"S1" occurs in row 2')),
        (4, {"slide_id": "s1"}, ('row 4, column "slide_id"', "another case", "row 2")),
        (4, {"patient_id": "p1"}, ('row 4, column "patient_id"', "case only", '"P1" (row 2)')),
        (4, {"patient_id": "../x"}, ('row 4, column "patient_id"', '"../x" cannot name a file')),
        (4, {"slide_id": "a/b"}, ('row 4, column "slide_id"', '"a/b" cannot name a file')),
        (4, {"slide_id": "a\\b"}, ('row 4, column "slide_id"', "cannot name a file")),
        (4, {"slide_id": ".."}, ('row 4, column "slide_id"', "cannot name a file")),
        (4, {"slide_id": "ö" * 61}, ('row 4, column "slide_id"', "cannot name a file")),
        (4, {"patient_id": ""}, ('row 4, column "patient_id"', "is empty")),
        (4, {"slide_id": ""}, ('row 4, column "slide_id"', "is empty")),
        (4, {"path": ""}, ('row 4, column "path"', "is empty")),
        (4, {"centre": "  "}, ('row 4, column "centre"', "is empty")),
        (4, {"mpp": "0"}, ('row 4, column "mpp"', '"0" is not microns per pixel')),
        (4, {"mpp": "20.1"}, ('row 4, column "mpp"', "not microns per pixel")),
        (4, {"mpp": "0,25"}, ('row 4, column "mpp"', "not microns per pixel")),
        (4, {"mpp": "inf"}, ('row 4, column "mpp"', "not microns per pixel")),
        (4, {"months": "long"}, ('row 4, column "months"', '"long" is not a number')),
        (4, {"died": "inf"}, ('row 4, column "died"', '"inf" is not a number')),
    ],
)
def test_one_mistake_is_one_line_with_row_and_column(
    read: Read, row: int, values: dict[str, str], said: tuple[str, ...]
) -> None:
    rows = with_all(GOOD, split="development", mpp="0.5", months="3", died="0")
    (problem,) = problems_of(lambda: read(changed(rows, row, **values), endpoints=OVERALL))
    assert problem.startswith("cohort.csv row")
    for part in said:
        assert part in problem


def test_a_patient_in_two_centres_and_both_splits_is_told_of_each(read: Read) -> None:
    rows = changed(with_all(GOOD, split="development"), 3, split="external", centre="Bern")
    assert len(problems_of(lambda: read(rows))) == 2


def test_a_line_break_in_a_value_does_not_break_the_line(read: Read) -> None:
    (problem,) = problems_of(lambda: read(changed(GOOD, 4, label="1\nor 0")))
    assert '"1 or 0" is neither' in problem


def test_a_link_to_another_rows_file_is_the_same_path(read: Read, folder: Path) -> None:
    (folder / "linked.svs").symlink_to(folder / "a.svs")
    (problem,) = problems_of(lambda: read(changed(GOOD, 4, path="linked.svs")))
    assert 'column "path": is that of row 2' in problem


def test_a_link_in_a_circle_does_not_exist(read: Read, folder: Path) -> None:
    (folder / "circle.svs").symlink_to(folder / "circle.svs")
    (problem,) = problems_of(lambda: read(changed(GOOD, 4, path="circle.svs")))
    assert '"circle.svs" does not exist' in problem


def refused(folder: Path, content: bytes) -> str:
    manifest = folder / "cohort.csv"
    manifest.write_bytes(content)
    return "\n".join(problems_of(lambda: read_cohort(CohortSettings(manifest=manifest))))


HEADER = b"patient_id,slide_id,path,centre,label\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (HEADER, "no rows below its header"),
        (HEADER + b"\n\n", "no rows below its header"),
        (HEADER.replace(b",", b";") + b"P1;S1;a.svs;Lund;1\n", "separated by ';'"),
        (HEADER + "P1,S1,a.svs,Zürich,1\n".encode("latin-1"), "not UTF-8"),
        (HEADER + b"P1,S1,a.svs,Lund\n", "row 2: 4 values for 5 columns"),
        (HEADER + b"P1,S1,a.svs,Lund,1,\n", "row 2: 6 values for 5 columns"),
        (HEADER + b'P1,S1,"a.svs,Lund,1\n', "not valid CSV"),
        (HEADER + b"P1,S1,a.svs,Lund," + b"1" * 200_000, "not valid CSV"),
        (b"patient_id,slide_id,path,label\nP1,S1,a.svs,1\n", 'no column "centre"'),
        (HEADER.replace(b"label", b"centre") + b"P1,S1,a.svs,Lund,1\n", "more than once"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(folder: Path, content: bytes, said: str) -> None:
    message = refused(folder, content)
    assert "cohort.csv" in message
    assert said in message


def test_every_absent_column_is_named(folder: Path) -> None:
    message = refused(folder, b"patient,path\nP1,a.svs\n")
    for name in ("patient_id", "slide_id", "centre", "label"):
        assert f'no column "{name}"' in message


def test_every_ragged_row_is_named(folder: Path) -> None:
    message = refused(folder, HEADER + b"P1,S1\nP2,S2,b.svs,Lund,1\n\nP3,S3\n")
    assert [line.split(":")[0] for line in message.splitlines()] == [
        "cohort.csv row 2",
        "cohort.csv row 5",
    ]


def test_an_absent_manifest_and_a_folder_are_refused(folder: Path) -> None:
    absent = CohortSettings(manifest=folder / "none.csv")
    assert "does not exist" in problems_of(lambda: read_cohort(absent))[0]
    (problem,) = problems_of(lambda: read_cohort(CohortSettings(manifest=folder)))
    assert "is a folder" in problem


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_what_spreadsheets_write_is_read(folder: Path, line_end: bytes) -> None:
    """A byte order mark, spaces about names, empty lines, an unnamed column at the end."""
    manifest = folder / "cohort.csv"
    lines = ["patient_id, slide_id,path ,centre,label,,", "P1, S1,a.svs ,Lund,1,,remark", "", ""]
    manifest.write_bytes(b"\xef\xbb\xbf" + line_end.join(line.encode() for line in lines))
    (slide,) = read_cohort(CohortSettings(manifest=manifest)).slides
    assert (slide.patient_id, slide.slide_id, slide.path.name) == ("P1", "S1", "a.svs")
    assert slide.row == 2


def test_composed_and_decomposed_letters_are_the_same_patient(read: Read) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë-1") for form in ("NFC", "NFD"))
    assert composed != decomposed
    rows = changed(changed(GOOD, 2, patient_id=composed), 3, patient_id=decomposed)
    cohort = read(rows)
    assert cohort.patients.index.tolist() == [composed, "P2"]
    assert len(cohort.slides_of(composed)) == 2
    rows = changed(changed(GOOD, 2, slide_id=composed), 3, slide_id=decomposed)
    (problem,) = problems_of(lambda: read(rows))
    assert "occurs in row 2" in problem


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
def test_a_path_is_found_in_either_spelling(
    read: Read, folder: Path, on_disk: str, in_table: str
) -> None:
    (folder / unicodedata.normalize(on_disk, "Zoë.svs")).touch()
    cohort = read(changed(GOOD, 4, path=unicodedata.normalize(in_table, "Zoë.svs")))
    assert cohort.slides[2].path.exists()


def test_the_digest_says_who_is_in_the_cohort_and_not_where_or_how_long(
    read: Read, folder: Path
) -> None:
    rows = with_all(GOOD, months="3", died="0", split="development")
    first = read(rows, endpoints=OVERALL)
    (folder / "moved").mkdir()
    (folder / "a.svs").rename(folder / "moved" / "a.svs")
    moved = read(changed(rows, 2, path="moved/a.svs"), endpoints=OVERALL)
    (folder / "moved" / "a.svs").rename(folder / "a.svs")
    assert moved.digest == first.digest
    assert moved.outcomes_digest == first.outcomes_digest
    later = read(changed(rows, 4, months="4"), endpoints=OVERALL)
    assert later.digest == first.digest
    assert later.outcomes_digest != first.outcomes_digest
    for other in (
        {"label": "1"},
        {"centre": "Oslo"},
        {"split": "external"},
        {"slide_id": "S9"},
        {"patient_id": "P9"},
    ):
        assert read(changed(rows, 4, **other), endpoints=OVERALL).digest != first.digest
    for other in ({"label": "1"}, {"centre": "Oslo"}, {"split": "external"}, {"died": ""}):
        assert read(changed(rows, 4, **other), endpoints=OVERALL).outcomes_digest != (
            first.outcomes_digest
        )
    # a slide's name is no outcome
    renamed = read(changed(rows, 4, slide_id="S9"), endpoints=OVERALL)
    assert renamed.outcomes_digest == first.outcomes_digest


# Letters in one case, so that no two ids differ in it only, and no text that stands for missing.
IDS = st.text("abcxyz0123456789-_ é", min_size=1, max_size=12).map(str.strip).filter(bool)
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.none()


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for patient in draw(st.lists(IDS, min_size=1, max_size=4, unique=True)):
        number = draw(NUMBERS)
        of_patient = {
            "patient_id": patient,
            "centre": draw(TEXT),
            "split": draw(st.sampled_from(["development", "external"])),
            "label": draw(st.sampled_from(["0", "1"])),
            "age": "" if number is None else repr(number),
        }
        rows += [dict(of_patient) for _ in range(draw(st.integers(1, 3)))]
    for position, row in enumerate(rows):
        mpp = draw(st.floats(*MPP_RANGE) | st.none())
        row["slide_id"] = f"slide {position}"
        row["path"] = f"{position}.svs"
        row["mpp"] = "" if mpp is None else repr(mpp)
    return draw(st.permutations(rows))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for position in range(12):
        (folder / f"{position}.svs").touch()
    return folder


@settings(max_examples=60, deadline=None)
@given(tables())
def test_what_csv_writes_is_read_back(slides: Path, rows: list[dict[str, str]]) -> None:
    write_table(slides / "cohort.csv", rows)
    cohort = read_cohort(CohortSettings(manifest=slides / "cohort.csv"), ["age"])
    assert [s.slide_id for s in cohort.slides] == [row["slide_id"] for row in rows]
    assert [s.mpp for s in cohort.slides] == [float(r["mpp"]) if r["mpp"] else None for r in rows]
    first = {row["patient_id"]: row for row in reversed(rows)}
    in_order = list(dict.fromkeys(row["patient_id"] for row in rows))
    assert cohort.patients.index.tolist() == in_order
    for patient in in_order:
        read, written = cohort.patients.loc[patient], first[patient]
        assert read["centre"] == unicodedata.normalize("NFC", written["centre"])
        assert (read["split"], read["label"]) == (written["split"], int(written["label"]))
        assert (
            (read["age"] == float(written["age"])) if written["age"] else read["age"] != read["age"]
        )
    assert len(cohort.development.slides) + len(cohort.external.slides) == len(rows)


MESSY = st.text(max_size=6) | st.sampled_from(["", "NA", "1", "0.svs", "x\ny", "..", "\0", "nan"])
COLUMNS = st.sampled_from(
    ["patient_id", "slide_id", "path", "centre", "label", "split", "mpp", "age", ""]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    header=st.permutations(["patient_id", "slide_id", "path", "centre", "label", "split", "mpp"]),
    cells=st.lists(st.lists(MESSY, min_size=7, max_size=7), min_size=1, max_size=5),
)
def test_of_any_values_each_problem_names_row_and_column(
    slides: Path, header: list[str], cells: list[list[str]]
) -> None:
    try:
        write_table(slides / "messy.csv", [dict(zip(header, row, strict=True)) for row in cells])
    except (csv.Error, UnicodeEncodeError):
        return  # csv itself cannot write it
    try:
        read_cohort(CohortSettings(manifest=slides / "messy.csv"))
    except ManifestError as error:
        lines = str(error).splitlines()
        assert lines == list(error.problems)
        if any(any(row) for row in cells):
            starts = tuple(
                f'messy.csv row {row}, column "{name}": '
                for row in range(2, len(cells) + 2)
                for name in header
            )
            assert [line for line in lines if not line.startswith(starts)] == []


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200)
    | st.lists(st.lists(COLUMNS | MESSY, max_size=9).map(",".join), max_size=6)
    .map("\n".join)
    .map(lambda text: text.encode("utf-8", errors="ignore"))
)
def test_no_file_gives_anything_but_a_manifest_error(slides: Path, content: bytes) -> None:
    (slides / "any.csv").write_bytes(content)
    try:
        read_cohort(CohortSettings(manifest=slides / "any.csv"), ["age"])
    except ManifestError as error:
        assert error.problems
        assert all("any.csv" in problem for problem in error.problems)


def test_columns_of_words_are_kept_as_they_are_written(folder: Path) -> None:
    manifest = folder / "cohort.csv"
    rows = with_all(GOOD, stage="4S", age="3", sex="NA")
    write_table(manifest, rows)
    names = CohortSettings(manifest=manifest, label="label")
    patients = read_cohort(names, ("age",), ("stage", "sex", "age")).patients
    assert patients["stage"].tolist() == ["4S", "4S"]
    assert patients["sex"].tolist() == [None, None]
    assert patients["age"].tolist() == [3.0, 3.0]
    write_table(manifest, changed(rows, 3, stage="4"))
    with pytest.raises(ManifestError, match='patient "P1" has "4" here but "4S" in row 2'):
        read_cohort(names, (), ("stage",))
    with pytest.raises(ManifestError, match='no column "site"'):
        read_cohort(names, (), ("site",))
