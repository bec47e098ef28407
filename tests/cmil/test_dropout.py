"""Dropout: how many numbers it leaves out, and that what it does is undone in the mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmil.aggregators.dropout import Dropout


@given(
    share=st.floats(0, 0.99),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 9)),
    kind=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_number_is_left_out_or_scaled_up(
    share: float, shape: tuple[int, int], kind: torch.dtype, seed: int
) -> None:
    numbers = torch.ones(shape, dtype=kind, requires_grad=True)
    dropout = Dropout(share)
    torch.manual_seed(seed)
    left = dropout(numbers)
    assert left.dtype == kind
    scale = torch.tensor(1 / (1 - min(round(share * 256), 255) / 256), dtype=kind)
    assert set(left.unique().tolist()) <= {0.0, scale.item()}
    left.sum().backward()
    assert torch.equal(numbers.grad, left.detach())  # what is left out learns nothing
    torch.manual_seed(seed)
    assert torch.equal(dropout(numbers), left)
    assert torch.equal(dropout.eval()(numbers), numbers)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_the_share_is_left_out_evenly_and_the_mean_stays(share: float) -> None:
    torch.manual_seed(0)
    left = Dropout(share)(torch.ones(1000, 512))
    assert float((left == 0).float().mean()) == pytest.approx(share, abs=0.003)
    assert float(left.mean()) == pytest.approx(1, abs=0.01)
    # Rows and columns alike, within five standard errors.
    of_rows, of_columns = left.mean(dim=1), left.mean(dim=0)
    for means, others in ((of_rows, 512), (of_columns, 1000)):
        limit = 5 * (share / (1 - share) / others) ** 0.5
        assert float((means - 1).abs().max()) < limit
    # Neighbours are decided apart.
    gone = (left == 0).float() - share
    together = float((gone[:, 1:] * gone[:, :-1]).mean()) / (share * (1 - share))
    assert abs(together) < 0.01
