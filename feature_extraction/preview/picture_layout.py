"""Put pictures and words on one white sheet."""

from collections.abc import Sequence
from functools import cache

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

MARGIN = 16
INK, QUIET = (25, 25, 25), (90, 90, 90)
_LEADING = 1.4
_NICE = (1, 2, 5)


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Matplotlib brings this font along, so that a server without fonts draws the same."""
    weight = "bold" if bold else "normal"
    return ImageFont.truetype(
        font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight)),
        size,
    )


def stacked(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Put pictures below each other, all at the left."""
    width = max(picture.width for picture in pictures)
    height = sum(picture.height + gap for picture in pictures) - gap
    sheet = Image.new("RGB", (width, height), "white")
    y = 0
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height + gap
    return sheet


def side_by_side(pictures: Sequence[Image.Image], gap: int = MARGIN) -> Image.Image:
    """Put pictures beside each other, all at the top."""
    width = sum(picture.width + gap for picture in pictures) - gap
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width + gap
    return sheet


def framed(picture: Image.Image) -> Image.Image:
    """Put a margin around a picture."""
    size = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    sheet = Image.new("RGB", size, "white")
    sheet.paste(picture, (MARGIN, MARGIN))
    return sheet


def paragraph(
    text: str,
    width: int,
    size: int,
    *,
    bold: bool = False,
    colour: tuple[int, int, int] = INK,
) -> Image.Image:
    """Write text in as many lines as it needs; a word wider than `width` px is cut short."""
    face = font(size, bold=bold)
    lines: list[str] = []
    for word in (shortened(word, face, width) for word in text.split()):
        if lines and face.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    step = round(size * _LEADING)
    sheet = Image.new("RGB", (width, max(1, len(lines)) * step), "white")
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((0, number * step), line, fill=colour, font=face)
    return sheet


def shortened(text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """Leave out the middle of a text that is wider than `width` px: names differ at their ends."""
    if face.getlength(text) <= width:
        return text
    kept = len(text) - 1
    while kept > 1 and face.getlength(_without_middle(text, kept)) > width:
        kept -= 1
    return _without_middle(text, kept)


def draw_scale_bar(picture: Image.Image, microns_per_px: float) -> None:
    """Draw a bar of a round length, with that length, into the lower left corner of a picture."""
    microns = round_length(picture.width * microns_per_px / 4)
    length = max(1, round(microns / microns_per_px))
    text = length_text(microns)
    draw = ImageDraw.Draw(picture)
    face = font(15, bold=True)
    words = round(face.getlength(text))
    left, bottom = 10, picture.height - 10
    middle = left + 8 + max(length, words) / 2
    draw.rectangle((left, bottom - 38, left + 16 + max(length, words), bottom), fill="white")
    draw.rectangle((middle - length / 2, bottom - 11, middle + length / 2, bottom - 6), fill=INK)
    draw.text((middle, bottom - 24), text, fill=INK, font=face, anchor="mm")


def round_length(longest: float) -> float:
    """Give the longest length of 1, 2 or 5 times a power of ten that is at most `longest`."""
    power = 10.0 ** len(str(int(longest))) if longest >= 1 else 1.0
    while True:
        for factor in reversed(_NICE):
            if factor * power <= longest:
                return factor * power
        power /= 10


def length_text(microns: float) -> str:
    """Give a length in the unit a microscopist would use."""
    return f"{microns / 1000:g} mm" if microns >= 1000 else f"{microns:.3g} \N{MICRO SIGN}m"


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: -(-kept // 2)]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - kept // 2 :]}"
