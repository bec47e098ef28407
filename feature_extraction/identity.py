"""Which bytes a slide's images are: what decides whether a bag is still true, and who is double."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cohorts.errors import AccessError
from cohorts.files import digest_of, digest_of_file
from cohorts.manifest import Slide, SourceKind
from feature_extraction.sources import Source

_READERS = 2


@dataclass(frozen=True)
class SourceIdentity:
    """The bytes of a source.

    Attributes
    ----------
    stat
        Digest of the images' names and the files' sizes and times of change.
    digests
        SHA-256 of each file's bytes.
    digest
        SHA-256 over the images' and files' names and the bytes of all files.
    """

    stat: str
    digests: tuple[str, ...]
    digest: str


def identify(source: Source, known: Mapping[str, Any]) -> SourceIdentity:
    """Find the digests of a source's files.

    They are hashed only if a size or time of change differs from what is `known`: hashing a
    study's slides over a network share takes hours, and every resumption needs the digests.

    Raises
    ------
    AccessError
        If a file cannot be read now.
    """
    try:
        files, names = source.files, list(source.names)
        stat = stat_of(source)
        if known.get("stat") == stat and len(known.get("digests", ())) == len(files):
            digests = tuple(known["digests"])
        else:
            with ThreadPoolExecutor(_READERS) as pool:  # over a network, most of it is waiting
                digests = tuple(pool.map(digest_of_file, files))
    except OSError as error:
        raise AccessError(f"cannot be read ({error}); check the disk or network share") from error
    digest = digest_of([names, [file.name for file in files], list(digests)])
    return SourceIdentity(stat, digests, digest)


def stat_of(source: Source) -> str:
    """Digest of what changes with a source's bytes and is known without reading them.

    Raises
    ------
    OSError
        If a file cannot be reached now.
    """
    stats = [(file.name, file.stat()) for file in source.files]
    # A copying program may set the time of writing, but not that of the last change.
    told = [[name, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats]
    return digest_of([list(source.names), told])


def doubles(slide: Slide, identity: SourceIdentity, earlier: Sequence[str]) -> frozenset[int]:
    """Which images of a source are byte for byte one that came before in the same patient.

    Parameters
    ----------
    slide
        What the source is of. The files of a whole slide are one image.
    identity
        Of the source.
    earlier
        What `images_of` gave for the patient's slides before this one.

    Returns
    -------
    Indices of images.
    """
    seen, found = set(earlier), set()
    for index, digest in enumerate(images_of(slide, identity)):
        if digest in seen:
            found.add(index)
        seen.add(digest)
    return frozenset(found)


def images_of(slide: Slide, identity: SourceIdentity) -> tuple[str, ...]:
    """Digest of each image of a source, in the order of its names."""
    if slide.kind is SourceKind.SLIDE:
        return (digest_of(sorted(identity.digests)),)
    return identity.digests
