"""Microns per pixel from what image files state, where that can be believed."""

from collections.abc import Mapping
from xml.etree import ElementTree

# A screen has 72 or 96 dots per inch, print 300 to 2,400, and programs write these into images of
# any scale. 5 um per pixel are 5,080 dots per inch: only a microscope states as much or more.
COARSEST_TRUSTED_MPP = 5.0
_FINEST_TRUSTED_MPP = 0.01
_MICRONS_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # inch and centimetre, as ResolutionUnit has them
# The sign for micro has two code points.
_MICRONS = {"pm": 1e-6, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_MICRONS |= {"\u00b5m": 1.0, "\u03bcm": 1.0}


def trusted_tag_mpp(stated: float | None) -> float | None:
    """Microns per pixel of a TIFF's resolution tags, None where no microscope would state it."""
    if stated is None or not _FINEST_TRUSTED_MPP <= stated <= COARSEST_TRUSTED_MPP:
        return None
    return stated


def tag_mpp(pixels_per_unit: tuple[int, int], unit: int) -> float | None:
    """Microns per pixel of the tag XResolution or YResolution, a fraction, where it is trusted.

    TIFF 6.0, section 8. A unit of 1 is none: the numbers then only give the pixels' shape.
    """
    microns = _MICRONS_PER_UNIT.get(unit)
    if microns is None or 0 in pixels_per_unit:
        return None
    return trusted_tag_mpp(microns * pixels_per_unit[1] / pixels_per_unit[0])


def imagej_mpp(metadata: Mapping[str, object], resolution: tuple[int, int]) -> float | None:
    """Microns per pixel of a TIFF by ImageJ, whose unit stands in its own description."""
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "\u00b5")
    microns = 1.0 if unit in {"micron", "microns"} else _MICRONS.get(unit)
    if microns is None or 0 in resolution:
        return None
    return trusted_tag_mpp(microns * resolution[1] / resolution[0])


def ome_mpp(xml: str, image: int) -> tuple[float | None, float | None]:
    """Microns per pixel, across and down, of image number `image` in an OME-XML description.

    OME states a size with its unit, micrometres where it names none; a size in pixels or in a
    frame of reference says nothing.
    """
    root = ElementTree.fromstring(xml)  # noqa: S314 - expat bounds what entities grow to
    images = [element for element in root if element.tag.endswith("}Image")]
    pixels = next(element for element in images[image] if element.tag.endswith("}Pixels"))

    def size(axis: str) -> float | None:
        microns = _MICRONS.get(pixels.get(f"PhysicalSize{axis}Unit", "\u00b5m"))
        stated = pixels.get(f"PhysicalSize{axis}")
        return None if microns is None or stated is None else microns * float(stated)

    return size("X"), size("Y")
