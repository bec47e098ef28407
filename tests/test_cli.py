"""The commands as a user runs them, on a small study drawn for the purpose."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cohorts.files import digest_of_file


def digest_relevant(out: Path) -> dict[str, bytes]:
    """Everything that must not differ between two runs of the same study."""
    names = ["predictions.csv", "validation/performance.csv"]
    names += ["model/model.safetensors", "model/model.json"]
    files = [out / name for name in names]
    files += sorted((out / "bags").glob("*.h5")) + sorted((out / "attention").glob("*.h5"))
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def test_help_needs_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, cmil.cli; print(sorted({'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_run_separates_external_patients_and_shows_them(finished_study) -> None:
    _, out = finished_study
    performance = pd.read_csv(out / "validation" / "performance.csv").set_index("cohort")
    assert performance.loc["external, pooled", "auc"] > 0.9
    page = (out / "index.html").read_text()
    assert "Research use only" in page and "B03" in page
    assert {p.name for p in (out / "heatmaps").glob("*.png")} >= {"A00.png", "C05.png"}
    records = {p.parent.name for p in out.rglob("run.json")}
    stages = {"bags", "model", "attention", "explanations", "validation", "comparison"}
    assert records == stages | {"survival", "heatmaps"}
    assert "Does the map tell the truth?" in page
    assert "The maps were not checked" not in page


def test_second_run_does_nothing_again(finished_study, cmil_here, tmp_path) -> None:
    study, out = finished_study
    out = shutil.copytree(out, tmp_path / "out")
    before = {
        p: p.stat().st_mtime_ns
        for p in out.rglob("*")
        if p.suffix in {".h5", ".safetensors", ".png"}
    }
    done = cmil_here("run", study.settings, "--out", out, "--threads", 2)
    assert done.returncode == 0
    for stage in ("train", "predict", "explain", "survival", "heatmap"):
        assert f"{stage}: up to date" in done.stderr
    assert "0 bags made, 24 up to date" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_changed_inputs_redo_what_they_touch_and_no_more(
    finished_study, cmil_here, caplog, tmp_path
) -> None:
    study, out = finished_study
    folder, copy = tmp_path / "study", tmp_path / "out"
    shutil.copytree(study.folder, folder)
    shutil.copytree(out, copy)
    manifest = folder / "cohort.csv"
    lines = manifest.read_text().splitlines()
    lines[-1] = ",".join([*lines[-1].split(",")[:6], "99.9", "0", "12"])  # an outcome corrected
    manifest.write_text("\n".join(lines) + "\n")
    done = cmil_here("run", folder / "study.toml", "--out", copy)
    assert done.returncode == 0, done.stderr
    assert "train: up to date" in done.stderr and "predict: up to date" in done.stderr
    assert "survival: up to date" not in done.stderr
    settings = (folder / "study.toml").read_text().replace("epochs = 30", "epochs = 31")
    (folder / "study.toml").write_text(settings)
    for stage in ("extract", "train", "predict", "survival"):
        done = cmil_here(stage, folder / "study.toml", "--out", copy)
        assert done.returncode == 0, done.stderr
        assert ("up to date" in done.stderr) == (stage == "extract")
    assert "cut-point re-fitted" in caplog.text


def test_same_seed_gives_identical_files_and_threads_hardly_matter(
    finished_study, scores_only, cmil, cmil_here, tmp_path
) -> None:
    study, out = finished_study
    settings = scores_only(study)
    again = cmil("run", settings, "--out", tmp_path / "again", "--threads", 2)
    assert again.returncode == 0, again.stderr
    assert digest_relevant(tmp_path / "again") == digest_relevant(out)
    for stage in ("extract", "train", "predict"):
        single = cmil_here(stage, settings, "--out", tmp_path / "single", "--threads", 1)
        assert single.returncode == 0, single.stderr
    scores = [pd.read_csv(o / "predictions.csv")["score"] for o in (out, tmp_path / "single")]
    assert (scores[0] - scores[1]).abs().max() < 0.01


def test_failing_slide_is_listed_and_stops_nobody_else(
    small_study, scores_only, cmil_here, tmp_path
) -> None:
    broken = small_study.images_of("B01")[0]
    broken.write_bytes(broken.read_bytes()[:200])
    done = cmil_here("run", scores_only(small_study), "--out", tmp_path / "out", "--threads", 2)
    assert done.returncode == 1
    assert 'error: slide "B01-1" (manifest row 15): image "field 0.png"' in done.stderr
    assert "Traceback" not in done.stderr
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert len(predictions) == 23 and "B01" not in set(predictions["patient_id"])
    assert "B01" in (tmp_path / "out" / "index.html").read_text()


def test_stages_run_one_by_one_with_files_made_elsewhere(
    finished_study, cmil_here, tmp_path
) -> None:
    study, out = finished_study
    mine = tmp_path / "mine"
    for stage in (
        ["train", "--bags", out / "bags", "--threads", 2],
        ["predict", "--bags", out / "bags", "--threads", 2],
        ["explain", "--bags", out / "bags", "--threads", 2],
        ["validate", "--json"],
        ["survival", "--json"],
        ["heatmap", "--bags", out / "bags", "--patient", "B03", "--export", "geojson"],
    ):
        done = cmil_here(stage[0], study.settings, "--out", mine, *stage[1:])
        assert done.returncode == 0, done.stderr
        if stage[0] == "validate":
            performance = json.loads(done.stdout)["performance"]
            assert performance[-1]["cohort"] == "external, pooled"
        if stage[0] == "survival":
            assert json.loads(done.stdout)["cutpoint"]["n"] == 12
    assert (mine / "predictions.csv").read_bytes() == (out / "predictions.csv").read_bytes()
    assert {p.name for p in (mine / "heatmaps").iterdir()} == {"B03.png", "B03-1"}
    fields = sorted(p.name for p in (mine / "heatmaps" / "B03-1").iterdir())
    assert fields == [f"field {i}.png.geojson" for i in range(3)]


def test_external_patients_alone_are_scored_by_a_model_from_elsewhere(
    finished_study, cmil_here, tmp_path
) -> None:
    study, out = finished_study
    lines = study.manifest.read_text().splitlines()
    external = study.folder / "external.csv"
    external.write_text("\n".join([lines[0], *(li for li in lines if ",external," in li)]) + "\n")
    options = ["--cohort", external, "--bags", out / "bags", "--model", out / "model"]
    done = cmil_here("predict", study.settings, "--out", tmp_path, *options, "--threads", 2)
    assert done.returncode == 0, done.stderr
    alone = pd.read_csv(tmp_path / "predictions.csv").set_index("patient_id")["score"]
    together = pd.read_csv(out / "predictions.csv").set_index("patient_id")["score"]
    assert len(alone) == 12
    pd.testing.assert_series_equal(alone, together[alone.index], atol=1e-6)


def test_cohort_check_counts_centres(small_study, cmil_here) -> None:
    done = cmil_here("cohort", "check", small_study.settings, "--json")
    assert done.returncode == 0, done.stderr
    centres = json.loads(done.stdout)["centres"]
    assert [(c["centre"], c["patients"], c["positive"]) for c in centres] == [
        ("A", 12, 6),
        ("B", 6, 3),
        ("C", 6, 3),
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("A01,A01-1,images/A01,A,", "A00,A01-1,images/A01,B,", 'row 3, column "centre"'),
        (",development,1,", ",development,,", 'row 3, column "metastasis"'),
        ("B00,B00-1,images/B00,B,external", "A00,B00-1,images/B00,A,external", "never in both"),
        ("images/C05", "images/C99", 'row 25, column "path"'),
    ],
)
def test_wrong_manifest_is_one_line_that_names_row_and_column(
    small_study, cmil_here, old: str, new: str, says: str
) -> None:
    text = small_study.manifest.read_text()
    small_study.manifest.write_text(text.replace(old, new, 1))
    done = cmil_here("cohort", "check", small_study.settings)
    assert done.returncode == 1 and not done.stdout
    assert any(says in line for line in done.stderr.splitlines())
    assert all(line.startswith("error: cohort.csv row") for line in done.stderr.splitlines())


def test_unknown_setting_names_the_nearest(small_study, cmil_here, tmp_path) -> None:
    small_study.settings.write_text(small_study.settings.read_text().replace("epochs", "epoch"))
    done = cmil_here("run", small_study.settings, "--out", tmp_path / "out")
    assert done.returncode == 1
    expected = 'error: study.toml: mil.epoch is not a setting; did you mean "epochs"?\n'
    assert done.stderr == expected
    debugged = cmil_here("--debug", "run", small_study.settings, "--out", tmp_path / "out")
    assert "Traceback" in debugged.stderr and debugged.stderr.endswith(expected)


def test_outcomes_survival_would_refuse_stop_the_run_before_extraction(
    small_study, cmil_here, tmp_path
) -> None:
    text = small_study.manifest.read_text().splitlines()
    fields = text[1].split(",")
    fields[6], fields[7] = "-3", "2"
    small_study.manifest.write_text("\n".join([text[0], ",".join(fields), *text[2:]]) + "\n")
    for command in (["cohort", "check"], ["run"]):
        out = ["--out", tmp_path / "out"] if command == ["run"] else []
        done = cmil_here(*command, small_study.settings, *out)
        assert done.returncode == 1
        assert [line.split('"')[1] for line in done.stderr.splitlines()] == [
            "os_months",
            "os_event",
        ]
    assert not (tmp_path / "out").exists()


def test_predicting_for_another_development_cohort_is_refused(
    finished_study, cmil_here, tmp_path
) -> None:
    study, out = finished_study
    lines = study.manifest.read_text().replace(
        "A00,A00-1,images/A00,A,development,0", "A00,A00-1,images/A00,A,development,1"
    )
    corrected = study.folder / "corrected.csv"
    corrected.write_text(lines)
    options = ["--cohort", corrected, "--bags", out / "bags", "--model", out / "model"]
    done = cmil_here("predict", study.settings, "--out", tmp_path, *options)
    assert done.returncode == 1
    assert "was trained on other development patients" in done.stderr
    assert not (tmp_path / "predictions.csv").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--refilter", "--shard", "1/2"], "--refilter does not go with --shard"),
        (["--refilter", "--coords", "."], "--refilter does not go with --coords"),
        (["--refilter", "--retry-failed"], "--refilter does not go with --retry-failed"),
        (["--refilter", "--engine", "ray"], "--refilter does not go with --engine"),
        (["--refilter", "--address", "host:1"], "--refilter does not go with --address"),
        (["--refilter", "--model", "."], "--refilter does not go with --model"),
        (["--address", "host:1"], "--address is for --engine ray"),
        (["--dry-run", "--preview"], "--dry-run does not go with --preview"),
        (["--coords", "nowhere"], '--coords "nowhere" is not a folder'),
        (["--coords", "nowhere", "--dry-run"], '--coords "nowhere" is not a folder'),
    ],
)
def test_options_that_contradict_each_other_are_one_line(
    small_study, tmp_path, cmil_here, options: list[str], says: str
) -> None:
    done = cmil_here("extract", small_study.settings, "--out", tmp_path / "out", *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {says}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("setting", "name"),
    [('stain = "grey-world"', "stain"), ("min_stained = 0.5", "min_stained")],
)
def test_settings_that_are_not_a_models_are_refused_before_a_slide_is_read(
    finished_study, small_study, tmp_path, cmil_here, setting: str, name: str, dry_run
) -> None:
    _, out = finished_study
    text = small_study.settings.read_text().replace("patch_px = 48", f"patch_px = 48\n{setting}")
    small_study.settings.write_text(text)
    asked = ["--out", tmp_path / "out", *dry_run, "--model", out / "model"]
    (line,) = cmil_here("extract", small_study.settings, *asked).stderr.splitlines()
    assert line.startswith(f"error: extraction.{name} asks for {name} ")
    assert not (tmp_path / "out").exists()


def test_the_record_of_a_refiltered_study_is_true(finished_study, cmil_here, tmp_path) -> None:
    study, out = finished_study
    copy, settings = tmp_path / "out", study.folder / "strict.toml"
    shutil.copytree(out, copy)
    text = study.settings.read_text().replace('"stain-filters"', '"timm:resnet18"')
    settings.write_text(text.replace("[mil]", "[extraction.keep]\nmin_stained = 0.1\n\n[mil]"))
    done = cmil_here("extract", settings, "--out", copy, "--refilter", "--threads", 2)
    settings.unlink()
    assert done.returncode == 0, done.stderr
    record = json.loads((copy / "bags" / "run.json").read_text())
    assert record["settings"]["keep"]["min_stained"] == 0.1
    assert record["settings"]["encoder"] == "stain-filters"  # what the bags are of
    assert record["outputs"]["bags/slides.csv"] == digest_of_file(copy / "bags" / "slides.csv")


def test_report_of_a_finished_study_is_whole(finished_study, cmil_here, tmp_path) -> None:
    study, finished = finished_study
    out = shutil.copytree(finished, tmp_path / "out")
    done = cmil_here("report", study.settings, "--out", out)
    assert done.returncode == 0, done.stderr
    assert (out / "report" / "report.pdf").read_bytes().startswith(b"%PDF")
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    assert "not locked" in page
    assert "Kaplan-Meier curves of overall survival" in page
    (out / "validation" / "discrimination.csv").unlink()
    refused = cmil_here("report", study.settings, "--out", out)
    assert refused.returncode == 1
    assert "run cmil validate" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
