"""DKIM signatures (RFC 6376): rsa-sha256, relaxed headers, simple body.

A body in quoted-printable has nothing that a server on the way would tidy up, as the relaxed form
of a body allows for; the simple form is hashed as it is.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from digest.errors import SettingsError

SIGNED = frozenset(
    {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Reply-To",
        "MIME-Version",
        "Content-Type",
        "List-Id",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Feedback-ID",
        "Auto-Submitted",
        "Precedence",
    }
)
_SPACES = re.compile(rb"[ \t]+")


class Signer:
    """Signs for one domain and selector with one key."""

    def __init__(self, domain: str, selector: str, key: rsa.RSAPrivateKey) -> None:
        self._domain = domain
        self._selector = selector
        self._key = key

    def header(self, headers: Sequence[tuple[str, str]], body: bytes, at: datetime) -> str:
        """The value of the DKIM-Signature header, to be put before the others.

        `headers` are (name, folded value) as they will be sent; `at` is the time of signing.
        """
        covered = [header for header in headers if header[0] in SIGNED]
        value = (
            f"v=1; a=rsa-sha256; c=relaxed/simple; d={self._domain}; s={self._selector};\r\n"
            f" t={int(at.timestamp())};\r\n h={_listed(tuple([name for name, _ in covered]))};\r\n"
            f" bh={_body_hash(body)};\r\n b="
        )
        lines = [_relaxed(name, value) for name, value in covered]
        lines.append(_relaxed("DKIM-Signature", value).removesuffix(b"\r\n"))
        signature = self._key.sign(b"".join(lines), padding.PKCS1v15(), hashes.SHA256())
        text = base64.b64encode(signature).decode()
        return value + "\r\n ".join(text[i : i + 72] for i in range(0, len(text), 72))


def load_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA private key in a PEM file, read again where that has changed: to check it takes as
    long as fifty signatures. Raises SettingsError."""
    try:
        return _loaded(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise SettingsError(f"mail.dkim_key_file: cannot read {path}: {error.strerror}") from error


@lru_cache(maxsize=1)
def _loaded(path: Path, changed: int) -> rsa.RSAPrivateKey:  # noqa: ARG001 (makes another entry)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"mail.dkim_key_file: expected a PEM private key without password in {path}"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise SettingsError(
            f"mail.dkim_key_file: expected an RSA key of 2048 bits or more in {path},"
            " since some receivers ignore all others"
        )
    return key


@lru_cache(maxsize=16)
def _listed(names: tuple[str, ...]) -> str:
    """The names with colons between them, no line of them long. From is named once more than it is
    there, so that nobody can add a second one."""
    lines = [""]
    for name in (*names, "From"):
        if len(lines[-1]) + len(name) > 66:
            lines.append("")
        lines[-1] += f"{name.lower()}:"
    return "\r\n ".join(lines).removesuffix(":")


@lru_cache(maxsize=64)  # most headers are the same in all mails of a run
def _relaxed(name: str, value: str) -> bytes:
    unfolded = value.encode().replace(b"\r\n", b"")
    if b"  " in unfolded or b"\t" in unfolded:
        unfolded = _SPACES.sub(b" ", unfolded)
    return b"%s:%s\r\n" % (name.lower().encode("ascii"), unfolded.strip())


def _body_hash(body: bytes) -> str:
    whole = body if body.endswith(b"\r\n") else body + b"\r\n"
    while whole.endswith(b"\r\n\r\n"):
        whole = whole.removesuffix(b"\r\n")
    return base64.b64encode(hashlib.sha256(whole).digest()).decode()
