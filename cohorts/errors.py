"""What a user did not expect, in one line that names the file, row or option and the mend."""

from collections.abc import Iterable


class StudyError(Exception):
    """Base of every error meant for the user: its message is shown without a traceback."""


class ManifestError(StudyError):
    """Everything wrong with a manifest, one line each, so that one reading mends them all."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(" ".join(problem.splitlines()) for problem in problems)
        super().__init__("\n".join(self.problems))


class DataError(StudyError):
    """A table, bag or bundle whose content does not serve: one class only, a wrong width."""


class FileFormatError(StudyError):
    """A file that is damaged, not of the format its name says, or of a newer version."""


class AccessError(StudyError):
    """A file that is there but cannot be read now: permission, lock, disk, network or memory."""


class ImageError(StudyError):
    """An image or slide that cannot be opened, read, or given a resolution."""


class SettingsError(StudyError):
    """A setting or option that is unknown, out of range, or contradicts another."""


class EncoderError(StudyError):
    """An encoder that is unknown, has no weights at hand, or does not fit its weights."""
