"""Signed links: what a token is for, whose it is, about what, and until when; and the mark by which
a bounced mail is known again."""

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from itsdangerous import BadSignature, Signer

Purpose = Literal[
    "confirm",
    "vote",
    "view",
    "preferences",
    "unsubscribe",
    "one-click",
    "sensitive",
    "address",
    "feed",
    "bounces",
]

LIFETIME: dict[Purpose, timedelta | None] = {
    "confirm": timedelta(hours=48),
    "vote": timedelta(days=60),
    "view": None,
    "preferences": timedelta(days=30),
    "unsubscribe": timedelta(days=730),
    "one-click": timedelta(days=730),
    "sensitive": timedelta(hours=1),
    "address": timedelta(hours=48),
    "feed": None,
    "bounces": None,
}


@dataclass(frozen=True, slots=True)
class Token:
    """What a valid token says. `subject` is the id of a digest (view, vote) or of the mail it came
    by (address), or 0; `epoch` must still be the subscriber's `link_epoch` (view and feed:
    `view_epoch`), else the link was revoked."""

    purpose: Purpose
    subscriber_id: int
    epoch: int
    subject: int
    issued_at: datetime


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SHAPE = re.compile(r"[0-9a-f-]{7,80}\.[A-Za-z0-9_-]{43}")


class InvalidToken(Exception):
    """The token is forged, cut short, or for another purpose."""


class ExpiredToken(InvalidToken):
    """The token was good once."""


class Tokens:
    """Signs and reads tokens; the first secret signs, each of them verifies."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = list(reversed(secrets))  # itsdangerous signs with the last
        self._signing: dict[Purpose, hmac.HMAC] = {}
        self._marking = [_key("digest.mark:", secret) for secret in secrets]
        self._hashing = [_key("", secret) for secret in secrets]

    def sign(
        self, purpose: Purpose, subscriber_id: int, epoch: int, now: datetime, subject: int = 0
    ) -> str:
        minute = int(now.timestamp()) // 60
        payload = f"{subscriber_id:x}-{epoch:x}-{subject:x}-{minute:x}"
        keyed = self._signing.get(purpose)
        if keyed is None:
            key = self._signer(purpose).derive_key()
            keyed = self._signing[purpose] = hmac.new(key, digestmod="sha256")
        # What itsdangerous would make of it, which derives the key anew each time.
        stamped = keyed.copy()
        stamped.update(payload.encode("ascii"))
        signature = b2a_base64(stamped.digest(), newline=False).translate(_URL_SAFE, b"=")
        return f"{payload}.{signature.decode('ascii')}"

    def read(self, purpose: Purpose, token: str, now: datetime) -> Token:
        """Raises InvalidToken, or ExpiredToken where only its time is over."""
        if not _SHAPE.fullmatch(token):  # base64 passes over what it does not know
            raise InvalidToken
        try:
            payload = self._signer(purpose).unsign(token).decode()
        except (BadSignature, UnicodeError) as error:
            raise InvalidToken from error
        subscriber_id, epoch, subject, minute = (int(part, 16) for part in payload.split("-"))
        issued_at = datetime.fromtimestamp(minute * 60, UTC)
        lifetime = LIFETIME[purpose]
        if lifetime is not None and now - issued_at > lifetime + timedelta(minutes=1):
            raise ExpiredToken
        return Token(purpose, subscriber_id, epoch, subject, issued_at)

    def mark(self, subscriber_id: int, message_id: int) -> str:
        """What a mail carries in its Message-ID and return path: whose it is, and that it is ours.

        Only characters that survive any server on the way, which may change capitals; at most 50.
        """
        said = f"{subscriber_id:x}.{message_id:x}"
        return f"{said}.{_stamp(self._marking[0], said)}"

    def read_mark(self, mark: str) -> tuple[int, int]:
        """The ids of subscriber and message in a mark. Raises InvalidToken."""
        said, _, stamp = mark.lower().rpartition(".")
        given = stamp.encode("ascii", "replace")
        genuine = [
            hmac.compare_digest(given, _stamp(key, said).encode("ascii")) for key in self._marking
        ]
        if not any(genuine):
            raise InvalidToken
        subscriber_id, _, message_id = said.partition(".")
        return int(subscriber_id, 16), int(message_id, 16)

    def address_hashes(self, email_key: str) -> list[str]:
        """The keyed hashes of an address, the current secret's first: what a suppression keeps."""
        return [
            hashlib.blake2b(email_key.encode(), key=key, digest_size=20).hexdigest()
            for key in self._hashing
        ]

    def _signer(self, purpose: Purpose) -> Signer:
        return Signer(self._keys, salt=f"digest.{purpose}", digest_method=hashlib.sha256)


def _key(purpose: str, secret: str) -> bytes:
    return hashlib.sha256(f"{purpose}{secret}".encode()).digest()


def _stamp(key: bytes, said: str) -> str:
    return hashlib.blake2b(said.encode("utf-8", "replace"), key=key, digest_size=10).hexdigest()
