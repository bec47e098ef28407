"""How many patients a study needs, as a number and as a sentence for the protocol."""

import math
from dataclasses import dataclass

from cohorts.errors import SettingsError


@dataclass(frozen=True)
class SampleSize:
    """Patients with (cases) and without (controls) metastasis that a study needs.

    Attributes
    ----------
    exact_cases, exact_controls
        Before rounding up.
    method
        What is reached, under which assumptions, by whose formula.
    """

    cases: int
    controls: int
    exact_cases: float
    exact_controls: float
    method: str

    @property
    def patients(self) -> int:
        """All of them."""
        return self.cases + self.controls

    @property
    def text(self) -> str:
        """One sentence for the protocol."""
        return (
            f"{self.cases} patients with and {self.controls} without metastasis "
            f"({self.patients} in all): {self.method}."
        )


def sample_size(cases: float, controls_per_case: float, method: str) -> SampleSize:
    """Round up to whole patients, at least one of each."""
    controls = cases * controls_per_case
    return SampleSize(_up(cases), _up(controls), cases, controls, method)


def check_share(name: str, value: float) -> None:
    """Refuse what is no share.

    Raises
    ------
    SettingsError
        If the value does not lie between 0 and 1.
    """
    if not 0 < value < 1:
        raise SettingsError(f"{name} is {value:g}; give a number between 0 and 1")


def _up(number: float) -> int:
    # 60.000000001 is 60 but for rounding.
    return max(1, math.ceil(number - 1e-6))
