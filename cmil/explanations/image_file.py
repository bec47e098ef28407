"""Where a file of one image of a slide lies: of a slide's only image, or of each of its fields."""

from pathlib import Path, PurePosixPath

from cohorts.errors import FileFormatError


def image_file(folder: Path, slide_id: str, image: str | None, suffix: str) -> Path:
    """Name a file: `<slide_id><suffix>`, or `<slide_id>/<image><suffix>` for a field.

    Parameters
    ----------
    image
        Name of the field, as its bag states it; None for a slide of one image.

    Raises
    ------
    FileFormatError
        If the field's name would lead out of the folder; a bag may come from anywhere.
    """
    if image is None:
        return folder / f"{slide_id}{suffix}"
    name = PurePosixPath(image)
    if name.is_absolute() or ".." in name.parts or "\\" in image or ":" in image:
        raise FileFormatError(
            f'bag "{slide_id}" names an image "{image}", which leads out of its folder; refused'
        )
    return folder / slide_id / name.with_name(name.name + suffix)
