"""The result page says what the tables say, needs no other file, and trusts no name in them."""

import base64
import hashlib
import math
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmil.aggregators import build_aggregator
from cmil.bundle import WEIGHTS, ModelFacts, OutOfFold, read_bundle, save_weights, write_facts
from cmil.calibration import Calibration
from cmil.comparison.compare import compare
from cmil.comparison.page import difference_text
from cmil.comparison_stage import read_comparison
from cmil.report import (
    auc_text,
    cohort_flow,
    headline,
    median_text,
    percent_text,
    write_report,
)
from cmil.settings import MilSettings
from cmil.validation import performance
from cohorts.endpoints import Endpoint
from cohorts.errors import DataError
from cohorts.files import digest_of_file
from cohorts.manifest import Cohort, Slide, SourceKind
from survival import SurvivalSettings, analyse, read_lock
from survival.print_numbers import p_value

NASTY = '<script>alert("x")</script> & $Sons$'
CENTRES = {"Lund": "development", NASTY: "external", "Oslo": "external"}
PER_CENTRE = 24
SEED = 0


class Page(HTMLParser):
    """What a test asks of a page: its elements, and its text."""

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

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def predictions_of(centres: dict[str, str]) -> pd.DataFrame:
    random = np.random.default_rng(3)
    centre = np.repeat(list(centres), PER_CENTRE)
    label = np.tile([0, 1], len(centre) // 2)
    score = np.clip(0.25 + 0.5 * label + random.normal(0, 0.2, len(label)), 0.01, 0.99)
    split = [centres[name] for name in centre]
    development = np.array(split) == "development"
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:03d}" for i in range(len(centre))],
            "centre": centre,
            "split": split,
            "score_kind": np.where(development, "oof", "external"),
            "score": score,
            "logit": np.log(score / (1 - score)),
            "score_sd": np.where(development, np.nan, 0.05),
            "label": label,
            "decision": (score >= 0.5).astype(int),
            "n_patches": 100,
            "model_digest": "",
        }
    )


def write_bundle(folder: Path) -> str:
    mil = MilSettings(folds=2, hidden=4, attention_width=2)
    folder.mkdir(parents=True)
    save_weights([build_aggregator(mil, 3) for _ in range(2)], folder / WEIGHTS)
    facts = ModelFacts(
        software_version="0.0.9",
        label="metastasis",
        seed=SEED,
        mil=mil,
        dimension=3,
        encoding={"encoder": "untrained:timm:resnet18", "images_are": "fields", "patch_px": 224},
        fold_of={f"P{i:03d}": i % 2 for i in range(PER_CENTRE)},
        centres=["Lund"],
        calibration=Calibration(slope=1.5, intercept=-0.25),
        threshold=0.5,
        threshold_method="youden",
        out_of_fold=OutOfFold(
            patients=PER_CENTRE,
            positives=12,
            auc=0.91,
            auc_ci_low=0.8,
            auc_ci_high=1.0,
            auc_of_folds=(0.9, 0.92),
        ),
        cohort_digest="c" * 64,
        bags_digest="b" * 64,
        weights_digest=digest_of_file(folder / WEIGHTS),
    )
    write_facts(facts, folder)
    return read_bundle(folder).digest


def write_comparison(folder: Path, predictions: pd.DataFrame) -> None:
    """The model against the number of patches, which ranks nobody, and a score that is better."""
    ours = predictions.assign(model="gated_attention", role="model")
    size = predictions.assign(model="bag size", role="baseline", score=0.5, model_digest="")
    better = predictions.assign(model="centre", role="baseline", model_digest="")
    better["score"] = 0.2 + 0.6 * better["label"] * (np.arange(len(better)) != 1)
    folder.mkdir()
    table = compare(
        pd.concat([ours, size, better], ignore_index=True), np.random.SeedSequence(SEED)
    )
    table.to_csv(folder / "comparison.csv", index=False)


def cohort_of(predictions: pd.DataFrame) -> Cohort:
    """The patients of the predictions, and one more, "lost", of the centre with the nasty name."""
    patients = predictions.set_index("patient_id")[["centre", "split", "label"]]
    patients.loc["lost"] = [NASTY, "external", 1]
    slides = tuple(
        Slide(f"{patient}-1", str(patient), Path("x"), SourceKind.FOLDER, None, row)
        for row, patient in enumerate(patients.index, start=2)
    )
    return Cohort(slides, patients, Path("cohort.csv"))


def with_endpoint(patients: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(5)
    time = random.exponential(30 / (1 + 4 * patients["label"])) + 0.5
    return patients.assign(months=np.minimum(time, 40), died=(time <= 40).astype(int))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of three centres with an endpoint and two pictures."""
    out = tmp_path_factory.mktemp("study")
    predictions = predictions_of(CENTRES).assign(model_digest=write_bundle(out / "model"))
    predictions.to_csv(out / "predictions.csv", index=False)
    write_comparison(out / "comparison", predictions)
    cohort = cohort_of(predictions)
    (out / "bags").mkdir()
    states = ["failed" if s.patient_id == "lost" else "made" for s in cohort.slides]
    ids = [(s.slide_id, s.patient_id) for s in cohort.slides]
    slides = pd.DataFrame(ids, columns=["slide_id", "patient_id"]).assign(state=states, reason="")
    slides.to_csv(out / "bags" / "slides.csv", index=False)
    (out / "heatmaps").mkdir()
    for patient in ("P000", "P050"):
        Image.new("RGB", (1500, 750), "purple").save(out / "heatmaps" / f"{patient}.png")
    analyse(
        predictions,
        with_endpoint(cohort.patients.drop(index="lost")),
        {"overall survival": Endpoint(time="months", event="died")},
        SurvivalSettings(),
        out / "survival",
        "cohort-1",
    )
    return out


@pytest.fixture
def folder(study: Path, tmp_path: Path) -> Path:
    """A copy of the study that a test may change."""
    return shutil.copytree(study, tmp_path / "copy")


def report(out: Path, endpoints: tuple[str, ...] = ("overall survival",)) -> Page:
    written = write_report(
        out,
        title=f"Study of {NASTY}",
        cohort=cohort_of(predictions_of(CENTRES)),
        excluded={"lost": "no readable slide"},
        failed_slides=[f'slide "lost-1" (manifest row 74): {NASTY} ends early'],
        endpoints=endpoints,
        settings_text=f'[cohort]\nmanifest = "{NASTY}"',
        encoder_note="Untrained: for trials only.",
    )
    assert written == out / "index.html"
    return Page(written)


@pytest.fixture(scope="module")
def page(study: Path) -> Page:
    return report(study)


def test_page_needs_no_other_file(page: Page) -> None:
    for tag, attributes in page.elements:
        if address := attributes.get("src"):
            assert address.startswith("data:image/webp;base64,"), tag
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), tag
    assert not page.all("link")
    assert "url(http" not in page.source


def test_policy_allows_the_page_its_own_script_only(page: Page) -> None:
    script = page.source.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(
        str(meta["content"])
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_names_are_text_and_never_markup(page: Page) -> None:
    assert len(page.all("script")) == 1
    assert page.text.count(NASTY) > 5
    assert "<script>alert" not in page.source
    rows = [row["data-centre"] for row in page.all("tr") if "data-centre" in row]
    assert rows.count(NASTY) == PER_CENTRE


def test_every_link_has_its_one_target(page: Page) -> None:
    ids = Counter(str(a["id"]) for _, a in page.elements if "id" in a)
    assert not [name for name, count in ids.items() if count > 1]
    targets = {str(a["href"]).removeprefix("#") for a in page.all("a")}
    assert targets <= set(ids)
    assert {str(row["data-story"]) for row in page.all("tr") if "data-story" in row} <= set(ids)


def test_what_is_drawn_is_also_said(page: Page) -> None:
    drawings = [svg["aria-label"] for svg in page.all("svg")]
    # ROC and Kaplan-Meier: three cohorts and the pool; scores: three cohorts; forest, comparison.
    assert len(drawings) == len(set(drawings)) == 4 + 4 + 3 + 1 + 1
    assert all(drawings)
    assert all("P0" in str(image["alt"]) for image in page.all("img"))
    assert all(cell.get("scope") for cell in page.all("th"))


def test_research_use_only_stands_at_both_ends(page: Page) -> None:
    assert page.text.count("Research use only") >= 2
    assert page.text.index("Research use only") < page.text.index("Key numbers")


def test_key_numbers_are_those_of_the_validation(page: Page) -> None:
    results = performance(predictions_of(CENTRES), np.random.SeedSequence(SEED))
    for row in results.itertuples():
        assert auc_text(row.auc, row.auc_ci_low, row.auc_ci_high) in page.text
        assert f"{row.sensitivity_k} of {row.sensitivity_n}" in page.text
    assert headline(results, predictions_of(CENTRES)) in page.text
    assert "in 48 patients of 2 centres." in page.text


def test_comparison_is_that_of_the_table_and_doubts_come_first(page: Page, study: Path) -> None:
    table = read_comparison(study / "comparison")
    assert len(table) == 4 * 3
    for row in table[table["role"] == "baseline"].itertuples():
        limits = (row.difference, row.difference_ci_low, row.difference_ci_high)
        assert difference_text(*limits) in page.text
        assert p_value(row.p_holm) in page.text
    section = page.text[page.text.index("Compared with simpler explanations") :]
    assert section.index("not shown to be better than centre alone") < section.index("Holm")
    assert "better than bag size alone" not in section


def test_page_of_a_study_without_comparison_says_so(folder: Path) -> None:
    shutil.rmtree(folder / "comparison")
    assert "The model was not compared with anything" in report(folder).text


def test_everyone_of_the_manifest_is_accounted_for(page: Page) -> None:
    predictions = predictions_of(CENTRES)
    slides = pd.DataFrame(
        {"patient_id": [*predictions["patient_id"], "P000", "lost"], "state": "made"}
    )
    slides.loc[len(slides) - 1, "state"] = "failed"
    flow = cohort_flow(cohort_of(predictions), {"lost": "no slide"}, predictions, slides)
    assert list(flow.itertuples(index=False, name=None)) == [
        ("development", "Lund", 24, 0, 24, 12, 25, 0, 2400),
        ("external", NASTY, 25, 1, 24, 12, 24, 1, 2400),
        ("external", "Oslo", 24, 0, 24, 12, 24, 0, 2400),
    ]
    assert f"lost {NASTY} no readable slide" in page.text
    assert f'slide "lost-1" (manifest row 74): {NASTY} ends early' in page.text


def test_survival_is_that_of_the_tables(page: Page, study: Path) -> None:
    lock = read_lock(study / "survival" / "cutpoint.json")
    assert f"above the cut-point {lock.value:.4f} form the high-score group" in page.text
    cox = pd.read_csv(study / "survival" / "cox.csv")
    for ratio in cox[cox["hr"].notna()].itertuples():
        assert f"{ratio.hr:.2f} ({ratio.ci_low:.2f} to {ratio.ci_high:.2f})" in page.text
    tests = pd.read_csv(study / "survival" / "logrank.csv")
    assert all(p_value(p) in page.text for p in tests["p"])
    ordered = pd.read_csv(study / "survival" / "concordance.csv")
    for c in ordered[ordered["value"].notna()].itertuples():
        assert f"{c.value:.2f} ({c.ci_low:.2f} to {c.ci_high:.2f})" in page.text
    assert "Methods of the survival analysis" in page.text
    assert "ties by Efron 1977" in page.text


def test_without_endpoint_the_page_says_so(folder: Path) -> None:
    page = report(folder, endpoints=())
    assert "The study names no endpoint" in page.text
    assert "Kaplan-Meier" not in page.source
    assert "Cut-point" not in page.text


def test_each_patient_has_a_row_and_a_story(page: Page) -> None:
    predictions = predictions_of(CENTRES)
    stories = [a for a in page.all("article") if str(a["id"]).startswith("patient-")]
    rows = [row for row in page.all("tr") if "data-story" in row]
    assert len(stories) == len(rows) == len(predictions)
    wrong = [row["data-decided"] for row in rows].count("wrong")
    assert wrong == (predictions["decision"] != predictions["label"]).sum() > 0
    external = predictions.iloc[-1]
    assert f"Score {external['score']:.3f} ± 0.050 · decision" in page.text
    assert f"Score {predictions['score'][0]:.3f} · decision" in page.text


def test_pictures_travel_in_the_page(page: Page) -> None:
    images = page.all("img")
    assert [(i["width"], i["height"], i["loading"]) for i in images] == [
        ("1400", "700", "lazy")
    ] * 2
    missing = page.text.count("No picture was drawn for this patient.")
    assert missing == len(predictions_of(CENTRES)) - 2


def test_page_says_how_it_was_made(page: Page, study: Path) -> None:
    digest = read_bundle(study / "model").digest
    assert digest in [code.get("title") for code in page.all("code")]
    for said in (
        "untrained:timm:resnet18, 3 numbers a patch. Untrained: for trials only.",
        "Attention is not a probability.",
        "0.5000, by youden on out-of-fold scores",
        "model trained with cMIL 0.0.9",
        f'manifest = "{NASTY}"',
    ):
        assert said in page.text


def test_without_explanations_the_page_says_what_to_run(page: Page) -> None:
    assert "Does the map tell the truth? The maps were not checked. Run cmil explain" in page.text


def test_same_study_gives_the_same_bytes(page: Page, study: Path) -> None:
    assert report(study).source == page.source


def test_numbers_of_two_models_are_not_mixed(folder: Path) -> None:
    shutil.rmtree(folder / "model")
    write_bundle(folder / "model")
    with pytest.raises(DataError, match=r'"predictions.csv" is of another model'):
        report(folder)
    digest = read_bundle(folder / "model").digest
    predictions_of(CENTRES).assign(model_digest=digest).to_csv(folder / "predictions.csv")
    with pytest.raises(DataError, match="cut-point is of another model"):
        report(folder)


@pytest.mark.parametrize(
    ("centres", "said"),
    [
        ({"Lund": "development"}, "Out-of-fold AUC 0."),
        ({"Oslo": "external"}, " in 24 patients of 1 centre. At the frozen threshold, "),
        ({"Oslo": "external", "Bern": "external"}, " in 48 patients of 2 centres. At "),
    ],
)
def test_result_in_a_sentence(centres: dict[str, str], said: str) -> None:
    predictions = predictions_of(centres)
    sentence = headline(performance(predictions, np.random.SeedSequence(SEED)), predictions)
    assert said in sentence
    assert ("No external centre" in sentence) == ("Lund" in centres)


def test_result_of_a_centre_with_one_label(folder: Path) -> None:
    table = pd.read_csv(folder / "predictions.csv")
    external = table["split"] == "external"
    table[~external | ((table["centre"] == "Oslo") & (table["label"] == 0))].to_csv(
        folder / "predictions.csv", index=False
    )
    page = report(folder)
    assert "External AUC not estimable in 12 patients of 1 centre, all of one label." in page.text
    assert "patients with metastasis and" not in page.text
    assert "Oslo : AUC: one label only: not estimable." in page.text
    assert "no patient 0 of 0" in page.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (auc_text(0.98765, 0.95, 1.0), "0.988 (95% CI 0.950 to 1.000)"),
        (auc_text(1.0, math.nan, math.nan), "1.000 (95% CI not estimable)"),
        (auc_text(math.nan, math.nan, math.nan), "not estimable"),
        (percent_text(0.9, 0.796, 0.984), "90% (80% to 98%)"),
        (percent_text(math.nan, math.nan, math.nan), "no patient"),
        (p_value(0.00099), "< 0.001"),
        (p_value(0.0123), "0.012"),
        (p_value(0.5), "0.50"),
        (p_value(math.nan), "not estimable"),
        (median_text(21.04, 16.1, math.nan), "21.0 (16.1 to NR)"),
    ],
)
def test_numbers_are_written_one_way(text: str, expected: str) -> None:
    assert text == expected
