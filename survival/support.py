"""What a time needs before anything weighted by inverse censoring is said about it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from survival.product_limit import FloatArray


@dataclass(frozen=True)
class Support:
    """What a time needs, lest single patients carry an estimate weighted by inverse censoring.

    Attributes
    ----------
    at_risk
        Fewest patients with time >= t.
    uncensored
        Least share G(t) not yet censored.
    """

    at_risk: int = 10
    uncensored: float = 0.05

    def problem(self, time: FloatArray, moment: float, uncensored: float) -> str:
        """Say why nothing is estimable at a moment, or give ""."""
        at_risk = int(np.sum(time >= moment))
        if at_risk < self.at_risk:
            return f"not estimable: {at_risk} at risk, fewer than {self.at_risk}"
        if not uncensored >= self.uncensored:
            return f"not estimable: {uncensored:.3f} uncensored, less than {self.uncensored}"
        return ""


SUPPORT: Final = Support()
