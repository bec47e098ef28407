"""How many bits of a stored sample hold light, and its high 8 of them.

Cameras of 10, 12 or 14 bits are stored in 16 without a word about it. Taken by the high byte,
their images would be up to 64 times too dark.
"""

import numpy as np
from numpy.typing import NDArray

# Whatever reaches this fills 16 bits.
BEYOND_CAMERAS = 1 << 14
_CAMERAS = (8, 10, 12, 14)


def bits_held(bits: int, brightest: int) -> int:
    """Bits that samples of `bits` bits use where none of them exceeds `brightest`.

    Bright glass fills a camera's range: what stays below 4096 all over has 12 bits, not 16, and
    what stays below a quarter of them is darker than any smear. It has to be asked of an image as a
    whole, for a dark part of it would pass for an image of its own.
    """
    if bits != 16:
        return bits
    return next((held for held in _CAMERAS if brightest < 1 << held), bits)


def high_byte(samples: NDArray[np.uint8] | NDArray[np.uint16], held: int) -> NDArray[np.uint8]:
    """Take the high 8 of `held` bits; never a stretch to the samples' own range.

    A value beyond, which the measure of the whole did not see, is the brightest.
    """
    if held <= 8:
        return samples.astype(np.uint8)
    eight: NDArray[np.uint8] = np.minimum(samples >> (held - 8), 255).astype(np.uint8)
    return eight
