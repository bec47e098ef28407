"""How far scores move with threads, backend and precision, from images to scores.

Runs `examples/composed_patients.toml` in each way and compares with torch in float32 and two
threads: once through the model trained in that way (the weights lie elsewhere), once by the model
of the reference, where the bags are of the same encoder.

    python benchmarks/drift.py --shared ../shared --out runs/drift
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

EXAMPLE = Path(__file__).parents[1] / "examples" / "composed_patients.toml"
REFERENCE = "torch, float32, 2 threads"
WAYS: dict[str, tuple[int, dict[str, str]]] = {
    REFERENCE: (2, {"backend": "torch", "precision": "float32"}),
    "torch, float32, 1 thread": (1, {"backend": "torch", "precision": "float32"}),
    "as installed (auto), 2 threads": (2, {}),
    "bfloat16, 2 threads": (2, {"precision": "bfloat16"}),
    "OpenVINO, int8, 2 threads": (2, {"backend": "openvino", "precision": "int8"}),
}


def main() -> None:
    """Run the study in each way and print how far scores are from the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("runs/drift"))
    arguments = parser.parse_args()
    if not (arguments.shared / "data" / "composed_patients").exists():
        parser.exit(message=f"skipped: {arguments.shared} is not here\n")
    scores, rows = {}, []
    for name in WAYS:
        spawn = multiprocessing.get_context("spawn")  # threads are of a process
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            said = pool.submit(run, name, arguments.shared, arguments.out).result()
        scores[name] = said
        rows.append(
            {
                "way": name,
                "computed by": said["by"],
                "drift": said["drift"],
                "extraction, s": round(said["seconds"]),
                "external AUC": f"{said['auc']:.3f}",
                "largest change of a score, trained anew": largest(said, scores, "own"),
                "by the reference's model": largest(said, scores, "reference"),
            }
        )
    print(pd.DataFrame(rows).to_string(index=False))


def largest(said: dict[str, object], scores: dict[str, dict[str, object]], which: str) -> str:
    """Largest difference of a patient's score to the reference's."""
    if said[which] is None:
        return "another encoder"
    return f"{(said[which] - scores[REFERENCE]['own']).abs().max():.4f}"


def run(name: str, shared: Path, out: Path) -> dict[str, object]:
    """Extract, train and predict in one way; give the scores by patient."""
    import cv2
    import torch

    from cmil.extraction_stage import extract_bags
    from cmil.study import Study, predict_scores, train_model
    from cmil.study_settings import read_study_settings
    from cmil.validation_stage import validate_scores
    from feature_extraction.bags import read_bag_attributes

    threads, changes = WAYS[name]
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    settings = read_study_settings(
        EXAMPLE,
        manifest=shared / "data" / "composed_patients" / "cohort.csv",
        weights=shared / "weights" / "mobilenet_v2_imagenet.safetensors",
    )
    changed = settings.extraction.model_copy(update=changes)
    settings = settings.model_copy(update={"extraction": changed})
    folders = {way: out / f"{number}" for number, way in enumerate(WAYS)}
    study = Study.at(folders[name], settings)
    started = time.monotonic()
    extract_bags(study)
    seconds = time.monotonic() - started
    train_model(study)
    predict_scores(study)
    table = validate_scores(study).performance.set_index("cohort")["auc"]
    first = read_bag_attributes(next(iter(sorted(study.bags.glob("*.h5")))))
    own = pd.read_csv(study.predictions).set_index("patient_id")["score"]
    return {
        "by": f"{first['backend']} {first['precision']}",
        "drift": first.get("drift", "none"),
        "seconds": seconds,
        "auc": table["external, pooled"],
        "own": own,
        "reference": by_model(folders[REFERENCE] / "model", study) if "int8" not in name else None,
    }


def by_model(model: Path, study: object) -> pd.Series:
    """Score a study's bags by another model of the same encoder."""
    from cmil.study import Study, predict_scores

    other = Study.at(study.out / "by the reference", study.settings, bags=study.bags, model=model)
    predict_scores(other)
    return pd.read_csv(other.predictions).set_index("patient_id")["score"]


if __name__ == "__main__":
    main()
