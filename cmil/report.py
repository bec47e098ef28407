"""The result page: one file that a study's readers open, print and pass on.

It shows what the stages left in a folder and computes no statistic of its own.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from cmil import __version__
from cmil.attention import MapKind, read_attention
from cmil.bundle import read_bundle
from cmil.comparison.page import comparison_part, difference_text
from cmil.explanations.explain import read_explanations
from cmil.explanations.page import explanation_part, mean_text
from cmil.figures import Picture, inline_picture, inline_svg, roc_figure, score_figure, score_points
from cmil.pages import page_templates
from cmil.pictures import picture_path
from cmil.prediction import read_predictions
from cmil.survival_page import cutpoint_text, endpoint_part, methods_paragraphs
from cmil.training.curves import CURVES, curve_figure
from cmil.validation import cohorts_of, performance, roc_curves
from cohorts.errors import DataError
from cohorts.files import write_text
from cohorts.manifest import Cohort
from cohorts.strata import DEVELOPMENT, POOLED
from survival import SurvivalResults, read_results
from survival.print_numbers import estimate_text, p_value


def write_report(
    out: Path,
    *,
    title: str,
    cohort: Cohort,
    excluded: Mapping[str, str],
    failed_slides: Sequence[str],
    endpoints: Sequence[str],
    settings_text: str,
    encoder_note: str,
) -> Path:
    """Write `out/index.html`, which needs no other file.

    Parameters
    ----------
    out
        Folder of the study: `predictions.csv`, `model/`, `bags/slides.csv` and, where they are,
        `attention/`, `explanations/`, `comparison/`, `survival/` and
        `heatmaps/<patient_id>.png`.
    title
        Heading of the page.
    cohort
        All patients of the manifest.
    excluded
        patient_id -> why the patient is not analysed.
    failed_slides
        One line for each slide that could not be read.
    endpoints
        Names of the study's endpoints; `survival/` may hold others from earlier settings.
    settings_text
        The study's settings, as they were given.
    encoder_note
        What a reader must know of the encoder.

    Raises
    ------
    DataError
        If a label is missing, or predictions, comparison or cut-point are of another model than
        the bundle.
    FileFormatError
        If a file is missing or damaged.
    """
    predictions = read_predictions(out / "predictions.csv")
    bundle = read_bundle(out / "model")
    survival = read_results(out / "survival") if endpoints else None
    check_one_model({bundle.digest}, predictions, survival)
    results = performance(predictions, np.random.SeedSequence(bundle.facts.seed))
    slides = pd.read_csv(out / "bags" / "slides.csv", dtype=str, keep_default_na=False)
    explained = None
    if (out / "explanations").is_dir():
        explained = explanation_part(read_explanations(out / "explanations"))
    words = (
        *(auc_text, cutpoint_text, difference_text, percent_text),
        *(p_value, median_text, mean_text),
    )
    environment = page_templates({word.__name__: word for word in words})
    script = environment.get_template("report.js").render().encode()
    page = environment.get_template("report.html.j2").render(
        title=title,
        result=headline(results, predictions),
        results=list(results.itertuples()),
        flow=list(cohort_flow(cohort, excluded, predictions, slides).itertuples()),
        excluded=[(i, cohort.patients.loc[i, "centre"], why) for i, why in excluded.items()],
        failed_slides=failed_slides,
        roc_curves=_roc_curves(results, predictions),
        score_plots=_score_plots(predictions, bundle.facts.threshold),
        comparison=comparison_part(out / "comparison", bundle.digest),
        cutpoint=survival.cutpoint if survival else None,
        methods=methods_paragraphs(survival.methods) if survival else [],
        endpoints=[endpoint_part(survival, name) for name in endpoints] if survival else [],
        explained=explained,
        shown=map_shown(out / "attention"),
        predictions=list(predictions.itertuples()),
        pictures=pictures_of(out / "heatmaps", predictions["patient_id"].tolist()),
        facts=bundle.facts,
        curves=training_curves(out / "model" / CURVES),
        model_digest=bundle.digest,
        settings_text=settings_text,
        encoder_note=encoder_note,
        version=__version__,
        script_digest=base64.b64encode(hashlib.sha256(script).digest()).decode(),
    )
    write_text(out / "index.html", page)
    return out / "index.html"


def headline(results: pd.DataFrame, predictions: pd.DataFrame) -> str:
    """Say the study's result in a sentence or two, of the external cohort where there is one.

    Parameters
    ----------
    results
        `cmil.validation.performance` of `predictions`; it puts the widest external cohort last.
    """
    row = results.iloc[-1]
    external = row["cohort"] != DEVELOPMENT
    of_split = predictions[predictions["split"] == ("external" if external else "development")]
    centres = of_split["centre"].nunique()
    auc = auc_text(row["auc"], row["auc_ci_low"], row["auc_ci_high"])
    first = (
        f"{'External' if external else 'Out-of-fold'} AUC {auc} in {row['patients']} patients of "
        f"{centres} {'centre' if centres == 1 else 'centres'}"
        f"{', all of one label' if row['positives'] in (0, row['patients']) else ''}."
    )
    if not external:
        return f"{first} No external centre has been scored."
    right = [
        f"{row[f'{measure}_k']} of {row[f'{measure}_n']} patients {whom} metastasis"
        for measure, whom in (("sensitivity", "with"), ("specificity", "without"))
        if row[f"{measure}_n"]
    ]
    return f"{first} At the frozen threshold, {' and '.join(right)} were classified correctly."


def cohort_flow(
    cohort: Cohort, excluded: Mapping[str, str], predictions: pd.DataFrame, slides: pd.DataFrame
) -> pd.DataFrame:
    """Count patients, slides and patches from the manifest to the analysis, centre by centre.

    Parameters
    ----------
    cohort
        All patients of the manifest.
    excluded
        patient_id -> why the patient is not analysed.
    predictions
        One row for each patient analysed.
    slides
        `patient_id, state` of every slide.

    Returns
    -------
    DataFrame
        One row a centre of a split: `split, centre`, the patients `in_manifest`, `excluded`,
        `analysed` and, of these, `positive`; `slides_read`, `slides_failed`; `patches`.
    """
    scored = predictions.set_index("patient_id")
    patients = cohort.patients.index
    failed = slides["state"] == "failed"
    counts = cohort.patients[["split", "centre"]].assign(
        in_manifest=1,
        excluded=patients.isin(list(excluded)).astype(int),
        analysed=patients.isin(scored.index).astype(int),
        positive=scored["label"].reindex(patients, fill_value=0),
        slides_read=slides["patient_id"][~failed].value_counts().reindex(patients, fill_value=0),
        slides_failed=slides["patient_id"][failed].value_counts().reindex(patients, fill_value=0),
        patches=scored["n_patches"].reindex(patients, fill_value=0),
    )
    return counts.groupby(["split", "centre"]).sum().reset_index()


def auc_text(auc: float, ci_low: float | None, ci_high: float | None) -> str:
    """Give an AUC with its interval."""
    return estimate_text(auc, ci_low, ci_high, "z.3f")


def percent_text(value: float, ci_low: float, ci_high: float) -> str:
    """Give a proportion with its interval in percent."""
    if pd.isna(value):
        return "no patient"
    return f"{value:.0%} ({ci_low:.0%} to {ci_high:.0%})"


def median_text(median: float, ci_low: float, ci_high: float) -> str:
    """Give a median time with its interval; NaN is not reached (NR)."""
    middle, low, high = ("NR" if pd.isna(t) else f"{t:.1f}" for t in (median, ci_low, ci_high))
    return f"{middle} ({low} to {high})"


def check_one_model(
    digests: Set[str], predictions: pd.DataFrame, survival: SurvivalResults | None
) -> None:
    """Refuse predictions or a cut-point of another model than the bundle.

    Parameters
    ----------
    digests
        Of the bundle; under a lock there are two, of which one travels.

    Raises
    ------
    DataError
        Naming the command that makes them anew.
    """
    if not predictions["model_digest"].isin(digests).all():
        raise DataError('"predictions.csv" is of another model than "model"; run cmil predict')
    if survival and survival.cutpoint.model_digest not in digests:
        raise DataError('the cut-point is of another model than "model"; run cmil survival')


def training_curves(path: Path) -> Markup | None:
    """Draw how the trainings went; a bundle of an earlier release does not say."""
    if not path.exists():
        return None
    return inline_svg(curve_figure(pd.read_csv(path)), "Loss and discrimination by epoch")


def _roc_curves(results: pd.DataFrame, predictions: pd.DataFrame) -> Mapping[str, Markup]:
    curves = roc_curves(predictions)
    drawn = {}
    for _, row in results[results["cohort"].isin(list(curves))].iterrows():
        name = row["cohort"]
        auc = auc_text(row["auc"], row["auc_ci_low"], row["auc_ci_high"])
        drawn[name] = inline_svg(
            roc_figure(curves[name], row, auc), f"ROC curve, {name}: AUC {auc}"
        )
    return drawn


def _score_plots(predictions: pd.DataFrame, threshold: float) -> Mapping[str, Markup]:
    drawn = {}
    for name, patients in cohorts_of(predictions):
        if name != POOLED:  # its points are those of its centres
            figure = score_figure(score_points(patients["score"], patients["label"]), threshold)
            drawn[name] = inline_svg(figure, f"Scores by label, {name}")
    return drawn


def map_shown(attention: Path) -> MapKind:
    """Which map the pictures show; all attention files of a model hold the same."""
    files = sorted(attention.glob("*.h5"))
    return read_attention(files[0]).kind if files else "attention"


def pictures_of(folder: Path, patients: Sequence[str]) -> Mapping[str, Picture]:
    """Pictures of those who have one; in threads, as WebP is made outside Python's lock."""
    paths = {p: path for p in patients if (path := picture_path(folder, p)).exists()}
    with ThreadPoolExecutor() as pool:
        return dict(zip(paths, pool.map(inline_picture, paths.values()), strict=True))
