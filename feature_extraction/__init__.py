"""From images to bags: every slide of a cohort becomes one HDF5 file of patch embeddings.

`extract` does the whole stage; `read_bag` is what everyone downstream needs of it. The heavy
imports (torch, OpenSlide) happen only when images are read.
"""

from feature_extraction.bags import Bag, read_bag, write_bag
from feature_extraction.settings import ExtractionSettings

__all__ = ["Bag", "ExtractionSettings", "read_bag", "write_bag"]
