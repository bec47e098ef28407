"""Colours as the scanner's ICC profile means them: any canvas in sRGB."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from cohorts.errors import ImageError
from feature_extraction.sources.canvas import Canvas, IccState, Rgb
from feature_extraction.units import Level0Px, Mpp, PatchPx

# Rounding moves a colour by one step; a profile that moves none further is sRGB, whatever its name.
_SAME_COLOUR = 1
_PROBED_LEVELS = 9


class SrgbCanvas(Canvas):
    """A canvas whose pixels are converted to sRGB after they are read and shrunk."""

    def __init__(self, canvas: Canvas, name: str, profile: bytes) -> None:
        self._canvas = canvas
        self._transform = srgb_transform(name, profile)

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height in level-0 px."""
        return self._canvas.dimensions

    @property
    def mpp(self) -> Mpp | None:
        """What the file states."""
        return self._canvas.mpp

    @property
    def magnification(self) -> float | None:
        """What the file states."""
        return self._canvas.magnification

    @property
    def reader(self) -> str:
        """What reads the file."""
        return self._canvas.reader

    @property
    def colour_profile(self) -> bytes | None:
        """None: the pixels are sRGB."""
        return None

    @property
    def icc(self) -> IccState:
        """The profile is applied."""
        return "applied"

    def read_region(self, x: Level0Px, y: Level0Px, side: Level0Px, out_px: PatchPx) -> Rgb:
        """Read the square in sRGB."""
        return self._in_srgb(self._canvas.read_region(x, y, side, out_px))

    def thumbnail(self, longest: int) -> Rgb:
        """Read the whole image in sRGB."""
        return self._in_srgb(self._canvas.thumbnail(longest))

    def close(self) -> None:
        """Release the file."""
        self._canvas.close()

    def _in_srgb(self, pixels: Rgb) -> Rgb:
        return pixels if self._transform is None else _converted(pixels, self._transform)


def in_srgb(canvas: Canvas, name: str) -> Canvas:
    """Give `canvas` with its colour profile applied, or itself if it has none.

    Raises
    ------
    ImageError
        If the profile is damaged or not one of RGB; the canvas is closed.
    """
    profile = canvas.colour_profile
    if profile is None:
        return canvas
    try:
        return SrgbCanvas(canvas, name, profile)
    except ImageError:
        canvas.close()
        raise


def srgb_transform(name: str, profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """Build the transform of a profile to sRGB, or None if the profile is sRGB already.

    The rendering intent is the one the profile names for itself. Whether it is sRGB is not asked
    of its name but of its effect on colours spread over the cube.

    Raises
    ------
    ImageError
        If the profile is damaged or not one of RGB.
    """
    try:
        return _transform_of(profile)
    except _UnusableProfileError as fault:
        raise ImageError(
            f'the colour profile of "{name}" {fault}; take the colours as they are with '
            "icc = false under [extraction]"
        ) from fault


class _UnusableProfileError(Exception):
    """What is wrong with a profile, whatever image it is of."""


# The images of a camera have one profile, and a transform costs more than a small image.
@lru_cache(maxsize=16)
def _transform_of(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    try:
        stated = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = stated.profile.xcolor_space.strip()
        if space == "RGB":
            transform = ImageCms.buildTransform(
                stated,
                ImageCms.createProfile("sRGB"),
                "RGB",
                "RGB",
                ImageCms.Intent(ImageCms.getDefaultIntent(stated)),
            )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        raise _UnusableProfileError("is damaged") from error
    if space != "RGB":
        raise _UnusableProfileError(f"is for {space}, not for RGB")
    levels = np.linspace(0, 255, _PROBED_LEVELS).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_PROBED_LEVELS, -1, 3)
    moved = np.abs(_converted(cube, transform).astype(int) - cube).max()
    return None if moved <= _SAME_COLOUR else transform


def _converted(pixels: Rgb, transform: ImageCms.ImageCmsTransform) -> Rgb:
    """LittleCMS keeps nothing in a transform while it converts: threads may share one."""
    return np.asarray(transform.apply(Image.fromarray(pixels)))
