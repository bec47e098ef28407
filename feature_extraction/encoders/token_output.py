"""Which of a transformer's tokens make the vector."""

from torch import Tensor, cat, nn


class ClassTokenAndMean(nn.Module):
    """A transformer's class token beside the mean of its patch tokens.

    Register tokens stand between them and describe no place of the image: they are left out.

    Parameters
    ----------
    tokens
        Maps (B, 3, H, W) to (B, T, D), class token first.
    prefix
        Number of class and register tokens.
    """

    def __init__(self, tokens: nn.Module, prefix: int) -> None:
        super().__init__()
        self.tokens = tokens
        self._prefix = prefix

    def forward(self, images: Tensor) -> Tensor:
        """Give (B, 2 D)."""
        tokens = self.tokens(images)
        return cat([tokens[:, 0], tokens[:, self._prefix :].mean(dim=1)], dim=1)
