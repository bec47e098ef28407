"""Decode an ordinary image: bounded, upright, opaque, 8 bits a channel."""

import struct
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cohorts.errors import AccessError, ImageError
from feature_extraction.sources.canvas import Rgb, one_line
from feature_extraction.sources.sample_depth import bits_held, high_byte

# A field of view has a few million pixels. More than this is a slide, or a file made to exhaust
# memory; Pillow's own limit lies higher and only warns.
MAX_PIXELS = 80_000_000
# Never what the content claims to be: a PostScript file named .png would start another program.
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
# What Pillow, tifffile and the codecs raise on damaged pixels, headers and EXIF.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_END_OF_PNG = b"\0\0\0\0IEND\xaeB`\x82"
# How libjpeg begins to say that pixels are lost. Pillow does not listen, and shows grey for them.
_JPEG_DAMAGE = ("corrupt", "premature")
# Pillow knows no other: compressions that tifffile decodes with its codecs.
_BY_CODEC = frozenset(
    tifffile.COMPRESSION[name]
    for name in (
        "APERIO_JP2000_YCBC", "APERIO_JP2000_RGB", "JPEG2000", "JPEG_2000_LOSSY", "WEBP", "JPEGXL",
        "JPEGXL_DNG",
    )
)  # fmt: skip
_EXIF_ORIENTATION = 0x0112
# Where a PNG may say that the camera was held sideways.
_ORIENTED_BY = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
_ICC_PROFILE_TAG = 34675
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class DecodedImage:
    """Pixels, and the ICC profile they still need to become sRGB.

    `colour_profile` is None where the file has none for red, green and blue: a profile of inks
    (CMYK) or of grey says nothing about pixels that were converted.
    """

    pixels: Rgb
    colour_profile: bytes | None


def decode_image(path: Path, name: str | None = None) -> DecodedImage:
    """Decode an image file upright, as (height, width, 3) uint8, transparency on white.

    16 bits become 8 by their high byte, so that images of one camera stay comparable; where no
    value reaches 4096, the file holds the 12 bits of a camera and their high 8 are taken.

    Parameters
    ----------
    path
        JPEG, PNG, TIFF or BMP, told by its content.
    name
        What a message calls it; without it, the file's name.

    Raises
    ------
    ImageError
        If the file is empty, truncated, no image, holds several images, has pixels of unknown
        range, or more than `MAX_PIXELS` pixels.
    AccessError
        If the file cannot be read now.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            signature = file.read(4)
            file.seek(0)
            if not signature:
                raise ImageError(f'image "{name}" is empty (0 bytes); replace or remove it')
            if signature in _TIFF_SIGNATURES:
                return _decode_tiff(file, name)
            return _decode_other(file, name)
    except _DECODING_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise AccessError(
                f'image "{name}" cannot be read ({error.strerror}); check permissions, the disk or '
                "network share"
            ) from error
        raise ImageError(
            f'image "{name}" cannot be decoded ({one_line(error)}); '
            "it is truncated or not an image: replace or remove it"
        ) from error


def _decode_other(file: BinaryIO, name: str) -> DecodedImage:
    with Image.open(file, formats=_FORMATS) as image:
        _refuse_large(image.width, image.height, name)
        if image.format == "PNG" and getattr(image, "is_animated", False):
            raise _several_images(name)
        profile = _rgb_profile(image.info.get("icc_profile"))
        file.seek(0)
        # Whatever is longer than this is no image of that size; cut, it is left to Pillow.
        content = file.read(10 * image.width * image.height + (1 << 20))
        if image.format == "PNG" and content[24] == 16:
            deep = _as_image(_eight_bits(_deep_png(content), 16))
            return DecodedImage(_opaque(_upright(deep, _orientation(image))), profile)
        plain = _decode_plain(image, content)
        if plain is not None:
            return DecodedImage(plain, profile)
        file.seek(0)
    with Image.open(file, formats=_FORMATS) as image:
        return DecodedImage(_opaque(ImageOps.exif_transpose(image)), profile)


def _decode_plain(image: Image.Image, content: bytes) -> Rgb | None:
    """Decode the usual JPEG or PNG upright, without Pillow's detour; None for what is not usual.

    The codecs give Pillow's pixels, sooner, and let other threads run meanwhile.

    Raises
    ------
    ValueError
        If pixels of a JPEG are lost, which Pillow would not say.
    """
    if image.mode not in {"RGB", "L"} or "transparency" in image.info:
        return None
    turned = 1
    if image.format == "JPEG":
        pixels, turned = _decode_jpeg(content), _orientation(image)
    elif _is_plain_png(image, content):
        pixels = _decode_png(content)
    else:
        return None
    if pixels is None or pixels.shape[:2] != (image.height, image.width):
        return None
    if pixels.dtype != np.uint8:
        return None
    return _turned(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2), turned)


def _decode_jpeg(content: bytes) -> NDArray[np.uint8] | None:
    try:
        return np.asarray(simplejpeg.decode_jpeg(content, "RGB"))
    except ValueError as error:
        if str(error).lower().startswith(_JPEG_DAMAGE):
            raise
        return None  # a kind this codec does not know: Pillow decides


def _decode_png(content: bytes) -> NDArray[np.uint8] | None:
    try:
        return np.asarray(imagecodecs.png_decode(content))
    except RuntimeError:
        return None  # damaged: Pillow says why


def _deep_png(content: bytes) -> NDArray[np.uint16]:
    """Decode 16 bits a channel, a colour that stands for transparency as a channel of its own."""
    if _END_OF_PNG not in content:
        raise ValueError("the file ends early")
    return np.asarray(imagecodecs.png_decode(content))


def _is_plain_png(image: Image.Image, content: bytes) -> bool:
    if image.format != "PNG" or content[24] != 8 or not content.endswith(_END_OF_PNG):
        return False
    # EXIF may stand behind the pixels; a mention is enough to leave the image to Pillow.
    return not any(word in content for word in _ORIENTED_BY)


def _decode_tiff(file: BinaryIO, name: str) -> DecodedImage:
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        _refuse_large(page.imagewidth, page.imagelength, name)
        # Smaller copies of the first image, as pyramids have them, are marked as such.
        if not all(_is_reduced(other) for other in islice(tiff.pages, 1, None)):
            raise _several_images(name)
        profile = _rgb_profile(page.tags.valueof(_ICC_PROFILE_TAG))
        bits = page.bitspersample
        if page.dtype is not None and (page.dtype.kind not in "ub" or bits > 16):
            raise ImageError(
                f'image "{name}" has {bits}-bit pixels of unknown range; save it with 8 bits'
            )
        if bits > 8 or page.compression in _BY_CODEC:
            turned = page.tags.valueof(_EXIF_ORIENTATION, default=1)
            return DecodedImage(_opaque(_upright(_by_tifffile(page, bits), turned)), profile)
    file.seek(0)
    with Image.open(file, formats=_FORMATS) as image:
        return DecodedImage(_opaque(ImageOps.exif_transpose(image)), profile)


def _is_reduced(page: tifffile.TiffPage | tifffile.TiffFrame) -> bool:
    return isinstance(page, tifffile.TiffPage) and bool(page.subfiletype & 1)


def _by_tifffile(page: tifffile.TiffPage, bits: int) -> Image.Image:
    kinds = tifffile.PHOTOMETRIC
    read = {kinds.MINISBLACK, kinds.MINISWHITE, kinds.RGB}
    if page.compression in _BY_CODEC:
        read.add(kinds.YCBCR)  # which the codecs give as RGB
    if page.photometric not in read:
        raise ValueError(f"photometric {page.photometric:d} with {bits} bits is not read")
    samples = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    colours = 3 if page.samplesperpixel >= 3 else 1
    alpha = page.extrasamples[0] if page.extrasamples else 0
    if samples.ndim == 3:
        samples = samples[..., : colours + (alpha != 0)]
    stated = int(np.max(page.tags.valueof("MaxSampleValue", default=0)))
    deep = _eight_bits(samples, bits, stated if 0 < stated < (1 << bits) - 1 else None)
    if page.photometric == kinds.MINISWHITE:
        deep = 255 - deep
    return _as_image(deep, premultiplied=alpha == tifffile.EXTRASAMPLE.ASSOCALPHA)


def _eight_bits(
    samples: NDArray[np.uint8] | NDArray[np.uint16], bits: int, brightest: int | None = None
) -> NDArray[np.uint8]:
    """Take the high 8 bits of (H, W) or (H, W, S) samples, none of them above `brightest`."""
    channels = samples.shape[2] if samples.ndim == 3 else 1
    transparent = samples.ndim == 3 and channels in {2, 4}
    colour = samples[..., :-1] if transparent else samples
    brightest = int(colour.max()) if brightest is None else brightest
    eight = high_byte(colour, bits_held(bits, brightest))
    if not transparent:
        return eight
    return np.concatenate([eight, high_byte(samples[..., -1:], bits)], axis=2)


def _as_image(pixels: NDArray[np.uint8], *, premultiplied: bool = False) -> Image.Image:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    clear = {2: "La", 4: "RGBa"} if premultiplied else {2: "LA", 4: "RGBA"}
    mode = {1: "L", 3: "RGB", **clear}[channels]
    height, width = pixels.shape[:2]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes())
    return image.convert(mode.upper()) if premultiplied and channels in clear else image


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    stated = image.getexif().get(_EXIF_ORIENTATION)
    return stated if isinstance(stated, int) else 1


def _turned(pixels: Rgb, orientation: int) -> Rgb:
    if orientation not in _UPRIGHT:
        return pixels
    return np.asarray(_upright(Image.fromarray(pixels), orientation))


def _opaque(image: Image.Image) -> Rgb:
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        backdrop = Image.new("RGBA", clear.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(backdrop, clear).convert("RGB"))
    if image.mode.startswith("I;16"):
        image = _as_image(_eight_bits(np.asarray(image), 16))
    return np.asarray(image.convert("RGB"))


def _rgb_profile(profile: object) -> bytes | None:
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    return profile if isinstance(profile, bytes) and is_rgb else None


def _refuse_large(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f'image "{name}" has {width} x {height} pixels, more than '
            f"{MAX_PIXELS // 1_000_000} million; give it as a pyramidal TIFF"
        )


def _several_images(name: str) -> ImageError:
    return ImageError(
        f'image "{name}" holds several images; save each in a file of its own, so that none is lost'
    )
