"""The explanations of a study: every patient, every map, and what is said of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.attention import write_attention
from cmil.bundle import ModelBundle
from cmil.explanations.explain import (
    Explanations,
    explain,
    read_explanations,
    write_explanations,
)
from cmil.explanations.page import explanation_part, verdict
from cmil.explanations.patient_explanation import explain_patient
from cmil.explanations.settings import ExplanationSettings
from cmil.explanations.summary import ALL
from cmil.patient_bags import PatientBags
from cmil.prediction import predict
from cohorts.errors import DataError, FileFormatError, SettingsError
from cohorts.manifest import Cohort

Toy = tuple[Cohort, Path]
Trained = tuple[ModelBundle, Path]


@pytest.fixture(scope="module")
def attention(
    toy: Toy, toy_bags: PatientBags, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("attention")
    for patient_id, said in predict(trained[0], toy[0], toy_bags):
        write_attention(folder, toy_bags.bags[patient_id], said, trained[0].digest)
    return folder


@pytest.fixture(scope="module")
def planted(toy: Toy, toy_bags: PatientBags, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that says which instance was planted."""
    rows = []
    for bag in toy_bags.bags.values():
        values, first = bag.instances[:, 0].numpy(), 0
        for slide_id, coords in bag.coords.items():
            for (x, y), value in zip(coords, values[first:], strict=False):
                rows.append([slide_id, x, y, value, "far" if value > 5 else "near"])
            first += len(coords)
    path = tmp_path_factory.mktemp("tables") / "seen.csv"
    columns = ["slide_id", "x", "y", "value", "kind"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def explained(toy: Toy, trained: Trained, attention: Path, planted: Path) -> Explanations:
    settings = ExplanationSettings(patch_tables=(planted,))
    folders = {"bags": toy[1], "attention": attention}
    return explain(trained[0], toy[0], **folders, settings=settings, seed=0)


def test_every_patient_has_a_row_for_each_map(explained: Explanations, toy: Toy) -> None:
    table = explained.faithfulness
    assert table["patient_id"].tolist() == [p for p in toy[0].patients.index for _ in range(2)]
    assert set(table["map"]) == {"attention", "contribution"}
    external = table["split"] == "external"
    assert (table["models"] == np.where(external, 3, 1)).all()
    assert table["rank_agreement"].notna().equals(external)
    assert (table["patches"] == 11).all()
    shares = table[["top_1", "top_5", "top_10"]].to_numpy()
    assert (np.diff(shares, axis=1) >= 0).all()
    assert ((shares > 0) & (shares <= 1)).all()


def test_score_follows_contributions_by_which_the_model_decides(explained: Explanations) -> None:
    table = explained.summary.set_index(["map", "patients_of", "measure"])
    for measure in ("deletion_gain", "insertion_gain"):
        row = table.loc["contribution", ALL, measure]
        assert row["patients"] == 24
        assert row["ci_low"] > 0
    assert "contribution map" not in verdict(explained.summary, "attention")
    assert verdict(explained.summary, "contribution").count("the score follows the map") == 2


def test_curves_start_and_end_at_the_whole_bag(explained: Explanations) -> None:
    curves = explained.curves.set_index(["map", "patients_of", "curve", "order", "share"])["mean"]
    of_all = curves["attention", ALL]
    whole = of_all["deletion", "map", 0.0]
    assert of_all["deletion", "random", 0.0] == pytest.approx(whole)
    assert of_all["insertion", "map", 1.0] == pytest.approx(whole)
    assert of_all["insertion", "random", 1.0] == pytest.approx(whole)
    assert len(explained.curves) == 2 * 3 * 2 * 2 * 21


def test_table_of_patches_is_tested_over_patients(explained: Explanations) -> None:
    looks = explained.enrichment.set_index("measure")
    # Negative patients have no planted patch, so the class does not vary in them.
    assert looks.loc["seen: kind = far", "patients"] == 12
    assert looks.loc["seen: kind = near", "patients"] == 12
    of_patients = explained.enrichment_patients.set_index("measure")["difference"]
    assert looks.loc["seen: kind = far", "difference"] == pytest.approx(
        of_patients["seen: kind = far"].mean()
    )
    assert looks.loc["seen: value", "patients"] == 24
    assert set(explained.enrichment_patients["map"]) == {"attention"}


def test_same_seed_same_tables_whoever_else_is_there(
    explained: Explanations, toy: Toy, trained: Trained, attention: Path
) -> None:
    folders = {"bags": toy[1], "attention": attention}
    alone = explain(
        trained[0],
        toy[0].restricted_to(["P19"]),
        **folders,
        settings=ExplanationSettings(),
        seed=0,
    )
    among = explained.faithfulness[explained.faithfulness["patient_id"] == "P19"]
    pd.testing.assert_frame_equal(alone.faithfulness, among.reset_index(drop=True))


def test_tables_are_read_as_they_were_written(explained: Explanations, tmp_path: Path) -> None:
    paths = write_explanations(tmp_path, explained)
    assert sorted(path.name for path in paths) == [
        "curves.csv",
        "enrichment.csv",
        "enrichment_patients.csv",
        "faithfulness.csv",
        "summary.csv",
    ]
    again = read_explanations(tmp_path)
    pd.testing.assert_frame_equal(again.summary, explained.summary)
    paths[0].unlink()
    with pytest.raises(FileFormatError, match=r"does not exist; run cmil explain"):
        read_explanations(tmp_path)


def test_page_says_of_each_map_what_was_found(explained: Explanations) -> None:
    part = explanation_part(explained)
    assert part.shown == "attention"
    assert list(part.curves) == ["attention", "contribution"]
    assert "<svg" in part.curves["attention"]
    assert set(part.held) == set(explained.faithfulness["patient_id"])
    assert part.held["P19"].startswith("the top 1%, 5% and 10% of patches hold ")
    gains = [row for row in part.rows if row[0].startswith("Deletion")]
    assert [row[1] for row in gains] == [ALL, "decided metastasis", "decided no metastasis"]


def test_table_of_other_slides_is_refused(
    toy: Toy, trained: Trained, attention: Path, tmp_path: Path
) -> None:
    (tmp_path / "cells.csv").write_text("slide_id,x,y,blasts\nelsewhere,0,0,1\n")
    settings = ExplanationSettings(patch_tables=(tmp_path / "cells.csv",))
    folders = {"bags": toy[1], "attention": attention}
    with pytest.raises(DataError, match='no row of patch table "cells" is a patch of a bag'):
        explain(trained[0], toy[0], **folders, settings=settings, seed=0)


def test_annotations_of_other_slides_are_refused(
    toy: Toy, trained: Trained, attention: Path, tmp_path: Path
) -> None:
    (tmp_path / "slide-1.geojson").write_text("[]")
    folders = {"bags": toy[1], "attention": attention}
    settings = ExplanationSettings(annotations=tmp_path)
    with pytest.raises(DataError, match="is named after a slide with a bag"):
        explain(trained[0], toy[0], **folders, settings=settings, seed=0)
    with pytest.raises(SettingsError, match="there are areas without a class only"):
        of_class = ExplanationSettings(annotations=tmp_path, annotation_class="tumor")
        explain(trained[0], toy[0], **folders, settings=of_class, seed=0)


def test_map_is_compared_with_the_truth_where_it_is_known(
    trained: Trained, toy_bags: PatientBags
) -> None:
    bag = toy_bags.bags["P19"]
    values = bag.instances[:, 0].numpy()
    truth = (values > 5).astype(float)
    unknown = np.where(np.arange(11) < 3, np.nan, truth)

    def worth(truth: np.ndarray) -> dict[str, float]:
        found = explain_patient(
            trained[0],
            "P19",
            bag,
            {"contribution": values},
            measures={},
            truth=truth,
            rng=np.random.default_rng(0),
        )
        return dict(found.worth["contribution"])

    assert worth(truth)["truth_auc"] == 1
    assert worth(truth)["marked_patches"] == 1
    assert np.isnan(worth(truth * 0)["truth_auc"])
    assert worth(truth * 0)["marked_patches"] == 0
    assert np.isnan(worth(np.full(11, np.nan))["marked_patches"])
    assert worth(unknown)["marked_patches"] == truth[3:].sum()


def test_models_without_a_map_of_their_own_are_compared_by_attribution(
    trained: Trained, toy_bags: PatientBags
) -> None:
    bag = toy_bags.bags["P20"]
    found = explain_patient(
        replace(trained[0]),
        "P20",
        bag,
        {"attribution": bag.instances[:, 0].numpy()},
        measures={},
        truth=np.full(11, np.nan),
        rng=np.random.default_rng(0),
    )
    assert found.worth["attribution"]["rank_agreement"] > 0.3
