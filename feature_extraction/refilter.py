"""Apply another rule to bags that are there, without reading a slide."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cohorts.errors import DataError, FileFormatError, ImageError
from cohorts.manifest import Slide
from feature_extraction.bags import Attribute, bag_path
from feature_extraction.candidates import (
    Candidates,
    candidate_features,
    read_candidates,
    write_candidates,
)
from feature_extraction.recipe import attributes_if_any, rule_text
from feature_extraction.selection import REASONS, PatchRule, drop_reasons
from feature_extraction.slide_record import (
    SlideOutcome,
    read_record,
    write_record,
    write_slide_table,
)


def apply_rule(path: Path, rule: PatchRule) -> Mapping[str, Attribute]:
    """Choose a bag's patches anew; give the attributes it has then.

    Raises
    ------
    FileFormatError
        If the bag is missing or damaged.
    DataError
        If it does not hold a measure that the rule limits.
    """
    candidates = read_candidates(path)
    if not candidates.quality:
        raise DataError(
            f'bag "{path.name}" holds no quality measures, so no rule can be applied to it; '
            "extract its slide again"
        )
    attributes = {**candidates.attributes, "rule": rule_text(rule)}
    candidates = replace(
        candidates,
        reason=drop_reasons(candidates.quality, rule),
        reasons=REASONS,
        attributes=attributes,
    )
    write_candidates(path, candidates, candidate_features(path))
    kept = int(candidates.kept.sum())
    return {**attributes, "patches": kept, "dropped": len(candidates) - kept}


def refuse_if_none_is_kept(candidates: Candidates) -> None:
    """Say why a slide has nothing to give, if the rule dropped all its patches.

    Raises
    ------
    ImageError
        With the number of patches dropped for each reason.
    """
    if not candidates.kept.any():
        fates = ", ".join(f"{count} {name}" for name, count in candidates.counts().items() if count)
        raise ImageError(
            f"no patch passes the rule ({fates}); look at the slide with --preview, or relax "
            "[extraction.keep]"
        )


def refilter(
    slides: Sequence[Slide],
    rule: PatchRule,
    out: Path,
    *,
    on_slide: Callable[[SlideOutcome], None] = lambda _: None,
) -> list[SlideOutcome]:
    """Apply `rule` to the bags of all `slides` in `out`; a slide without a bag is a failure."""
    outcomes = []
    for slide in slides:
        outcome = _refilter_slide(slide, rule, out)
        record = read_record(out, slide)
        if outcome.state != "failed":
            duplicates = record.outcome.duplicates
            write_record(out, replace(record, outcome=replace(outcome, duplicates=duplicates)))
        outcomes.append(outcome)
        on_slide(outcome)
    write_slide_table(out, slides)
    return outcomes


def _refilter_slide(slide: Slide, rule: PatchRule, out: Path) -> SlideOutcome:
    path = bag_path(out, slide.slide_id)
    outcome = SlideOutcome(slide.slide_id, slide.patient_id)
    try:
        attributes = attributes_if_any(path)
        if attributes and attributes.get("rule") == rule_text(rule):
            outcome = replace(outcome, state="reused")
        else:
            outcome = replace(outcome, state="refiltered")
            attributes = apply_rule(path, rule)
        if not attributes["patches"]:
            refuse_if_none_is_kept(read_candidates(path))
    except (DataError, FileFormatError, ImageError, OSError) as error:
        reason = f'slide "{slide.slide_id}" (manifest row {slide.row}): {error}'
        return replace(outcome, state="failed", reason=reason)
    kept, dropped = int(attributes["patches"]), int(attributes.get("dropped", 0))
    return replace(outcome, patches=kept, dropped=dropped)
