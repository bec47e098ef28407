import numpy as np
import pytest
import torch

from feature_extraction.encoders.stain_filters import StainFilters

CHANNELS, LEVELS = 5, (0.08, 0.16, 0.24, 0.34, 0.46, 0.60)


@pytest.fixture
def patches(smear) -> torch.Tensor:
    images = np.stack([smear(64, 64, seed, cells=5) for seed in range(6)])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def test_mirroring_turning_and_order_of_patches_do_not_change_a_vector(patches) -> None:
    filters = StainFilters()
    vectors = filters(patches)
    for turned in (patches.flip(3), patches.flip(2), patches.transpose(2, 3)):
        torch.testing.assert_close(filters(turned), vectors, rtol=1e-4, atol=1e-5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(filters(patches[order]), vectors[order])
    assert (vectors.std(dim=0) > 0).any()


def test_a_batch_gives_what_its_patches_give_alone(patches) -> None:
    filters = StainFilters()
    alone = torch.cat([filters(patch[None]) for patch in patches])
    torch.testing.assert_close(filters(patches), alone, rtol=1e-5, atol=1e-6)


def test_dimmer_light_does_not_change_a_vector(patches) -> None:
    filters = StainFilters()
    torch.testing.assert_close(filters(patches * 0.8), filters(patches), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_even_patch_shows_no_stain(level: float) -> None:
    vector = StainFilters()(torch.full((1, 3, 64, 64), level))
    assert torch.isfinite(vector).all()
    assert vector.abs().max() == 0


def test_shares_contrast_and_depth_of_a_patch_stained_by_half() -> None:
    """Half a patch absorbs red light by 0.5: every number can be worked out by hand."""
    patch = torch.ones(1, 3, 64, 64)
    patch[:, 0, :, 32:] = 10**-0.5
    vector = StainFilters()(patch)[0]
    finest = vector[: len(vector) // 5]
    shares = finest[: CHANNELS * len(LEVELS)].view(CHANNELS, len(LEVELS))
    contrast, deepest, strength = finest[CHANNELS * len(LEVELS) :].view(3, CHANNELS)
    expected = [0.5 * min(max((0.5 - level) / 0.12 + 0.5, 0), 1) for level in LEVELS]
    torch.testing.assert_close(shares[0], torch.tensor(expected))
    assert shares[1].abs().max() == shares[2].abs().max() == 0
    torch.testing.assert_close(shares[3], shares[0])  # red less blue, and there is no blue
    assert contrast.abs().max() < 1e-6  # the edge lies between two coarse pixels
    torch.testing.assert_close(deepest, torch.tensor([0.5, 0.0, 0.0, 0.5, 0.0]))
    torch.testing.assert_close(strength[0], torch.tensor(0.5 / 2**0.5))
