"""Choose the reader for what a manifest row names."""

from cohorts.manifest import Slide, SourceKind
from feature_extraction.sources.canvas import Source
from feature_extraction.sources.image_source import ImageSource
from feature_extraction.sources.openslide_source import OpenSlideSource


def open_source(slide: Slide) -> Source:
    """Find the reader for `slide`; the pixels are opened canvas by canvas.

    Raises
    ------
    ImageError
        If a folder or list names no image.
    """
    match slide.kind:
        case SourceKind.FOLDER:
            return ImageSource.from_folder(slide.path)
        case SourceKind.LIST:
            return ImageSource.from_list(slide.path)
        case SourceKind.IMAGE:
            return ImageSource([slide.path], [slide.path.name])
        case SourceKind.SLIDE:
            return OpenSlideSource(slide.path)
