"""The pixels from which a slide's colours are learnt, and the reference of a development cohort."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from cohorts.errors import AccessError, ImageError, SettingsError
from cohorts.files import digest_of
from cohorts.manifest import Slide
from feature_extraction.colour import ColourReference, SlideColour, fit_reference, fit_slide
from feature_extraction.identity import stat_of
from feature_extraction.patch_reading import block_readers
from feature_extraction.patches import Reading
from feature_extraction.settings import ExtractionSettings
from feature_extraction.sources import Source, open_source
from feature_extraction.sources.canvas import Rgb

# Statistics of a slide settle with some dozen patches; more would only be read twice.
_PATCHES = 48
_SEED = 0


def colour_sample(
    slide: Slide, source: Source, settings: ExtractionSettings, left_out: frozenset[int]
) -> Rgb:
    """Read patches that are spread over a slide, as they will be embedded but in their own colours.

    Returns
    -------
    (n * patch_px, patch_px, 3) uint8, one patch below the other.

    Raises
    ------
    ImageError
        If the slide cannot be read, or holds nothing that is stained.
    """
    sampled = settings.model_copy(update={"max_patches": _PATCHES})
    patches: list[Rgb] = []
    with block_readers(slide, source, Reading(sampled, left_out=left_out, seed=(_SEED,))) as blocks:
        for read in blocks:
            patches.extend(read().pixels)
            if len(patches) >= _PATCHES:
                break
    if not patches:
        raise ImageError("holds nothing that is stained; is it an empty glass?")
    return np.concatenate(patches[:_PATCHES])


def measure_slide(
    slide: Slide, source: Source, settings: ExtractionSettings, left_out: frozenset[int]
) -> SlideColour:
    """Measure the colours of a slide, for the normalisation that the settings ask for.

    Raises
    ------
    ImageError
        If the slide cannot be read, or does not show what the method measures.
    SettingsError
        If the settings ask for no normalisation.
    """
    if settings.stain == "none":
        raise SettingsError('stain = "none" measures no colours')
    return fit_slide(settings.stain, colour_sample(slide, source, settings, left_out))


def fit_development_reference(
    slides: Sequence[Slide],
    settings: ExtractionSettings,
    on_slide: Callable[[str], None] = lambda _: None,
) -> ColourReference:
    """Fit the colours that all slides are brought to, on the development cohort's slides.

    Slides whose images do not serve are passed over here; extraction lists them.

    Raises
    ------
    AccessError
        If a slide cannot be reached now: the reference would be of the others, for ever.
    SettingsError
        If none of the slides serves.
    """
    fitted, problem = [], "there is none"
    for slide in slides:
        try:
            source = open_source(slide, icc=settings.icc)
            fitted.append(measure_slide(slide, source, settings, frozenset()))
        except (AccessError, OSError) as error:
            raise AccessError(
                f'slide "{slide.slide_id}" is needed for the colour reference, but {error}; run '
                "again when it can be read, or remove its row"
            ) from error
        except (ImageError, MemoryError, cv2.error) as error:
            problem = f'slide "{slide.slide_id}": {error}'
        on_slide(slide.slide_id)
    if not fitted:
        raise SettingsError(
            f'stain = "{settings.stain}" needs a development slide to fit its reference on '
            f"({problem}); mend it, or name a model that holds a reference with --model"
        )
    return fit_reference(fitted)


def what_decides_a_reference(slides: Sequence[Slide], settings: ExtractionSettings) -> str:
    """Digest of what a reference depends on, the images themselves apart."""
    chosen = {"stain", "images", "mpp", "patch_px", "min_stained", "icc"}
    rows = [[slide.slide_id, slide.mpp] for slide in slides]
    return digest_of([settings.model_dump(mode="json", include=chosen), rows])


def files_of_reference(
    slides: Sequence[Slide], settings: ExtractionSettings
) -> dict[str, str | None]:
    """Tell the state of each slide's files without reading them; None where it cannot be opened."""
    states: dict[str, str | None] = {}
    for slide in slides:
        try:
            states[slide.slide_id] = stat_of(open_source(slide, icc=settings.icc))
        except (ImageError, AccessError, OSError):
            states[slide.slide_id] = None
    return states
