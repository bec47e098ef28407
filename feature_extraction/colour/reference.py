"""The colour all slides are normalised to: fitted on development slides, kept with the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cohorts.errors import FileFormatError, SettingsError
from cohorts.files import digest_of
from feature_extraction.colour import macenko, reinhard
from feature_extraction.colour.grey_world import GreyWorldColour
from feature_extraction.colour.macenko import MacenkoColour
from feature_extraction.colour.reinhard import ReinhardColour

FORMAT_VERSION = 1


class ColourReference(BaseModel):
    """The colours of a slide that stands in the middle of the development cohort.

    Attributes
    ----------
    slides
        Number of development slides it was fitted on.
    colour
        Median of their statistics, which decides the method.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["cmil-colour-reference"] = "cmil-colour-reference"
    format_version: Annotated[int, Field(strict=True, ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION
    slides: Annotated[int, Field(strict=True, ge=1)]
    colour: Annotated[ReinhardColour | MacenkoColour, Field(discriminator="method")]

    @property
    def digest(self) -> str:
        """SHA-256 over method and numbers; bags of different references do not mix."""
        return digest_of(self.model_dump(mode="json"))

    def to_json(self) -> dict[str, Any]:
        """Give what `write_json` writes; the digest comes with it."""
        return {**self.model_dump(mode="json"), "digest": self.digest}

    @classmethod
    def from_json(cls, content: object, path: Path) -> "ColourReference":
        """Check what `read_json` read from `path`.

        Raises
        ------
        FileFormatError
            If it is no colour reference, of a newer version, impossible, or changed by hand.
        """
        if not isinstance(content, dict) or content.get("format") != "cmil-colour-reference":
            raise FileFormatError(
                f'"{path}" is no colour reference; name the one written with the model'
            )
        version = content.get("format_version")
        if isinstance(version, bool) or not isinstance(version, int) or version > FORMAT_VERSION:
            raise FileFormatError(
                f'"{path}" has format version {version}, this cMIL reads up to {FORMAT_VERSION}; '
                "upgrade cmil"
            )
        stated = content.get("digest")
        try:
            reference = cls.model_validate({k: v for k, v in content.items() if k != "digest"})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise FileFormatError(
                f'"{path}": {where}: {first["msg"]}; fit the reference anew'
            ) from error
        if stated != reference.digest:
            raise FileFormatError(
                f'"{path}" does not have the digest it states; it was changed by hand: restore it'
            )
        return reference


def fit_reference(
    colours: Sequence[GreyWorldColour | ReinhardColour | MacenkoColour],
) -> ColourReference:
    """Condense the colours of the development slides, in any order.

    The median of each statistic, not the colours of one chosen slide: nobody has to choose, and a
    few odd slides do not decide the colours of a study. External slides MUST NOT take part.

    Raises
    ------
    SettingsError
        If there is no slide, or the slides were measured for grey-world or for several methods, or
        the stains of the slides have no middle.
    """
    of_reinhard = [colour for colour in colours if isinstance(colour, ReinhardColour)]
    of_macenko = [colour for colour in colours if isinstance(colour, MacenkoColour)]
    if 0 < len(of_reinhard) == len(colours):
        return ColourReference(slides=len(colours), colour=reinhard.median(of_reinhard))
    if 0 < len(of_macenko) == len(colours):
        try:
            return ColourReference(slides=len(colours), colour=macenko.median(of_macenko))
        except ValidationError as error:
            raise SettingsError(
                f"the stains of {len(colours)} development slides differ so much that their median "
                'is not two stains; leave odd slides out or set stain = "reinhard"'
            ) from error
    measured = ", ".join(sorted({colour.method for colour in colours})) or "nothing"
    raise SettingsError(
        f"a colour reference cannot be fitted on {len(colours)} slides measured for {measured}; "
        "measure one slide or more for reinhard, or for macenko"
    )
