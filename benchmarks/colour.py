"""Robustness card: what colour normalisation does to scores, centre by centre.

Draws the simulated study once, runs it with each setting of `stain`, and prints a markdown table.
The scores of the development centre are out-of-fold; those of the others use its frozen threshold.

    python benchmarks/colour.py --out runs/colour
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cmil.demo import SETTINGS
from cmil.extraction_stage import extract_bags
from cmil.run_record import describe_machine
from cmil.study import Study, predict_scores, train_model
from cmil.study_settings import StudySettings, read_study_settings
from cmil.validation.discrimination import auc_delong
from cmil.validation_stage import validate_scores
from cohorts.files import write_text
from cohorts.simulate import SLIDE_SIZE, simulate_study

STAINS = ("none", "grey-world", "reinhard", "macenko")


def main() -> None:
    """Draw, run with each setting, and print the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/colour"))
    parser.add_argument("--patients", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slide-size", type=int, nargs=2, default=SLIDE_SIZE)
    arguments = parser.parse_args()
    simulate_study(
        arguments.out / "images",
        patients=arguments.patients,
        seed=arguments.seed,
        slide_size=tuple(arguments.slide_size),
    )
    study_file = arguments.out / "study.toml"
    write_text(study_file, SETTINGS.format(seed=arguments.seed))
    settings = read_study_settings(study_file)
    predictions = {stain: predict(settings, stain, arguments.out / stain) for stain in STAINS}
    print(markdown(card(predictions)))
    print(f"\n{arguments.patients} patients, seed {arguments.seed}; {describe_machine()}")


def predict(settings: StudySettings, stain: str, out: Path) -> pd.DataFrame:
    """Run the study up to its validation with one setting; give its predictions."""
    extraction = type(settings.extraction).model_validate(
        {**settings.extraction.model_dump(), "stain": stain}
    )
    study = Study.at(out, settings.model_copy(update={"extraction": extraction}))
    failed: Sequence[str] = extract_bags(study)
    for reason in failed:
        print(f"{stain}: {reason}")
    train_model(study)
    predict_scores(study)
    validate_scores(study)
    return pd.read_csv(study.predictions, dtype={"patient_id": str})


def card(predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a setting and centre.

    Parameters
    ----------
    predictions
        Predictions tables by setting; "none" is what the others are compared with.

    Returns
    -------
    DataFrame
        `stain, centre, patients, auc, sensitivity, specificity, mean_negative, mean_positive,
        largest_change`: the change of a patient's score from its score with "none".
    """
    plain = predictions["none"].set_index("patient_id")["score"]
    rows = []
    for stain, table in predictions.items():
        for centre, of_centre in table.groupby("centre", sort=True):
            positive = of_centre["label"] == 1
            change = of_centre.set_index("patient_id")["score"] - plain
            rows.append(
                {
                    "stain": stain,
                    "centre": centre,
                    "patients": len(of_centre),
                    "auc": auc_delong(of_centre["score"], positive).value,
                    "sensitivity": of_centre["decision"][positive].mean(),
                    "specificity": 1 - of_centre["decision"][~positive].mean(),
                    "mean_negative": of_centre["score"][~positive].mean(),
                    "mean_positive": of_centre["score"][positive].mean(),
                    "largest_change": change.abs().max(),
                }
            )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """Write a table as markdown, numbers to three decimals."""

    def cell(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    rows = [list(table.columns), ["---"] * table.shape[1]]
    rows += [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
