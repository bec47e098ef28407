import math
import os
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from feature_extraction.encoders import Encoder
from feature_extraction.rates import Rates, time_encoder
from feature_extraction.reading_ahead import usable_cores

rate = st.floats(1e-3, 1e6)


def test_beside_a_gpu_the_slower_decides() -> None:
    assert Rates(900.0, 300.0, on_gpu=True, cores=8).together == 300
    assert Rates(200.0, 300.0, on_gpu=True, cores=8).together == 200


def test_on_a_processor_the_readers_take_their_share() -> None:
    assert Rates(100.0, 100.0, on_gpu=False, cores=2).together == pytest.approx(50)
    assert Rates(100.0, 100.0, on_gpu=False, cores=1).together == pytest.approx(50)
    assert Rates(100.0, 100.0, on_gpu=False, cores=8).together == pytest.approx(80)
    assert Rates(100.0, None, on_gpu=False, cores=2).together == 100


@given(rate, rate, st.booleans(), st.integers(1, 256))
def test_both_are_never_faster_than_one(embedding, reading, on_gpu, cores) -> None:
    together = Rates(embedding, reading, on_gpu, cores).together
    assert 0 < together <= min(embedding, reading) * (1 + 1e-9)
    assert together >= 1 / (1 / embedding + 1 / reading) * (1 - 1e-9)


class Sluggish:
    """Takes a quarter of a second for a batch of any size."""

    backend, precision, device, in_flight = "torch", "float32", torch.device("cpu"), 1
    seconds = 0.25

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def start(self, patches: np.ndarray) -> Callable[[], np.ndarray]:
        self.sizes.append(len(patches))
        time.sleep(self.seconds)
        return lambda: np.zeros((len(patches), 3), dtype=np.float32)


@pytest.mark.parametrize("batch_size", [3, 8, 20])
def test_an_encoder_is_timed_in_batches_of_the_study(batch_size: int) -> None:
    runtime = Sluggish()
    found = time_encoder(Encoder("e", "d", 3, 32, runtime), 32, batch_size)
    assert max(runtime.sizes) <= batch_size
    # It sleeps so long at least; a loaded machine only makes it slower.
    assert 0 < found <= batch_size / runtime.seconds
    assert math.isfinite(found)
    assert len(runtime.sizes) > 1  # the first is a warm-up


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's affinity")
def test_cores_are_those_of_this_process() -> None:
    given = os.sched_getaffinity(0)
    assert usable_cores() == len(given)
    os.sched_setaffinity(0, {min(given)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, given)
