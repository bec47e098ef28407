"""A fixed filter bank on absorbance: an encoder without weights, for demos and as a baseline."""

import torch
from torch import Tensor, nn

_SCALES = 5
_LEVELS = (0.08, 0.16, 0.24, 0.34, 0.46, 0.60)
_SOFTNESS = 0.12
_DARKEST = 1 / 255
# Red, green and blue light, then what nuclei absorb beyond red cells (red less blue) and what
# cytoplasm and red cells absorb beyond nuclei (blue less red).
_CHANNELS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, -0.5), (-0.5, 0, 1))


class StainFilters(nn.Module):
    """How much of a patch is stained how deeply, at which scale, in which light.

    In Giemsa-stained cells the nucleus absorbs red and green light, the red cell green and blue,
    blue cytoplasm mostly red. So absorbance by channel, at five scales from chromatin to clumps,
    tells nuclei, crowded nuclei and red cells apart. For every channel and scale it gives the
    share of the patch beyond each of six absorbances, the contrast with the next scale, and the
    deepest place; nothing is learnt, so it needs neither download nor training.

    The scales are 2, 4, 8, 16 and 32 pixels of the patch, made for about 0.5 microns per pixel.
    """

    levels: Tensor
    channels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(_LEVELS))
        self.register_buffer("channels", torch.tensor(_CHANNELS, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """Describe (B, 3, H, W) images in 0..1 by (B, D) numbers."""
        absorbance = -torch.log10(images.float().clamp_min(_DARKEST))
        # The clearest twentieth of a patch is glass or plasma: uneven light and the scanner's
        # white point cancel.
        sampled = absorbance[..., ::4, ::4].flatten(2)
        clear = sampled.kthvalue(1 + sampled.shape[2] // 20, dim=2).values
        stain = (absorbance - clear[..., None, None]).clamp_min(0)
        fine = torch.einsum("bchw,kc->bkhw", stain, self.channels)
        described = []
        for _ in range(_SCALES):
            coarse = nn.functional.avg_pool2d(fine, 2)
            described.append(self._describe(fine, coarse))
            fine = coarse
        return torch.cat(described, dim=1)

    def _describe(self, fine: Tensor, coarse: Tensor) -> Tensor:
        above = (coarse[:, :, None] - self.levels.view(-1, 1, 1)) / _SOFTNESS
        contrast = fine - nn.functional.interpolate(coarse, size=fine.shape[2:])
        parts = [
            (above + 0.5).clamp(0, 1).mean(dim=(3, 4)).flatten(1),
            contrast.square().mean(dim=(2, 3)).sqrt(),
            coarse.amax(dim=(2, 3)),
            coarse.square().mean(dim=(2, 3)).sqrt(),
        ]
        return torch.cat(parts, dim=1)
