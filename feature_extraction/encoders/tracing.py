"""Trace networks with torch.jit, which torch calls deprecated."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch.jit._trace import TracerWarning


@contextmanager
def tracing_quietly() -> Iterator[None]:
    """Leave out the warnings of a trace, ours or OpenVINO's.

    What replaces torch.jit, torch.compile, needs a C++ compiler where it runs and a minute or more
    at each start. The tracer suspects every condition on a size; whether it was right is seen by
    comparing vectors.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.*deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", category=TracerWarning)
        yield
