"""`MODEL_CARD.md`: what a bundle is, for whom opens its folder later."""

from pathlib import Path

from cmil.bundle import ModelBundle
from cohorts.files import write_text
from survival.print_numbers import estimate_text

CARD = "MODEL_CARD.md"


def write_model_card(bundle: ModelBundle, folder: Path) -> None:
    """Write the card beside the bundle, from the bundle's own facts."""
    write_text(folder / CARD, card_text(bundle))


def card_text(bundle: ModelBundle, validation: str = "") -> str:
    """Say what a bundle is, as Markdown, and end with what its validation found, if there was one.

    Parameters
    ----------
    validation
        Markdown.
    """
    facts, oof = bundle.facts, bundle.facts.out_of_fold
    encoding = "\n".join(f"| {name} | {value} |" for name, value in facts.encoding.items())
    folds = ", ".join("none" if auc is None else f"{auc:.3f}" for auc in oof.auc_of_folds)
    reached = estimate_text(oof.auc, oof.auc_ci_low, oof.auc_ci_high, "z.3f")
    learnt = facts.mil.endpoint if facts.endpoint else facts.label
    slope = f"{facts.calibration.slope:.4f}"
    fitted = facts.calibration.intercept
    each = fitted if isinstance(fitted, tuple) else (fitted,)
    intercept = ", ".join(f"{value:.4f}" for value in each)
    known = validation or (
        "Out-of-fold numbers describe patients of the centres above. How it does elsewhere, only "
        "external\nvalidation tells."
    )
    return f"""# Model card: {learnt}

**Research use only.** Not a medical device; no decision on a patient may rest on it.

Predicts "{learnt}" of a patient from the embeddings of bone marrow smear patches:
{len(bundle.models)} {facts.mil.aggregator.replace("_", " ")} models, one a fold, whose logits are
averaged and calibrated.

| | |
|---|---|
| development patients | {oof.patients}, {oof.positives} of them positive |
| centres | {", ".join(facts.centres)} |
| out-of-fold {oof.measure} | {reached} |
| {oof.measure} of the single folds | {folds} |
| threshold | {facts.threshold:.4f} ({facts.threshold_method}, on out-of-fold scores) |
| calibration | slope {slope}, intercept {intercept} ({facts.calibration.link}, on out-of-fold \
logits) |
| seed | {facts.seed} |
| model digest | {bundle.digest} |
| development cohort digest | {facts.cohort_digest} |
| cMIL | {facts.software_version} |

It serves bags of this encoder and preprocessing only:

| | |
|---|---|
{encoding}

{known}
"""
