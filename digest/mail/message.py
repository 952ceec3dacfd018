"""From a rendered mail to the bytes that are sent: headers, both parts, signature (RFC 5322).

We write headers ourselves: the standard library turns a long List-Unsubscribe into encoded words,
which no mail client undoes there, and in some versions lets a title begin a header of its own.
"""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from digest.mail.dkim import Signer
from digest.mail.pieces import encode
from digest.mail.render import Encoded, Rendered

if TYPE_CHECKING:
    from email_validator import ValidatedEmail

LONGEST = 400  # characters of a header's text

_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HIDDEN = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?"
)
_WORD_ROOM = 45  # bytes: as base64 60 characters, with =?utf-8?b?…?= 72


def build(
    rendered: Rendered | Encoded,
    *,
    kind: str,
    sender: tuple[str, str],
    to: tuple[str, str],
    date: datetime,
    message_id: str,
    reply_to: str = "",
    one_click: str = "",
    signer: Signer | None = None,
) -> bytes:
    """The whole message, CRLF throughout, the same bytes for the same values.

    `sender` and `to` are (name, address); the sender's address is plain ASCII, the recipient's as
    `mail_address` gives it; a header with one beyond ASCII is in UTF-8 (RFC 6532).
    `one_click` is the address that a mail program's own unsubscribe button posts to (RFC 8058).
    """
    domain = sender[1].rpartition("@")[2]
    headers = [
        ("From", mailbox(*sender)),
        ("To", mailbox(*to)),
        ("Subject", _folded("Subject", rendered.subject)),
        ("Date", _moment(date)),
        ("Message-ID", f"<{message_id}>"),
    ]
    if reply_to:
        headers.append(("Reply-To", mailbox("", reply_to)))
    if one_click:
        headers += [
            ("List-Id", f"<{kind}.{domain}>"),
            ("List-Unsubscribe", f"<{one_click}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Precedence", "bulk"),
        ]
    boundary = f"=_{blake2b(message_id.encode(), digest_size=15).hexdigest()}"
    headers += [
        ("Feedback-ID", f"{kind}:::{_sender_id(domain)}"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative;\r\n boundary="{boundary}"'),
    ]
    body = _body(rendered, boundary)
    if signer is not None:
        headers.insert(0, ("DKIM-Signature", signer.header(headers, body, date)))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
    _check(head, [name for name, _ in headers])
    return head + b"\r\n" + body


def clean(text: str) -> str:
    """One line that can do no harm in a header: no line ends, no control or direction marks, and
    nothing that a mail program would decode as an encoded word."""
    if text.isascii() and text.isprintable() and "  " not in text and "=?" not in text:
        return text.strip()[:LONGEST]
    text = unicodedata.normalize("NFC", text)
    text = text.encode("utf-8", "ignore").decode()
    text = _HIDDEN.sub("", _SPACE.sub(" ", text))
    while "=?" in text:
        text = text.replace("=?", "= ?")
    return text.strip()[:LONGEST]


@lru_cache(maxsize=64)
def mailbox(name: str, address: str) -> str:
    """`"Name" <address>` as headers have it. Raises ValueError where the address is not as
    `mail_address` gives it."""
    if mail_address(address) != address:
        raise ValueError("a header needs an address that mail can be sent to")
    name = clean(name)
    if not name:
        return address
    if name.isascii():
        quoted = name[:200].replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"\r\n <{address}>'
    return f"{_encoded_words(name)}\r\n <{address}>"


def wire_address(address: str) -> str | None:
    """The address in ASCII, an international domain in its xn-- form; None where that cannot be,
    as with a non-ASCII part before the @, which many servers do not take."""
    if not address.isascii():
        known = _known(address)
        if known is None:
            return None
        address = known.ascii_email or ""
    whole = _ADDRESS.fullmatch(address)
    return address if whole and ".." not in address and len(address) <= 254 else None


@lru_cache(maxsize=128)  # asked where a mail is read, where it is made and for its header
def mail_address(address: str) -> str | None:
    """The address as mail is sent to it: in ASCII wherever that can be, else with its part before
    the @ in UTF-8, which a server must offer to take (SMTPUTF8, RFC 6531); None for no address."""
    wire = wire_address(address)
    if wire is not None or address.isascii():
        return wire
    known = _known(address)
    if known is None:
        return None
    whole = f"{known.local_part}@{known.ascii_domain}"
    fits = len(known.local_part.encode()) <= 64 and len(whole.encode()) <= 254
    return whole if fits and clean(whole) == whole else None


def _known(address: str) -> "ValidatedEmail | None":
    # Only addresses beyond ASCII need it; its tables take 1 MB.
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

    try:
        return validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return None


def _folded(name: str, text: str) -> str:
    text = clean(text)
    if not text.isascii():
        return _encoded_words(text)
    lines = [""]
    room = 76 - len(name) - 2
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
            room = 75
        lines[-1] += f" {word}" if lines[-1] else word
    return "\r\n ".join(lines)


def _encoded_words(text: str) -> str:
    """The text as encoded words (RFC 2047), none cut within a character."""
    raw, words = text.encode(), []
    while raw:
        end = min(_WORD_ROOM, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:  # the next would begin within one
            end -= 1
        words.append(f"=?utf-8?b?{b64encode(raw[:end]).decode()}?=")
        raw = raw[end:]
    return "\r\n ".join(words)


@lru_cache(maxsize=64)
def _moment(date: datetime) -> str:
    """Many mails are made at one moment."""
    return format_datetime(date)


@lru_cache(maxsize=4)
def _sender_id(domain: str) -> str:
    """What Gmail's feedback loop knows a sender by: 5 to 15 characters, always the same."""
    return blake2b(domain.encode(), digest_size=6).hexdigest()


def _body(rendered: Rendered | Encoded, boundary: str) -> bytes:
    parts = []
    for kind, content in (("plain", rendered.text), ("html", rendered.html)):
        head = (
            f"--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        )
        lines = [encode(content)] if isinstance(content, str) else content
        parts += [head.encode("ascii"), *lines, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode("ascii")])


def _check(head: bytes, names: Sequence[str]) -> None:
    """The last look: what would let a mail be read in two ways never leaves. The body's lines are
    right by their encoding."""
    ends = head.count(b"\r\n")
    if not ends == head.count(b"\r") == head.count(b"\n") or b"\x00" in head:
        raise ValueError("a message has a bare CR, LF or NUL in it")
    begun = ends - head.count(b"\r\n ") - head.count(b"\r\n\t")
    if begun != len(names) or len(set(names)) != len(names) or b"\r\n\r\n" in head:
        raise ValueError("a message has a header twice, or an empty line in its head")
    if max(map(len, head.split(b"\r\n"))) > 998:
        raise ValueError("a message has a line of more than 998 bytes")
