"""`report/MODEL_CARD.md`: what a model is, and what it is worth where it was evaluated."""

from collections.abc import Mapping

import pandas as pd

from cmil import __version__
from cmil.model_card import RESEARCH_USE_ONLY, bundle_rows, learnt_by
from cmil.pages import markdown_templates
from cmil.report import percent_text
from cmil.reporting.study_files import StudyFiles
from cmil.reporting.words import notes_of, wide
from survival.print_numbers import interval_text

_CALIBRATION = {
    "intercept_in_the_large": "Intercept",
    "slope": "Slope",
    "o_e": "O:E",
    "brier": "Brier score",
}
_AT_A_THRESHOLD = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
}


def validated_card(study: StudyFiles, facts: Mapping[str, str], headline: str) -> str:
    """Write the card from the facts and tables that the report is made of.

    Parameters
    ----------
    facts
        As `cmil.reporting.facts.study_facts` gives them.
    headline
        The study's result in a sentence or two.

    Returns
    -------
    Markdown; what the study calls its patients' centres stands in it as text.
    """
    found = study.validation.tables
    template = markdown_templates().get_template("validated_card.md.j2")
    return template.render(
        learnt=learnt_by(study.bundle),
        research_use_only=RESEARCH_USE_ONLY,
        headline=headline,
        facts=facts,
        training=_training(study),
        bundle=_rows(
            {name: text for name, text in bundle_rows(study.bundle).items() if "digest" not in name}
        ),
        performance=_performance(study.validation.performance),
        not_estimable=notes_of(study.validation.performance, ["cohort"]),
        calibration=wide(found.calibration, {"cohort": "Cohort"}, _CALIBRATION),
        thresholds=_thresholds(found.decisions),
        encoding=_rows(study.bundle.facts.encoding),
        digests=_rows(_digests(study)),
        version=__version__,
    )


def _training(study: StudyFiles) -> pd.DataFrame:
    """Count development patients by centre; of an opening, only the study knows how many."""
    scored = study.predictions[study.predictions["split"] == "development"]
    rows = [
        {"Centre": centre, "Patients": len(group), "With the outcome": int(group["label"].sum())}
        for centre, group in scored.groupby("centre")
    ]
    if not rows:
        learnt = study.bundle.facts.out_of_fold
        centres = ", ".join(study.bundle.facts.centres)
        rows = [
            {
                "Centre": centres,
                "Patients": learnt.patients,
                "With the outcome": learnt.positives,
            }
        ]
    return pd.DataFrame(rows)


def _performance(performance: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "Cohort": row["cohort"],
            "Patients": row["patients"],
            "With the outcome": row["positives"],
            "AUC (95% CI)": interval_text(
                row["auc"], row["auc_ci_low"], row["auc_ci_high"], form="z.3f"
            ),
            **{
                f"{name.capitalize()} (95% CI)": percent_text(
                    row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"]
                )
                for name in ("sensitivity", "specificity")
            },
        }
        for row in performance.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _thresholds(decisions: pd.DataFrame) -> pd.DataFrame:
    own = decisions[decisions["prevalence"].isna()].assign(
        threshold=lambda rows: rows["threshold"].map("{:.4f}".format)
    )
    rows = {"threshold_name": "Rule", "threshold": "Score of at least", "cohort": "Cohort"}
    return wide(own, rows, _AT_A_THRESHOLD, digits=2)


def _digests(study: StudyFiles) -> Mapping[str, str]:
    facts = study.bundle.facts
    return {
        "model": study.bundle.digest,
        "lock": study.lock or "none: the model was not locked",
        "weights": facts.weights_digest,
        "development cohort": facts.cohort_digest,
        "evaluated cohort": study.cohort.digest,
    }


def _rows(named: Mapping[str, object]) -> pd.DataFrame:
    return pd.DataFrame({"": list(named), " ": [str(value) for value in named.values()]})
