"""Which files a whole slide consists of."""

from collections.abc import Sequence
from configparser import ConfigParser
from configparser import Error as IniError
from pathlib import Path

_PIXELS_OF_VMS = ("imagefile", "mapfile", "optimisationfile")


def files_of_slide(path: Path) -> Sequence[Path]:
    """Every file whose bytes decide the pixels of a slide, `path` first or in order of name.

    MIRAX keeps them in a folder beside, DICOM in the files of one series, Hamamatsu's VMS and VMU
    in the files they list; every other format is one file.
    """
    match path.suffix.lower():
        case ".dcm":
            from feature_extraction.sources.dicom_source import series_of

            return series_of(path)
        case ".mrxs" if (folder := path.with_suffix("")).is_dir():
            return (path, *sorted(file for file in folder.iterdir() if file.is_file()))
        case ".vms" | ".vmu":
            return (path, *_listed(path))
        case _:
            return (path,)


def _listed(path: Path) -> Sequence[Path]:
    """Files that a VMS or VMU lists and that lie beside it; its macro image is left alone."""
    listing = ConfigParser(interpolation=None, strict=False)
    try:
        listing.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except IniError:
        return ()  # the slide's reader says what is wrong with it
    names = {
        Path(name.replace("\\", "/")).name
        for section in listing.sections()
        for key, name in listing.items(section)
        if key.startswith(_PIXELS_OF_VMS) and name
    }
    return sorted(file for name in names if (file := path.with_name(name)).is_file())
