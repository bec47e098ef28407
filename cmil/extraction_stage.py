"""The stage of a study that turns images into bags, on this machine or on many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmil.machines import HERE, Machines
from cmil.progress import Advance, progress, say
from cmil.run_record import Stage
from cmil.study import Study
from cohorts.errors import FileFormatError, SettingsError
from cohorts.files import read_json, write_json

if TYPE_CHECKING:
    from feature_extraction.bags import Attribute
    from feature_extraction.colour import ColourReference
    from feature_extraction.extract import Engine
    from feature_extraction.forecast import Forecast
    from feature_extraction.slide_job import Extraction
    from feature_extraction.slide_record import SlideOutcome


@dataclass(frozen=True)
class Work:
    """How the work of extraction is shared out and resumed; none of it changes a bag.

    Attributes
    ----------
    shard
        i and n: only the i-th of n parts of the patients.
    machines
        Where the encoder runs.
    coordinates
        Folder of coordinate files of TRIDENT or CLAM, in place of the grid.
    retry_failed
        Try slides again that failed with the same images and settings.
    """

    shard: tuple[int, int] = (1, 1)
    machines: Machines = HERE
    coordinates: Path | None = None
    retry_failed: bool = False


def read_shard(text: str) -> tuple[int, int]:
    """Read `I/N`.

    Raises
    ------
    SettingsError
        If it is not that, or I is not one of 1 to N.
    """
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise SettingsError(f'--shard "{text}" is not I/N with I from 1 to N, e.g. 2/8')
    return int(part), int(parts)


def extract_bags(study: Study, work: Work | None = None) -> Sequence[str]:
    """Embed every slide of the study, or of a shard; give one line for each that failed."""
    from feature_extraction.extract import extract, jobs_of, shared_images

    work = work or Work()
    refuse_contradictions(study, work)
    jobs = jobs_of(study.manifest, work.shard)
    extraction = _asked_of_slides(study, work, colour_reference(study))
    with progress("extract (slides)", len(jobs)) as advance:
        stage = _stage_of(study, study.settings.extraction.model_dump(mode="json"))
        stage = replace(stage, record=_record_of(stage.record, work.shard), on_gpu=True)
        with stage.recorded(lambda: [study.bags / "slides.csv"]):
            outcomes = extract(
                study.manifest,
                extraction,
                engine=_engine_of(work, advance),
                shard=work.shard,
                on_slide=_teller(advance),
            )
    for line in shared_images(study.manifest.slides, study.bags):
        say(f"warning: {line}")
    return _summed_up(outcomes)


def forecast_bags(study: Study, work: Work | None = None) -> "Forecast":
    """Say what `extract_bags` will find and take, without writing anything."""
    from feature_extraction.extract import jobs_of
    from feature_extraction.forecast import forecast

    work = work or Work()
    refuse_contradictions(study, work)
    extraction = _asked_of_slides(study, work, _reference_at_hand(study))
    with progress("look (slides)", len(jobs_of(study.manifest, work.shard))) as advance:
        return forecast(
            study.manifest,
            extraction,
            shard=work.shard,
            on_slide=lambda found: advance(note=found.slide_id),
        )


def refilter_bags(study: Study) -> Sequence[str]:
    """Apply the study's rule to the bags that are there; give one line for each that failed."""
    from feature_extraction.refilter import refilter

    slides = study.manifest.slides
    stage = _stage_of(study, _settings_of_bags(study))
    with (
        progress("refilter (slides)", len(slides)) as advance,
        stage.recorded(lambda: [study.bags / "slides.csv"]),
    ):
        rule = study.settings.extraction.rule
        outcomes = refilter(slides, rule, study.bags, on_slide=_teller(advance))
    return _summed_up(outcomes)


def preview_bags(study: Study) -> tuple[Path, list[str]]:
    """Draw the patches that were kept and dropped on every slide.

    Returns
    -------
    The quality page, and one line for each slide that could not be drawn.
    """
    from cmil.quality_page import write_quality_page
    from feature_extraction.preview import write_previews

    with progress("preview (slides)", len(study.manifest.slides)) as advance:
        drawn = write_previews(study.manifest, study.bags, on_slide=lambda s: advance(note=s))
    page = write_quality_page(study.manifest, study.bags)
    return page, [outcome.reason for outcome in drawn if outcome.state == "failed"]


def refuse_contradictions(study: Study, work: Work) -> None:
    """Find what would fail every slide, or make bags of no use, before the first is read.

    Raises
    ------
    SettingsError
        If the folder of coordinates does not exist, or the settings are not those of the bags
        that a model made elsewhere was trained on; the line names the first that differs.
    FileFormatError
        If that model is missing or damaged.
    """
    if work.coordinates and not work.coordinates.is_dir():
        raise SettingsError(
            f'--coords "{work.coordinates}" is not a folder; name the one that holds the '
            "coordinate files"
        )
    if not _has_model_of_elsewhere(study):
        return
    from cmil.patient_bags import shortened

    trained_on = _encoding_of_model(study)
    for name, (setting, value) in encoding_asked_for(study).items():
        if trained_on.get(name) != value:
            raise SettingsError(
                f"extraction.{setting} asks for {name} {shortened(value)}, but the model "
                f'"{study.model}" was trained on bags with {name} '
                f"{shortened(trained_on.get(name))}; use the settings of the model's bags"
            )


def colour_reference(study: Study) -> "ColourReference | None":
    """Give the colours that all slides are brought to, where the settings ask for it.

    With a model made elsewhere they are the model's. Otherwise they are fitted on the development
    slides and kept in `bags/colour_reference.json` until one of these is added, changed or mended.

    Raises
    ------
    SettingsError
        If there is no development slide to fit one on.
    FileFormatError
        If the model holds no such reference.
    """
    from feature_extraction.colour import METHODS_WITH_REFERENCE
    from feature_extraction.colour_sample import (
        files_of_reference,
        fit_development_reference,
        what_decides_a_reference,
    )
    from feature_extraction.slide_lock import lock_file

    settings = study.settings.extraction
    if settings.stain not in METHODS_WITH_REFERENCE or _has_model_of_elsewhere(study):
        return _reference_at_hand(study)
    slides = study.manifest.development.slides
    path = _path_of_reference(study)
    # The shards of a study need one between them.
    with lock_file(path.with_suffix(".lock"), wait=True):
        if kept := _kept_reference(study):
            return kept
        content: dict[str, object] = {
            "decided_by": what_decides_a_reference(slides, settings),
            "files": files_of_reference(slides, settings),  # as they are before they are read
        }
        with progress("colours (slides)", len(slides)) as advance:
            reference = fit_development_reference(slides, settings, lambda s: advance(note=s))
        write_json(path, {**content, "reference": reference.to_json()})
    return reference


def _reference_at_hand(study: Study) -> "ColourReference | None":
    """Give what `colour_reference` gives where it is there already, and fit nothing."""
    from feature_extraction.colour import METHODS_WITH_REFERENCE

    settings = study.settings.extraction
    if settings.stain not in METHODS_WITH_REFERENCE:
        return None
    if _has_model_of_elsewhere(study):
        return _reference_of_model(study)
    return _kept_reference(study)


def _path_of_reference(study: Study) -> Path:
    return study.bags / "colour_reference.json"


def _kept_reference(study: Study) -> "ColourReference | None":
    """Take the reference that is there, unless it is of other settings, slides or images."""
    from feature_extraction.colour import ColourReference
    from feature_extraction.colour_sample import files_of_reference, what_decides_a_reference

    path, settings = _path_of_reference(study), study.settings.extraction
    slides = study.manifest.development.slides
    kept = read_json(path) if path.exists() else None
    if not isinstance(kept, dict) or not isinstance(before := kept.get("files"), dict):
        return None
    if kept.get("decided_by") != what_decides_a_reference(slides, settings):
        return None
    files = files_of_reference(slides, settings)
    # Images that are archived once a model is made do not undo what was learnt from them.
    if any(now is not None and now != before.get(slide) for slide, now in files.items()):
        return None
    return ColourReference.from_json(kept.get("reference"), path)


def _has_model_of_elsewhere(study: Study) -> bool:
    return study.model != study.out / "model"


def _encoding_of_model(study: Study) -> "Mapping[str, Attribute]":
    from cmil.bundle import read_bundle

    return read_bundle(study.model).facts.encoding


def encoding_asked_for(study: Study) -> "Mapping[str, tuple[str, Attribute]]":
    """Give, for what bags will state of these settings, the setting's name and the value."""
    from feature_extraction.recipe import rule_text, stated_of

    settings = study.settings.extraction
    renamed = {"images_are": "images", "mpp_used": "mpp", "colours": "icc"}
    stated = {name: (renamed.get(name, name), value) for name, value in stated_of(settings).items()}
    rule = {"rule": ("keep", rule_text(settings.rule))}
    return {"encoder": ("encoder", settings.encoder), **stated, **rule}


def _reference_of_model(study: Study) -> "ColourReference":
    import json

    from feature_extraction.colour import ColourReference

    try:
        content = json.loads(str(_encoding_of_model(study).get("stain_reference")))
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f'model "{study.model}" holds no colour reference; restore its model.json, or run '
            "cmil train again"
        ) from error
    return ColourReference.from_json(content, study.model / "model.json")


def _asked_of_slides(study: Study, work: Work, reference: "ColourReference | None") -> "Extraction":
    from feature_extraction.slide_job import Extraction

    return Extraction(
        study.settings.extraction,
        study.bags,
        study.settings.seed,
        reference,
        work.coordinates,
        work.retry_failed,
    )


def _stage_of(study: Study, settings: Mapping[str, Any]) -> Stage:
    return study.stage("extract", "bags", {"cohort": study.manifest.digest}, settings)


def _settings_of_bags(study: Study) -> Mapping[str, Any]:
    """Give what the bags were made with, as far as it is recorded, and the rule of now."""
    asked = study.settings.extraction.model_dump(mode="json")
    record = _stage_of(study, asked).record
    before = read_json(record) if record.exists() else None
    made_with = before.get("settings") if isinstance(before, dict) else None
    return {**asked, **(made_with or {}), "keep": asked["keep"]}


def _record_of(record: Path, shard: tuple[int, int]) -> Path:
    part, parts = shard
    return record if parts == 1 else record.with_name(f"run-{part}-of-{parts}.json")


def _engine_of(work: Work, advance: Advance) -> "Engine":
    if work.machines.engine == "ray":
        from feature_extraction.ray_engine import extract_on_ray

        return extract_on_ray(work.machines.address)
    from feature_extraction.extract import extract_here

    def on_patches(slide_id: str, done: int, of: int) -> None:
        advance(0, note=f"{slide_id}: {done / of:.0%}")

    return extract_here(on_patches)


def _teller(advance: Advance) -> "Callable[[SlideOutcome], None]":
    def tell(outcome: "SlideOutcome") -> None:
        if outcome.state == "failed":
            say(_why(outcome))
        elif outcome.note:
            say(f'slide "{outcome.slide_id}": {outcome.note}')
        advance(note=outcome.slide_id)

    return tell


def _summed_up(outcomes: "Sequence[SlideOutcome]") -> list[str]:
    """Say how the slides fared; give the reasons of those that failed."""
    number = dict.fromkeys(("made", "refiltered", "reused", "duplicate", "failed"), 0)
    for outcome in outcomes:
        number[outcome.state] += 1
    parts = [f"{number['made']} bags made", f"{number['reused']} up to date"]
    if number["refiltered"]:
        parts.append(f"{number['refiltered']} filtered anew")
    if number["duplicate"]:
        parts.append(f"{number['duplicate']} slides left out as copies")
    say(f"extract: {', '.join(parts)}, {number['failed']} slides failed")
    doubled = sum(outcome.duplicates for outcome in outcomes)
    if doubled:
        say(f"extract: images left out as copies of others of the same patient: {doubled}")
    dropped = sum(outcome.dropped for outcome in outcomes)
    kept = sum(outcome.patches for outcome in outcomes)
    say(f"extract: {kept} patches kept, {dropped} dropped by the rule")
    return [_why(outcome) for outcome in outcomes if outcome.state == "failed"]


def _why(outcome: "SlideOutcome") -> str:
    return f"{outcome.reason} ({outcome.note})" if outcome.note else outcome.reason
