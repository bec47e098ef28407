"""The convolutional stem of CTransPath, in place of a transformer's patch embedding."""

from typing import Any

from torch import Tensor, nn


class ConvStem(nn.Module):
    """Two convolutions of stride 2 and one of size 1: (B, 3, H, W) to (B, H/4, W/4, D).

    As in Wang et al. 2022 (doi 10.1016/j.media.2022.102559): the channels go 3, D/8, D/4, D, so
    that published weights fit by name. It takes what timm's `SwinTransformer` hands to an
    `embed_layer`, and gives the tokens in its order.
    """

    def __init__(
        self,
        img_size: int,
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        norm_layer: type[nn.Module],
        strict_img_size: bool = True,  # noqa: ARG002 - timm passes it; windows fix the size anyway
        output_fmt: str = "NHWC",  # noqa: ARG002 - timm passes it; Swin knows no other
        **factory: Any,
    ) -> None:
        super().__init__()
        if patch_size != 4 or embed_dim % 8:
            raise ValueError(f"a stem of patch size {patch_size} and width {embed_dim} is not ours")
        self.grid_size = (img_size // 4, img_size // 4)
        first, second = embed_dim // 8, embed_dim // 4
        self.proj = nn.Sequential(
            nn.Conv2d(in_chans, first, 3, stride=2, padding=1, bias=False, **factory),
            nn.BatchNorm2d(first, **factory),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False, **factory),
            nn.BatchNorm2d(second, **factory),
            nn.ReLU(),
            nn.Conv2d(second, embed_dim, 1, **factory),
        )
        self.norm = norm_layer(embed_dim, **factory)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images as a grid of tokens."""
        tokens: Tensor = self.norm(self.proj(images).permute(0, 2, 3, 1))
        return tokens
