"""An encoder made ready: patches in, vectors out."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from feature_extraction.encoders.runtime import (
    Backend,
    Pixels,
    Precision,
    Runtime,
    Vectors,
    no_room_for,
)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network from a patch to a vector, with the normalisation its weights expect.

    Attributes
    ----------
    name
        As the study names it.
    digest
        SHA-256 over architecture, weights, normalisation, input size, output and quantisation:
        two bags with the same digest are comparable.
    dimension
        D, the length of a vector.
    input_px
        Side of a patch that the network takes; patches of another size are resampled to it.
    drift
        Lowest cosine of centred embeddings of drawn patches to those of torch in float32, or
        None where torch computes in float32.
    passed_over
        What would have been preferred to compute it, and why it was not taken.
    """

    name: str
    digest: str
    dimension: int
    input_px: int
    runtime: Runtime
    drift: float | None = None
    passed_over: tuple[str, ...] = ()

    @property
    def backend(self) -> Backend:
        """What computes it."""
        return self.runtime.backend

    @property
    def precision(self) -> Precision:
        """In what numbers."""
        return self.runtime.precision

    @property
    def device(self) -> torch.device:
        """And where."""
        return self.runtime.device

    def __call__(self, patches: Pixels) -> Vectors:
        """Embed patches.

        Parameters
        ----------
        patches
            (B, H, W, 3) uint8 RGB.

        Returns
        -------
        (B, D) float32
        """
        return next(self.stream([patches]))

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Vectors]:
        """Embed batches in their order, the next one under way while one is collected.

        Parameters
        ----------
        batches
            Each (B, H, W, 3) uint8 RGB; read no further ahead than the runtime can use.

        Yields
        ------
        (B, D) float32

        Raises
        ------
        EncoderError
            If a batch does not fit into the GPU's memory.
        """
        started: deque[Callable[[], Vectors]] = deque()
        for batch in batches:
            started.append(self._start(batch))
            if len(started) >= self.runtime.in_flight:
                yield started.popleft()()
        while started:
            yield started.popleft()()

    def _start(self, batch: Pixels) -> Callable[[], Vectors]:
        try:
            return self.runtime.start(_fitted(batch, self.input_px))
        except torch.OutOfMemoryError as error:
            raise no_room_for(len(batch)) from error


def _fitted(patches: Pixels, side: int) -> Pixels:
    """Resample patches to the side the network takes, as Pillow does before normalisation."""
    if patches.shape[1:3] == (side, side):
        return np.ascontiguousarray(patches)
    images = torch.from_numpy(patches).permute(0, 3, 1, 2)
    resampled = nn.functional.interpolate(
        images, size=(side, side), mode="bilinear", antialias=True
    )
    return np.ascontiguousarray(resampled.permute(0, 2, 3, 1).numpy())
