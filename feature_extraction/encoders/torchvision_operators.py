"""Let torchvision be imported beside a torch it was not compiled for.

The torchvision wheel on PyPI is built against a CUDA torch; beside a CPU-only torch its compiled
operators cannot be loaded, and importing it (timm does) fails with `operator torchvision::nms
does not exist`. No encoder uses those operators: declaring their schemas is enough.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []


def declare_torchvision_operators() -> None:
    """Declare the operators that torchvision's import refers to, unless it brings its own."""
    if _declared or hasattr(torch.ops.torchvision, "nms"):
        return
    if _loads_its_own_operators():
        return
    library = torch.library.Library("torchvision", "DEF")
    for name, schema in _SCHEMAS.items():
        library.define(name + schema)
    _declared.append(library)  # a library that is garbage-collected takes its operators along


def _loads_its_own_operators() -> bool:
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for compiled in [*Path(folder).glob("_C*.so"), *Path(folder).glob("_C*.pyd")]:
            try:
                torch.ops.load_library(compiled)
            except OSError:
                return False
            return True
    return False
