"""What a study needs beside the machine: its manifest and slides, and its encoder's weights."""

import os
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cmil.forecast_table import duration
from cmil.machine_checks import Check
from cmil.study_settings import StudySettings
from cohorts.errors import AccessError, EncoderError, ImageError
from cohorts.manifest import Cohort, Slide, read_cohort
from feature_extraction.settings import ExtractionSettings

_HUB = ("huggingface.co", 443)
# A resolver without a network may take half a minute to say so.
_PATIENCE = 3.0
_PATCHES = 100_000
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def manifest(settings: StudySettings) -> list[Check]:
    """Validate the manifest, and open the first slide of every centre.

    Raises
    ------
    ManifestError
        With one line for each problem.
    """
    cohort = read_cohort(settings.cohort, settings.survival.covariates, settings.survival.words)
    kinds = Counter(slide.kind.value for slide in cohort.slides)
    counted = ", ".join(f"{number} {kind}s" for kind, number in sorted(kinds.items()))
    finding = f"valid: {len(cohort.patients)} patients, {counted}"
    return [Check("manifest", "ok", finding), *_first_of_each_centre(cohort, settings.extraction)]


def _first_of_each_centre(cohort: Cohort, settings: ExtractionSettings) -> list[Check]:
    centre_of = cohort.patients["centre"]
    first: dict[str, Slide] = {}
    for slide in cohort.slides:
        first.setdefault(str(centre_of[slide.patient_id]), slide)
    return [_opens(f"centre {centre}", slide, settings) for centre, slide in first.items()]


def _opens(name: str, slide: Slide, settings: ExtractionSettings) -> Check:
    from feature_extraction.geometry import geometry_of
    from feature_extraction.sources import open_source

    named = f'slide "{slide.slide_id}" (manifest row {slide.row})'
    try:
        with open_source(slide, icc=settings.icc).open(0) as canvas:
            width, height = canvas.dimensions
            reader = canvas.reader
            if settings.images == "cells":
                return Check(name, "ok", f"{named} opens: {width} x {height} pixels, {reader}")
            mpp = geometry_of(slide, canvas, settings).source_mpp
    except (ImageError, AccessError, OSError) as error:
        return Check(name, "problem", f"{named}: {' '.join(str(error).split())}")
    scale = "no resolution stated or needed" if mpp is None else f"{mpp:.4g} um per pixel"
    return Check(name, "ok", f"{named} opens: {width} x {height} pixels, {scale}, {reader}")


def encoder(settings: ExtractionSettings) -> list[Check]:
    """See that the weights are there and fit, and time the encoder on this machine.

    Nothing is downloaded: where weights are still to come, random ones are timed.

    Raises
    ------
    EncoderError
        If the encoder cannot be built.
    """
    checks = []
    timed = settings
    if _needs_published_weights(settings) and not _are_here(settings.encoder):
        checks.append(_reachable(settings.encoder))
        if settings.encoder.startswith("hf-hub:"):
            return checks  # the hub also says what network it is
        timed = settings.model_copy(update={"encoder": f"untrained:{settings.encoder}"})
    return [*checks, *_timed(timed)]


def _needs_published_weights(settings: ExtractionSettings) -> bool:
    without = settings.encoder == "stain-filters" or settings.encoder.startswith("untrained:")
    return not (settings.weights or without)


def _are_here(name: str) -> bool:
    """Look for published weights where the libraries that download them keep them."""
    from feature_extraction.encoders.presets import PRESETS
    from feature_extraction.encoders.torchvision_operators import declare_torchvision_operators

    declare_torchvision_operators()
    library, _, model = name.partition(":")
    if name in PRESETS:
        return _in_cache_of_hub(PRESETS[name].repository)
    if library == "hf-hub":
        return _in_cache_of_hub(model)
    if library == "timm":
        import timm

        facts = timm.get_pretrained_cfg(model) if timm.is_model(model.partition(".")[0]) else None
        if facts is None:
            raise EncoderError(f'timm has no model "{model}"; see timm.list_models()')
        repository, url = facts.hf_hub_id, str(facts.url or "")
        if repository and _in_cache_of_hub(repository, facts.hf_hub_filename):
            return True
        return bool(url) and _in_cache_of_torch(url)
    if library == "torchvision":
        from torchvision import models

        if model not in models.list_models(module=models):
            raise EncoderError(f'torchvision has no model "{model}"; check its name')
        return _in_cache_of_torch(models.get_model_weights(model)["DEFAULT"].url)
    return True  # a name that is not known is refused, with those that are, when it is built


def _in_cache_of_hub(repository: str, file: str | None = None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    names = (file,) if file else _HUB_FILES
    return any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def _in_cache_of_torch(url: str) -> bool:
    import torch

    return (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file()


def _reachable(name: str) -> Check:
    from feature_extraction.encoders.downloads import ELSEWHERE

    missing = f'the weights of "{name}" are not on this machine'
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
        return Check("weights", "problem", f"{missing} and HF_HUB_OFFLINE is set; {ELSEWHERE}")
    if urllib.request.getproxies():
        return Check("weights", "warning", f"{missing}; extraction asks the proxy for them")
    if _answers(_HUB):
        return Check("weights", "warning", f"{missing}; extraction will download them first")
    return Check("weights", "problem", f"{missing} and the hub cannot be reached; {ELSEWHERE}")


def _answers(address: tuple[str, int]) -> bool:
    """Whether a server takes a connection, within seconds whatever the resolver does."""
    answered = threading.Event()

    def connect() -> None:
        try:
            with socket.create_connection(address, timeout=_PATIENCE):
                answered.set()
        except OSError:
            pass  # then it is not reached

    threading.Thread(target=connect, daemon=True).start()
    return answered.wait(_PATIENCE)


def _timed(settings: ExtractionSettings) -> Sequence[Check]:
    from feature_extraction.encoders import describe_device, load_encoder
    from feature_extraction.rates import time_encoder

    built = load_encoder(settings)
    where = f"{describe_device(built.device)}, {built.backend}, {built.precision}"
    drift = "" if built.drift is None else f", lowest cosine to torch in float32 {built.drift:.4f}"
    passed_over = "".join(f"; not {reason}" for reason in built.passed_over)
    finding = f"{built.name}, {built.dimension} numbers a patch: {where}{drift}{passed_over}"
    rate = time_encoder(built, settings.patch_px, settings.batch_size)
    needed = duration(_PATCHES / rate / 3600)
    speed = f"{rate:,.1f} patches a second: {_PATCHES:,} patches in {needed}, reading aside"
    return [Check("encoder", "ok", finding), Check("speed", "ok", speed)]
