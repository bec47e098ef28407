"""What may befall one slide."""

import cv2

from cohorts.errors import AccessError, DataError, EncoderError, FileFormatError, ImageError

# It is told of the slide and must not stop the others; a mistake of ours is none of these.
FAILURES = (
    AccessError,
    DataError,
    EncoderError,
    FileFormatError,
    ImageError,
    MemoryError,
    OSError,
    cv2.error,
)
