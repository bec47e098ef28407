"""Figures draw what the tables hold, and stand in a page without another file."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cmil.figures import (
    inline_picture,
    inline_svg,
    plot_roc,
    plot_scores,
    roc_figure,
    score_figure,
    score_points,
)
from cmil.validation import performance
from cmil.validation.discrimination import roc_curve

SCORES = [0.1, 0.2, 0.2, 0.35, 0.6, 0.8, 0.9, 0.9]
LABELS = [0, 0, 0, 1, 0, 1, 1, 1]


@pytest.fixture
def operating() -> pd.Series:
    predictions = pd.DataFrame({"score": SCORES, "label": LABELS, "centre": "Bern"})
    predictions["patient_id"] = predictions.index.astype(str)
    predictions = predictions.assign(split="external", score_kind="external")
    predictions["decision"] = (predictions["score"] >= 0.5).astype(int)
    return performance(predictions, np.random.SeedSequence(0)).iloc[0]


def test_roc_is_the_curve_of_the_table_with_the_frozen_threshold_on_it(
    operating: pd.Series,
) -> None:
    curve, ax = roc_curve(SCORES, LABELS), Figure().subplots()
    assert plot_roc(curve, operating, "0.900 (95% CI 0.7 to 1.0)", ax) is ax
    _, drawn, across, upright, point = ax.lines
    np.testing.assert_array_equal(drawn.get_xdata(), 1 - curve["specificity"])
    np.testing.assert_array_equal(drawn.get_ydata(), curve["sensitivity"])
    assert point.get_xydata().tolist() == [[0.25, 0.75]]
    assert sorted(across.get_xdata()) == pytest.approx(
        [1 - operating["specificity_ci_high"], 1 - operating["specificity_ci_low"]]
    )
    assert upright.get_ydata() == pytest.approx(
        [operating["sensitivity_ci_low"], operating["sensitivity_ci_high"]]
    )
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["AUC 0.900\n(95% CI 0.7 to 1.0)", "frozen threshold"]


def test_no_point_hides_another_and_none_leaves_its_row() -> None:
    scores, labels = np.repeat([0.5, 0.501, 0.9], [30, 10, 1]), np.repeat([1, 0], [40, 1])
    points = score_points(scores, labels)
    assert points[["score", "label"]].equals(pd.DataFrame({"score": scores, "label": labels}))
    crowd = points["offset"][:40]
    assert crowd.nunique() == 40
    assert crowd.mean() == pytest.approx(0)
    assert crowd.abs().max() < 0.4
    assert points["offset"].iloc[-1] == 0


def test_every_patient_is_a_point_in_the_row_of_its_label() -> None:
    ax = plot_scores(score_points(SCORES, LABELS), 0.5, Figure().subplots())
    threshold, *rows = ax.lines
    assert list(threshold.get_xdata()) == [0.5, 0.5]
    assert [text.get_text() for text in ax.texts] == ["threshold 0.500"]
    for label, row in enumerate(rows):
        expected = [s for s, truth in zip(SCORES, LABELS, strict=True) if truth == label]
        assert row.get_xdata().tolist() == expected
        assert (np.abs(row.get_ydata() - label) < 0.5).all()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["no metastasis", "metastasis"]


def test_a_cohort_of_one_label_has_one_empty_row() -> None:
    ax = plot_scores(score_points([0.2, 0.3], [0, 0]), 0.5, Figure().subplots())
    assert [len(line.get_xdata()) for line in ax.lines[1:]] == [2, 0]


def test_svg_is_an_element_with_its_text_as_text(operating: pd.Series) -> None:
    figure = roc_figure(roc_curve(SCORES, LABELS), operating, "0.9")
    svg = inline_svg(figure, 'ROC of <script>"$x$"')
    assert svg.startswith(
        '<svg role="img" aria-label="ROC of &lt;script&gt;&#34;$x$&#34;" xmlns:xlink'
    )
    assert svg.rstrip().endswith("</svg>")
    assert ">1 - specificity</text>" in svg
    assert "<script" not in svg
    assert svg.count("<svg") == 1


def test_svgs_share_no_identifier_and_are_the_same_each_time() -> None:
    def drawn(description: str) -> str:
        return inline_svg(score_figure(score_points(SCORES, LABELS), 0.5), description)

    assert drawn("first") == drawn("first")
    first, second = (set(re.findall(r'id="([^"]+)"', drawn(d))) for d in ("first", "second"))
    assert first
    assert not first & second


@pytest.mark.parametrize(("size", "inside"), [((2800, 700), (1400, 350)), ((300, 200), (300, 200))])
def test_picture_is_webp_of_at_most_1400_px(
    tmp_path: Path, size: tuple[int, int], inside: tuple[int, int]
) -> None:
    Image.new("RGBA", size, "purple").save(tmp_path / "picture.png")
    picture = inline_picture(tmp_path / "picture.png")
    assert (picture.width, picture.height) == inside
    encoded = picture.uri.removeprefix("data:image/webp;base64,")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as decoded:
        assert (decoded.format, decoded.size) == ("WEBP", inside)
