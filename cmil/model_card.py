"""`MODEL_CARD.md`: what a bundle is, for whom opens its folder later."""

from collections.abc import Mapping
from pathlib import Path

from cmil.bundle import ModelBundle
from cmil.histograms.settings import MEMBERS
from cohorts.files import write_text
from survival.print_numbers import estimate_text

CARD = "MODEL_CARD.md"
RESEARCH_USE_ONLY = "Not a medical device; no decision on a patient may rest on it."

# The classifier is fitted anew from them wherever the bundle is read.
_PATIENTS_INSIDE = """
The weights hold, without names, what was counted of each training patient, and the label or the
time and event. Pass the file on as you may pass on these.
"""


def learnt_by(bundle: ModelBundle) -> str:
    """Name what the model has learnt: a column, or an endpoint."""
    return bundle.facts.mil.endpoint if bundle.facts.endpoint else bundle.facts.label


def bundle_rows(bundle: ModelBundle) -> Mapping[str, str]:
    """Say how the model was made and what it reached, from the bundle's own facts."""
    facts, oof = bundle.facts, bundle.facts.out_of_fold
    folds = ", ".join("none" if auc is None else f"{auc:.3f}" for auc in oof.auc_of_folds)
    fitted = facts.calibration.intercept
    each = fitted if isinstance(fitted, tuple) else (fitted,)
    intercept = ", ".join(f"{value:.4f}" for value in each)
    return {
        "development patients": f"{oof.patients}, {oof.positives} of them positive",
        "centres": ", ".join(facts.centres),
        f"out-of-fold {oof.measure}": estimate_text(
            oof.auc, oof.auc_ci_low, oof.auc_ci_high, "z.3f"
        ),
        f"{oof.measure} of the single folds": folds,
        "threshold": f"{facts.threshold:.4f} ({facts.threshold_method}, on out-of-fold scores)",
        "calibration": f"slope {facts.calibration.slope:.4f}, intercept {intercept} "
        f"({facts.calibration.link}, on out-of-fold logits)",
        "seed": str(facts.seed),
        "model digest": bundle.digest,
        "development cohort digest": facts.cohort_digest,
        "cMIL": facts.software_version,
    }


def write_model_card(bundle: ModelBundle, folder: Path) -> None:
    """Write the card beside the bundle, from the bundle's own facts."""
    learnt, aggregator = learnt_by(bundle), bundle.facts.mil.aggregator.replace("_", " ")
    write_text(
        folder / CARD,
        f"""# Model card: {learnt}

**Research use only.** {RESEARCH_USE_ONLY}

Predicts "{learnt}" of a patient from the embeddings of bone marrow smear patches:
{len(bundle.models)} {aggregator} models, one a fold, whose logits are
averaged and calibrated.

| | |
|---|---|
{_lines(bundle_rows(bundle))}

It serves bags of this encoder and preprocessing only:

| | |
|---|---|
{_lines(bundle.facts.encoding)}

Out-of-fold numbers describe patients of the centres above. How it does elsewhere, only external
validation tells.
{_PATIENTS_INSIDE if bundle.facts.mil.aggregator in MEMBERS else ""}""",
    )


def _lines(rows: Mapping[str, object]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())
