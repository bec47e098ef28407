"""Fetch published weights, and say in one line why they cannot be had."""

import os
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cohorts.errors import EncoderError
from feature_extraction.encoders.presets import Preset

_FILES = ("model.safetensors", "pytorch_model.bin")
ELSEWHERE = (
    "on a machine with a network download them, copy the file here and name it with "
    "--weights FILE (.safetensors or .pth)"
)


def published_weights(preset: Preset) -> Path:
    """Download the weights of a preset from the hub, or find them in its local cache.

    Raises
    ------
    EncoderError
        If access is not granted, or the hub cannot be reached.
    """
    prefer_the_cache_when_offline()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with explained_download(preset.name, preset.page):
        try:
            return Path(hf_hub_download(preset.repository, _FILES[0]))
        except EntryNotFoundError:
            return Path(hf_hub_download(preset.repository, _FILES[1]))


@contextmanager
def explained_download(encoder: str, page: str = "", mend: str = ELSEWHERE) -> Iterator[None]:
    """Turn the failures of a download into an `EncoderError` of one line that ends with `mend`."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        code = error.response.status_code
        if code in {401, 403}:
            raise EncoderError(
                f'the weights of "{encoder}" need a licence to be accepted or do not exist (HTTP '
                f"{code}): log in at {page}, accept it, and set HF_TOKEN to an access token of "
                f"that account; or {mend}"
            ) from error
        raise EncoderError(
            f'the hub answered HTTP {code} when asked for "{encoder}"; check its name at {page}, '
            f"or {mend}"
        ) from error
    except OSError as error:
        found = f" from {page}" if page else ""
        raise EncoderError(
            f'the pretrained weights of "{encoder}" are not on this machine and cannot be '
            f"downloaded{found}; {mend}"
        ) from error
    except RuntimeError as error:  # timm: a tag that is not known, or no weights published
        raise EncoderError(
            f'encoder "{encoder}" cannot be built: {" ".join(str(error).split())} Choose another '
            "name, or give weights with --weights FILE (.safetensors or .pth)"
        ) from error


def prefer_the_cache_when_offline() -> None:
    """Let the hub's client answer from its cache at once, without retries, where it is not reached.

    The client reads the variable when it is imported, so this comes before timm's import.
    """
    if "HF_HUB_OFFLINE" not in os.environ and not _hub_is_reachable():
        os.environ["HF_HUB_OFFLINE"] = "1"


def _hub_is_reachable() -> bool:
    if urllib.request.getproxies():
        return True  # the proxy resolves the name, so a failed look-up here would say nothing
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError:
        return False
    return True
