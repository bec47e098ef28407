"""Which aggregator wins where: patients composed of real cells, made harder step by step.

Every distinct cell is embedded once; a patient's bag is an index into them. A positive patient
holds a few cells of the planted class, a negative one none: from 10% of 64 cells down to 1% of
200, and a class that stands out (erythroblasts) or one whose neighbours everybody has
(promyelocytes among the other immature granulocytes). Each aggregator learns from 20, 40 and 72
patients and is scored on others. No cell is in both a development and an external patient; within
each of the two, cells serve several patients, so out-of-fold scores would flatter and are not
reported. Cells of all classes are mixed in proportions that vary from patient to patient.

    python benchmarks/composed_variants.py --shared ../shared --out runs/variants
    python benchmarks/composed_variants.py --cells 120 --patients 20 --external 20 --epochs 2 \
        --variants 0 5 --aggregators mean gated_attention
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cmil.comparison.baselines import BAG_SIZE, EMBEDDINGS, baseline_scores, baselines_of
from cmil.extraction_stage import extract_bags
from cmil.patient_bags import PatientBag, PatientBags, encoding_of
from cmil.prediction import predict
from cmil.progress import say
from cmil.run_record import describe_machine
from cmil.settings import MilSettings
from cmil.study import Study
from cmil.study_settings import StudySettings, read_study_settings
from cmil.training.cross_validation import train
from cmil.validation.auc_difference import auc_difference
from cmil.validation.discrimination import auc_delong
from cohorts.files import digest_of, write_text
from cohorts.manifest import Cohort, Slide, SourceKind
from cohorts.settings import CohortSettings
from cohorts.splits import stratified_folds
from feature_extraction.bags import bag_path, read_bag

EXAMPLE = Path(__file__).parents[1] / "examples" / "composed_patients.toml"
AGGREGATORS = get_args(MilSettings.model_fields["aggregator"].annotation)
DEVELOPMENT_CELLS = 0.6
# How closely a patient keeps to the mean proportions of classes: bone marrows differ.
CONCENTRATION = 20.0


@dataclass(frozen=True)
class Cells:
    """Embeddings of all distinct cells, (n, D), and the class of each, (n,)."""

    features: NDArray[np.floating]
    kinds: NDArray[np.str_]
    encoding: Mapping[str, str | int | float]


@dataclass(frozen=True)
class Variant:
    """What is planted, which share of a positive patient's cells it is, and how many there are."""

    planted: str
    share: float
    size: int

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{self.planted} {self.share:.0%} of {self.size}"


VARIANTS = (
    Variant("erythroblast", 0.10, 64),
    Variant("erythroblast", 0.02, 200),
    Variant("erythroblast", 0.01, 200),
    Variant("promyelocyte", 0.10, 64),
    Variant("promyelocyte", 0.05, 200),
    Variant("promyelocyte", 0.01, 200),
)
_SUBTYPES = {"PMY": "promyelocyte", "MY": "myelocyte", "MMY": "metamyelocyte"}


def main() -> None:
    """Embed, compose, train, score and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("runs/variants"))
    parser.add_argument("--aggregators", nargs="+", default=AGGREGATORS, choices=AGGREGATORS)
    parser.add_argument("--patients", type=int, nargs="+", default=[20, 40, 72])
    parser.add_argument("--external", type=int, default=200)
    parser.add_argument("--variants", type=int, nargs="+", default=range(len(VARIANTS)))
    parser.add_argument("--cells", type=int, help="most of a class; without it, all there are")
    parser.add_argument("--epochs", type=int, default=MilSettings().epochs)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    weights = given.shared / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not weights.exists():
        parser.exit(message=f"skipped: {weights} is not here\n")
    cells = embed_cells(given.shared / "data" / "pbc_cells", weights, given.out, given.cells)
    say(f"{len(cells.kinds)} cells, {pd.Series(cells.kinds).value_counts().to_dict()}")
    setups = {
        f"{VARIANTS[i].name}, {patients} patients": (VARIANTS[i], patients)
        for i in given.variants
        for patients in given.patients
    }
    settings = MilSettings(epochs=given.epochs)
    scored = {
        setup: score_setup(
            *compose(cells, variant, patients, given.external, given.seed),
            [settings.model_copy(update={"aggregator": name}) for name in given.aggregators],
            given.out / "scores",
            given.seed,
        )
        for setup, (variant, patients) in setups.items()
    }
    print(markdown(scored))
    print(f"\n{describe_machine()}; {given.epochs} epochs, {given.external} external patients")


def embed_cells(images: Path, weights: Path, out: Path, most: int | None) -> Cells:
    """Extract the cells of each class as one bag, or take the bags that are there."""
    folder = out / f"cells-{most or 'all'}"
    rows = []
    for kind in sorted(path for path in images.iterdir() if path.is_dir()):
        # Evenly over the names, which start with the subtype.
        names = sorted(path.resolve() for path in kind.glob("*.jpg"))
        step = -(-len(names) // most) if most else 1
        write_text(folder / f"{kind.name}.txt", "\n".join(str(name) for name in names[::step]))
        rows.append({"patient_id": kind.name, "slide_id": kind.name, "path": f"{kind.name}.txt"})
    write_text(folder / "cohort.csv", pd.DataFrame(rows).assign(centre="all").to_csv(index=False))
    study = Study.at(
        folder,
        StudySettings(
            cohort=CohortSettings(manifest=folder / "cohort.csv", label=""),
            extraction=read_study_settings(EXAMPLE, manifest=EXAMPLE, weights=weights).extraction,
        ),
    )
    extract_bags(study)
    bags = {row["slide_id"]: read_bag(bag_path(study.bags, row["slide_id"])) for row in rows}
    kinds = []
    for kind, bag in bags.items():
        names = [Path(bag.images[i]).name for i in np.asarray(bag.image_index)]
        kinds += [_SUBTYPES.get(name.split("_")[0], kind) for name in names]
    features = np.concatenate([bag.features for bag in bags.values()])
    return Cells(features, np.array(kinds), encoding_of(next(iter(bags.values()))))


def compose(
    cells: Cells, variant: Variant, development: int, external: int, seed: int
) -> tuple[Cohort, PatientBags]:
    """Draw patients; those of a smaller development cohort are the first of a larger one."""
    of_pools, of_inside, of_outside = np.random.SeedSequence(seed).spawn(3)
    inside = np.random.default_rng(of_pools).random(len(cells.kinds)) < DEVELOPMENT_CELLS
    rows, bags = {}, {}
    for split, pool, count, drawn, centres in (
        ("development", np.flatnonzero(inside), development, of_inside, ("north", "south")),
        ("external", np.flatnonzero(~inside), external, of_outside, ("east", "west")),
    ):
        for number, stream in enumerate(drawn.spawn(count)):
            patient, label = f"{split}-{number:03d}", number % 2
            chosen = draw_bag(cells, variant, pool, label, np.random.default_rng(stream))
            bags[patient] = PatientBag(torch.from_numpy(cells.features[chosen]), {})
            rows[patient] = {"centre": centres[number // 2 % 2], "split": split, "label": label}
    patients = pd.DataFrame.from_dict(rows, orient="index").rename_axis("patient_id")
    slides = tuple(Slide(p, p, Path(p), SourceKind.LIST, None, i) for i, p in enumerate(rows, 2))
    digest = digest_of([variant.name, development, external, seed, len(cells.kinds)])
    width = cells.features.shape[1]
    return Cohort(slides, patients, Path()), PatientBags(bags, cells.encoding, width, digest)


def draw_bag(
    cells: Cells, variant: Variant, pool: NDArray[np.intp], label: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw the cells of one patient from `pool`, none of them twice, in no order.

    TransMIL sees the order: with the planted cells first it would learn where they stand.
    """
    size = int(rng.integers(round(0.8 * variant.size), round(1.2 * variant.size) + 1))
    planted = max(1, round(variant.share * size)) if label else 0
    is_planted = cells.kinds[pool] == variant.planted
    others = pool[~is_planted]
    _, place, counts = np.unique(cells.kinds[others], return_inverse=True, return_counts=True)
    mix = rng.dirichlet(CONCENTRATION * counts / counts.sum())
    odds = (mix / counts)[place]
    background = rng.choice(others, size - planted, replace=False, p=odds / odds.sum())
    chosen = [rng.choice(pool[is_planted], planted, replace=False), background]
    return rng.permutation(np.concatenate(chosen))


def score_setup(
    cohort: Cohort, bags: PatientBags, settings: Sequence[MilSettings], out: Path, seed: int
) -> pd.DataFrame:
    """Scores of the external patients, one column a model, and their `label`."""
    external = cohort.external
    table = external.patients[["label"]].copy()
    folds = settings[0].folds
    dealt = stratified_folds(cohort.development.patients, folds, np.random.default_rng(seed))
    simple = [
        b for b in baselines_of(cohort.patients, bags, []) if b.name in (EMBEDDINGS, BAG_SIZE)
    ]
    for name, rows in baseline_scores(cohort.patients, simple, [dealt], seed).groupby("model"):
        table[name] = rows.set_index("patient_id")["score"]
    for mil in settings:
        asked = digest_of([cohort.digest, bags.digest, mil.model_dump(mode="json"), seed])[:16]
        path = out / f"{mil.aggregator}-{asked}.csv"
        if not path.exists():
            folder = out / f"{mil.aggregator}-{asked}"
            bundle = train(cohort.development, bags, mil, folder, label="planted", seed=seed)
            logits = {patient: said.logit for patient, said in predict(bundle, external, bags)}
            write_text(path, pd.Series(logits, name="logit").to_csv(index_label="patient_id"))
        table[mil.aggregator] = pd.read_csv(path, index_col="patient_id")["logit"]
        auc = auc_delong(table[mil.aggregator], table["label"]).value
        say(f"{bags.digest[:8]} {mil.aggregator}: AUC {auc:.3f}")
    return table


def markdown(scored: Mapping[str, pd.DataFrame]) -> str:
    """One row a setup: AUC and DeLong's 95% interval of each model, and who wins.

    Those that DeLong's paired test does not tell from the best (p at least 0.05, uncorrected)
    are named with it.
    """
    models = [name for name in next(iter(scored.values())) if name != "label"]
    lines = [f"| external AUC (95% CI) | {' | '.join(models)} | best, and not told from it |"]
    lines.append("|---" * (len(models) + 2) + "|")
    for setup, table in scored.items():
        labels = table["label"]
        aucs = {name: auc_delong(table[name], labels) for name in models}
        best = max(models, key=lambda name: aucs[name].value)
        even = [
            name
            for name in models
            if name != best and auc_difference(table[best], table[name], labels).p >= 0.05
        ]
        cells = [f"{a.value:.3f} ({a.ci_low:.3f}-{a.ci_high:.3f})" for a in aucs.values()]
        wins = f"**{best}**{', ' if even else ''}{', '.join(even)}"
        lines.append(f"| {setup} | {' | '.join(cells)} | {wins} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
