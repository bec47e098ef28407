"""Where pixels come from. One protocol; nothing downstream knows which kind it reads.

A `Source` is what one manifest row names; it holds one or more `Canvas`es: a slide is a single
canvas, a folder or list of images has one for each image.
"""

from feature_extraction.sources.canvas import Canvas, Source
from feature_extraction.sources.opening import open_source

__all__ = ["Canvas", "Source", "open_source"]
