"""Real cells, planted class: how well scores separate external patients, and what attention finds.

Runs `examples/composed_patients.toml` with each aggregator on the same bags and prints one table.
The planted class stands in for tumour: enrichment is its share among a positive external
patient's top tenth of instances over its share among all of them, averaged over patients.

    python benchmarks/composed_patients.py --shared ../shared --out runs/composed
"""

import argparse
import platform
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from cmil.attention import attention_path, read_attention
from cmil.extraction_stage import extract_bags
from cmil.run_record import describe_machine
from cmil.settings import AggregatorName
from cmil.study import Study, predict_scores, train_model
from cmil.study_settings import StudySettings, read_study_settings
from cmil.validation_stage import validate_scores
from cohorts.manifest import Cohort

EXAMPLE = Path(__file__).parents[1] / "examples" / "composed_patients.toml"
PLANTED = "erythroblast"


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("runs/composed"))
    parser.add_argument("--aggregators", nargs="+", default=get_args(AggregatorName))
    arguments = parser.parse_args()
    manifest = arguments.shared / "data" / "composed_patients" / "cohort.csv"
    weights = arguments.shared / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not manifest.exists():
        parser.exit(message=f"skipped: {manifest} is not here\n")
    settings = read_study_settings(EXAMPLE, manifest=manifest, weights=weights)
    extract_bags(Study.at(arguments.out, settings))
    tables = [evaluate(settings, name, arguments.out) for name in arguments.aggregators]
    print(pd.concat(tables).round(3).to_string(index=False))
    print(f"{platform.processor() or platform.machine()}; {describe_machine()}")


def evaluate(settings: StudySettings, aggregator: str, out: Path) -> pd.DataFrame:
    """Train, predict and validate with one aggregator on the bags in `out`."""
    mil = settings.mil.model_copy(update={"aggregator": aggregator})
    chosen = settings.model_copy(update={"mil": mil})
    study = Study.at(out / aggregator, chosen, bags=out / "bags")
    train_model(study)
    predict_scores(study)
    performance = validate_scores(study).performance
    table = performance[["cohort", "patients", "auc", "auc_ci_low", "auc_ci_high"]]
    table.insert(0, "aggregator", aggregator)
    found = enrichment(study.cohort.external, study.out / "attention")
    return table.assign(enrichment=[found.get(name, np.nan) for name in table["cohort"]])


def enrichment(cohort: Cohort, attention: Path) -> dict[str, float]:
    """Mean enrichment of the planted class, per external centre and pooled."""
    rows = []
    positive = cohort.patients[cohort.patients["label"] == 1]
    for patient_id, centre in positive["centre"].items():
        (slide,) = cohort.slides_of(str(patient_id))
        planted = np.array([PLANTED in line for line in slide.path.read_text().split()])
        looked = read_attention(attention_path(attention, slide.slide_id)).relative
        top = np.argsort(-looked, kind="stable")[: max(1, round(len(looked) / 10))]
        rows.append((centre, planted[top].mean() / planted.mean()))
    table = pd.DataFrame(rows, columns=["centre", "enrichment"])
    means = table.groupby("centre")["enrichment"].mean().to_dict()
    return {**means, "external, pooled": table["enrichment"].mean()}


if __name__ == "__main__":
    main()
