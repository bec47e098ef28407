"""Choose the reader for what a manifest row names."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import openslide

from cohorts.manifest import Slide, SourceKind
from feature_extraction.sources.canvas import Canvas, Source, UnopenableError
from feature_extraction.sources.colour_profile import in_srgb
from feature_extraction.sources.image_source import ImageSource
from feature_extraction.sources.openslide_source import OpenSlideCanvas
from feature_extraction.sources.slide_files import files_of_slide
from feature_extraction.sources.tiff_source import TiffCanvas, is_misread_by_openslide


def open_source(slide: Slide, *, icc: bool = True) -> Source:
    """Find the reader for `slide`; the pixels are opened canvas by canvas.

    With `icc`, an image that has a colour profile is read in sRGB.

    Raises
    ------
    ImageError
        If a folder or list names no image.
    """
    source = _source_of(slide)
    return SrgbSource(source) if icc else source


class SlideSource:
    """A whole slide; its single canvas is opened by the first reader that takes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def names(self) -> Sequence[str]:
        """The file's name."""
        return (self._path.name,)

    @cached_property
    def files(self) -> Sequence[Path]:
        """The file, and those beside it that hold its pixels."""
        return files_of_slide(self._path)

    def open(self, index: int) -> Canvas:
        """Open the slide; `index` is 0."""
        del index
        return open_slide(self._path)


class SrgbSource:
    """A source whose canvases are read in sRGB."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def names(self) -> Sequence[str]:
        """Names of the canvases."""
        return self._source.names

    @property
    def files(self) -> Sequence[Path]:
        """Files of the source."""
        return self._source.files

    def open(self, index: int) -> Canvas:
        """Open canvas `index` with its colour profile applied."""
        return in_srgb(self._source.open(index), self._source.names[index])


def open_slide(path: Path) -> Canvas:
    """Open a whole slide with OpenSlide, and what OpenSlide refuses with the reader of its kind.

    Raises
    ------
    ImageError
        If every reader refuses it; the line has the reasons of all.
    """
    refusals: list[UnopenableError] = []
    for reader in _readers_of(path):
        try:
            return reader(path)
        except UnopenableError as refusal:
            refusals.append(refusal)
    reasons = "; ".join(refusal.refusal for refusal in refusals)
    raise UnopenableError(path.name, reasons) from refusals[-1]


def _readers_of(path: Path) -> Sequence[Callable[[Path], Canvas]]:
    if path.suffix.lower() == ".dcm":
        return (OpenSlideCanvas, _open_dicom)
    kind = openslide.OpenSlide.detect_format(path)
    if kind == "generic-tiff" and is_misread_by_openslide(path):
        return (TiffCanvas,)
    return (OpenSlideCanvas, TiffCanvas)


def _open_dicom(path: Path) -> Canvas:
    from feature_extraction.sources.dicom_source import WsiDicomCanvas  # takes a second to load

    return WsiDicomCanvas(path)


def _source_of(slide: Slide) -> Source:
    match slide.kind:
        case SourceKind.FOLDER:
            return ImageSource.from_folder(slide.path)
        case SourceKind.LIST:
            return ImageSource.from_list(slide.path)
        case SourceKind.IMAGE:
            return ImageSource([slide.path], [slide.path.name])
        case SourceKind.SLIDE:
            return SlideSource(slide.path)
