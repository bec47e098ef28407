"""Pseudonyms, salted by a secret that stays at the centre."""

import hmac
import secrets
from pathlib import Path

from cohorts.errors import FileFormatError

_SECRET_BYTES = 32
_DIGITS = 24


def read_secret(path: Path) -> bytes:
    """Read a centre's secret, or draw it where there is none; only its owner may read the file.

    Raises
    ------
    FileFormatError
        If the file does not hold one.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(_SECRET_BYTES) + "\n", encoding="ascii")
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if len(text) != 2 * _SECRET_BYTES or not set(text) <= set("0123456789abcdef"):
        raise FileFormatError(
            f'"{path}" does not hold a secret; restore it, or delete it to draw another '
            "(then all pseudonyms change)"
        )
    return bytes.fromhex(text)


def pseudonym(patient_id: str, secret: bytes) -> str:
    """Name a patient by 24 digits of HMAC-SHA-256 (RFC 2104) of the id under the secret."""
    return keyed_digest(f"patient {patient_id}", secret)[:_DIGITS]


def keyed_digest(text: str, secret: bytes) -> str:
    """HMAC-SHA-256 of a text: without the secret nobody can try what it was made of."""
    return hmac.new(secret, text.encode(), "sha256").hexdigest()
