"""A record that a digest is taken of, and that a later release may add to."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class FrozenRecord(BaseModel):
    """Values that never change; those that are written are all stated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def sealed(self) -> Self:
        """Give the same record with every value stated, those that were left to a default, too."""
        return self.model_validate(self.model_dump(mode="json"))

    def stated(self) -> Mapping[str, Any]:
        """Give what was stated, as JSON has it.

        What a later release adds, with a default, is not in an older record, and so neither in its
        digest nor in its text.
        """
        return self.model_dump(mode="json", exclude_unset=True)
