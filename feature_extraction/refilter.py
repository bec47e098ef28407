"""Apply another rule to bags that are there, without reading a slide."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cohorts.errors import DataError, ImageError
from cohorts.manifest import Slide
from feature_extraction.bags import Attribute, bag_path
from feature_extraction.candidates import (
    Candidates,
    candidate_features,
    read_candidates,
    write_candidates,
)
from feature_extraction.failures import FAILURES
from feature_extraction.recipe import attributes_if_any, rule_text
from feature_extraction.selection import REASONS, PatchRule, drop_reasons
from feature_extraction.slide_lock import slide_lock
from feature_extraction.slide_record import (
    SlideOutcome,
    SlideRecord,
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
        If it does not hold what the rule needs, see `under_rule`.
    """
    candidates = under_rule(path, rule)
    write_candidates(path, candidates, candidate_features(path))
    kept = int(candidates.kept.sum())
    return {**candidates.attributes, "patches": kept, "dropped": len(candidates) - kept}


def under_rule(path: Path, rule: PatchRule) -> Candidates:
    """Say which of a bag's patches another rule keeps, and why it drops the others.

    Raises
    ------
    FileFormatError
        If the bag is missing or damaged.
    DataError
        If it does not hold a measure that the rule limits, or is a sample.
    """
    candidates = read_candidates(path)
    if not candidates.quality:
        raise DataError(
            f'bag "{path.name}" holds no quality measures, so no rule can be applied to it; '
            "extract its slide again"
        )
    # A sample ends where so many patches are kept: another rule would have read others.
    most = candidates.attributes.get("max_patches", "all")
    if most != "all":
        raise DataError(
            f'bag "{path.name}" was sampled with max_patches = {most} under another rule; run '
            "cmil extract"
        )
    return replace(
        candidates,
        reason=drop_reasons(candidates.quality, rule),
        reasons=REASONS,
        attributes={**candidates.attributes, "rule": rule_text(rule)},
    )


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
    """Apply `rule` to the bags of all `slides` in `out`, and bring `slides.csv` up to date.

    Slides that are copies of others have no bag and are passed over. Any other slide without a
    bag is a failure; one that failed before keeps the reason.

    Raises
    ------
    AccessError
        If the file system has no locks. A slide's own error is in its outcome, not raised.
    """
    outcomes = []
    for slide in slides:
        with slide_lock(slide.slide_id, out, wait=True):
            before = read_record(out, slide)
            outcome = _refilter_slide(slide, rule, out, before)
            after = _settled(before, outcome)
            if after != before:
                write_record(out, after)
        outcomes.append(outcome)
        on_slide(outcome)
    write_slide_table(out, slides)
    return outcomes


def _refilter_slide(slide: Slide, rule: PatchRule, out: Path, before: SlideRecord) -> SlideOutcome:
    path, known = bag_path(out, slide.slide_id), before.outcome
    if known.state == "duplicate" or (known.state == "failed" and not path.exists()):
        return known
    duplicates = known.duplicates
    outcome = SlideOutcome(slide.slide_id, slide.patient_id, "reused", duplicates=duplicates)
    try:
        attributes = attributes_if_any(path)
        if not attributes or attributes.get("rule") != rule_text(rule):
            outcome = replace(outcome, state="refiltered")
            attributes = apply_rule(path, rule)
        if not attributes["patches"]:
            refuse_if_none_is_kept(read_candidates(path))
    except FAILURES as error:
        said = " ".join(str(error).split()) or type(error).__name__
        reason = f'slide "{slide.slide_id}" (manifest row {slide.row}): {said}'
        return replace(outcome, state="failed", reason=reason)
    kept, dropped = int(attributes["patches"]), int(attributes.get("dropped", 0))
    return replace(outcome, patches=kept, dropped=dropped)


def _settled(before: SlideRecord, outcome: SlideOutcome) -> SlideRecord:
    """Record an outcome as extraction does; no image was tried, so none is said to have failed."""
    if outcome == before.outcome:
        return before
    if outcome.state == "failed":
        return replace(before, outcome=outcome, recipe="", lasting=False)
    state = "made" if outcome.state == "reused" else outcome.state
    return replace(before, outcome=replace(outcome, state=state))
