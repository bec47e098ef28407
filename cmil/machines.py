"""On which machines the work of a study is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cmil.training.fit_workers import FitEngine


@dataclass(frozen=True)
class Machines:
    """Ours, or those of a Ray cluster; a result does not depend on them.

    Attributes
    ----------
    engine
        Where encoder and trainings run.
    address
        HOST:PORT of a Ray cluster that is up; without it, one of this machine is started.
    """

    engine: Literal["local", "ray"] = "local"
    address: str | None = None

    @contextmanager
    def fitting(self) -> "Iterator[FitEngine]":
        """Give what carries out the fits of a training."""
        if self.engine == "ray":
            from cmil.training.ray_engine import fits_on_ray

            with fits_on_ray(self.address) as engine:
                yield engine
            return
        from cmil.training.fit_workers import run_fits

        yield run_fits


HERE = Machines()
