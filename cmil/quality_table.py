"""How readable a cohort's slides are, in numbers: of each slide, and of each centre.

The slide is the unit: a centre's value of a measure is the median over its slides, so that one
large slide does not speak for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cohorts.errors import FileFormatError
from cohorts.manifest import Cohort, Slide
from feature_extraction.bags import Attribute, bag_path
from feature_extraction.candidates import Candidates, read_candidates

COUNTS = ("candidates", "kept", "dropped")
UNLISTED = "not listed"
_COLUMNS_NEEDED = ("slide_id", "state")
_WORDS = ("reason", "note")


@dataclass(frozen=True)
class QualityTable:
    """What became of every slide of a cohort.

    Attributes
    ----------
    slides
        One row a slide, in the manifest's order: `slide_id, patient_id, centre, split, state,
        candidates, kept, dropped`, `dropped_<reason>` for each of `reasons`, `duplicates`,
        `median_<measure>` over the candidates for each of `measures`, `reason, note`. Counts are
        missing where there is no readable bag, medians also where the bag has no such measure.
    reasons
        Why patches were dropped, as the bags name it.
    measures
        Quality measures of the bags.
    made_with
        attribute -> its values over the bags, as text, with the number of slides of each.
    """

    slides: pd.DataFrame
    reasons: tuple[str, ...]
    measures: tuple[str, ...]
    made_with: Mapping[str, Mapping[str, int]]

    @property
    def count_columns(self) -> list[str]:
        """Columns that add up over slides."""
        return [*COUNTS, *(f"dropped_{reason}" for reason in self.reasons), "duplicates"]

    @property
    def measure_columns(self) -> list[str]:
        """Columns of medians."""
        return [f"median_{measure}" for measure in self.measures]


_MADE_WITH = (
    "software", "encoder", "images_are", "patch_px", "mpp_used", "stain", "min_stained", "rule",
)  # fmt: skip


def quality_table(cohort: Cohort, bags: Path) -> QualityTable:
    """Read `bags/slides.csv` and the bags of `cohort`, features left out.

    A bag that cannot be read is said in its slide's `reason` and stops nothing.

    Raises
    ------
    FileFormatError
        If `slides.csv` is missing or damaged.
    """
    listed = _read_listed(bags / "slides.csv")
    rows, made_with = [], dict[str, dict[str, int]]()
    for slide in cohort.slides:
        patient = cohort.patients.loc[slide.patient_id]
        row: dict[str, object] = {
            "slide_id": slide.slide_id,
            "patient_id": slide.patient_id,
            "centre": patient["centre"],
            "split": patient["split"],
            **listed.get(slide.slide_id, {"state": UNLISTED, "duplicates": 0, "reason": ""}),
        }
        try:
            candidates = _candidates(slide, bags)
        except FileFormatError as error:
            row["reason"] = "; ".join(filter(None, [str(row["reason"]), str(error)]))
            candidates = None
        if candidates is not None:
            row |= _numbers(candidates)
            _count_attributes(candidates.attributes, made_with)
        rows.append(row)
    return _assembled(rows, made_with)


def centre_table(table: QualityTable) -> pd.DataFrame:
    """Sum up each centre of a split.

    Returns
    -------
    DataFrame
        One row a centre: `split, centre`, `slides`, those `with_bag` and those `failed`, the sums
        of the table's counts, and the medians over slides of the table's medians.
    """
    slides = table.slides.assign(
        slides=1,
        with_bag=table.slides["kept"].notna().astype(int),
        failed=(table.slides["state"] == "failed").astype(int),
    )
    groups = slides.groupby(["split", "centre"])
    sums = groups[["slides", "with_bag", "failed", *table.count_columns]].sum()
    medians = groups[table.measure_columns].median()
    return pd.concat([sums, medians], axis=1).reset_index()


def slides_to_check(table: QualityTable, most: int) -> list[tuple[str, str]]:
    """Name the slides a reader should look at first, and why.

    Half are those with the largest share of dropped patches, the others those with the fewest
    patches kept.

    Returns
    -------
    list of (slide_id, why), at most `most`
    """
    known = table.slides[table.slides["kept"].notna()].set_index("slide_id")
    share = known["dropped"] / known["candidates"]
    by_share = share[share > 0].sort_values(ascending=False, kind="stable").index[: -(-most // 2)]
    by_count = known["kept"].sort_values(kind="stable").index
    median = known.groupby("centre")["kept"].median()
    chosen = list(dict.fromkeys([*by_share, *by_count]))[:most]
    return [(str(i), _why(known.loc[i], table.reasons, median)) for i in chosen]


def _why(row: "pd.Series", reasons: Sequence[str], median: "pd.Series") -> str:
    patches = "patch" if row["kept"] == 1 else "patches"
    why = f"{row['kept']:,} {patches} kept (median of its centre {median[row['centre']]:,.0f})"
    counts = {reason: row[f"dropped_{reason}"] for reason in reasons}
    if row["dropped"]:
        most = max(counts, key=lambda reason: counts[reason])
        why += f"; {row['dropped'] / row['candidates']:.0%} of {row['candidates']:,} dropped, "
        why += f"{counts[most]:,} of them: {most}"
    return why


def _candidates(slide: Slide, bags: Path) -> Candidates | None:
    path = bag_path(bags, slide.slide_id)
    return read_candidates(path) if path.exists() else None


def _numbers(candidates: Candidates) -> dict[str, object]:
    counts = candidates.counts()
    kept = int(candidates.kept.sum())
    row: dict[str, object] = {
        "candidates": len(candidates),
        "kept": kept,
        "dropped": len(candidates) - kept,
    }
    row |= {f"dropped_{reason}": counts[reason] for reason in candidates.reasons[1:]}
    return row | {
        f"median_{measure}": float(np.median(values)) if len(values) else np.nan
        for measure, values in candidates.quality.items()
    }


def _count_attributes(
    attributes: Mapping[str, Attribute], made_with: dict[str, dict[str, int]]
) -> None:
    for name in _MADE_WITH:
        value = str(attributes.get(name, "not stated"))
        values = made_with.setdefault(name, {})
        values[value] = values.get(value, 0) + 1


def _assembled(
    rows: Sequence[Mapping[str, object]], made_with: Mapping[str, Mapping[str, int]]
) -> QualityTable:
    named = list(dict.fromkeys(name for row in rows for name in row))
    reasons = tuple(n.removeprefix("dropped_") for n in named if n.startswith("dropped_"))
    measures = tuple(n.removeprefix("median_") for n in named if n.startswith("median_"))
    table = QualityTable(pd.DataFrame(rows), reasons, measures, made_with)
    first = ["slide_id", "patient_id", "centre", "split", "state"]
    columns = [*first, *table.count_columns, *table.measure_columns, *_WORDS]
    slides = table.slides.reindex(columns=columns)
    slides[list(_WORDS)] = slides[list(_WORDS)].fillna("")
    slides[table.count_columns] = slides[table.count_columns].astype("Int64")
    slides[table.measure_columns] = slides[table.measure_columns].astype("float64")
    by_reason = [f"dropped_{reason}" for reason in reasons]
    # A bag that names no such reason dropped nothing for it; without a bag nothing is known.
    has_bag = slides["kept"].notna()
    slides.loc[has_bag, by_reason] = slides.loc[has_bag, by_reason].fillna(0)
    return QualityTable(slides, reasons, measures, made_with)


def _read_listed(path: Path) -> dict[str, dict[str, object]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise FileFormatError(f'"{path}" does not exist; run cmil extract') from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise FileFormatError(f'"{path}" is damaged; run cmil extract again') from error
    absent = [name for name in _COLUMNS_NEEDED if name not in table]
    if absent:
        raise FileFormatError(f'"{path}" has no column "{absent[0]}"; run cmil extract again')
    table = table.reindex(columns=[*_COLUMNS_NEEDED, "duplicates", *_WORDS], fill_value="")
    # Slides that an older release wrote down have no number of duplicates.
    numbers = pd.to_numeric(table["duplicates"].replace("", "0"), errors="coerce")
    if numbers.isna().any():
        raise FileFormatError(f'"{path}": column "duplicates" holds no number; run cmil extract')
    rows = table.assign(duplicates=numbers.astype(int)).to_dict("records")
    return {
        str(row["slide_id"]): {str(name): row[name] for name in row if name != "slide_id"}
        for row in rows
    }
