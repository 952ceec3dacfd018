"""The mails of a mailbox, one after the other: an mbox, a Maildir, a folder over IMAP."""

import imaplib
import mailbox
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digest.errors import InputError, MailError
from digest.settings import Bounces

LARGEST = 4_000_000  # bytes; what is longer is no report


@contextmanager
def opened(place: Path | None, bounces: Bounces, *, keep: bool) -> Iterator[Iterator[bytes]]:
    """The mails of `place`; without one, those not marked as seen in the configured mailbox, each
    marked when the next is asked for, unless `keep`.

    Raises InputError where the place is no mailbox, MailError where the server does not let us in.
    """
    if place is not None:
        yield _file(place)
    elif bounces.maildir is not None:
        yield _unseen(bounces.maildir, keep=keep)
    else:
        with _in_words(bounces), _imap(bounces) as client:
            yield _over_imap(client, bounces.imap_folder, keep=keep)


def _file(place: Path) -> Iterator[bytes]:
    if place.is_dir():
        yield from (bytes(mail) for mail in _maildir(place))
        return
    try:
        with place.open("rb") as file:
            is_mbox = file.read(5) == b"From "
        if not is_mbox:
            yield place.read_bytes()[:LARGEST]
            return
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}") from error
    box = mailbox.mbox(place, create=False)
    try:
        yield from (box.get_bytes(key) for key in box.iterkeys())
    finally:
        box.close()


def _maildir(place: Path) -> mailbox.Maildir:
    if not (place / "cur").is_dir() or not (place / "new").is_dir():
        raise InputError(f"{place} is no Maildir: expected the folders new and cur in it")
    return mailbox.Maildir(place, factory=None, create=False)


def _unseen(place: Path, *, keep: bool) -> Iterator[bytes]:
    box = _maildir(place)
    for key in box.keys():  # noqa: SIM118 (a mailbox iterates over its messages)
        mail = box.get_message(key)
        if "S" in mail.get_flags():
            continue
        yield bytes(mail)
        if not keep:
            mail.set_subdir("cur")
            mail.add_flag("S")
            box[key] = mail


@contextmanager
def _in_words(bounces: Bounces) -> Iterator[None]:
    try:
        yield
    except (imaplib.IMAP4.error, OSError) as error:
        said = error.args[-1] if error.args else type(error).__name__
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise MailError(
            f"the mailbox at {bounces.imap_host}:{bounces.imap_port} cannot be read ({text}):"
            " check the settings bounces.imap_…"
        ) from error


@contextmanager
def _imap(bounces: Bounces) -> Iterator[imaplib.IMAP4]:
    host, port, limit = bounces.imap_host, bounces.imap_port, bounces.imap_timeout
    if bounces.imap_security == "tls":
        context = ssl.create_default_context(cafile=bounces.imap_ca_file)
        client: imaplib.IMAP4 = imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=limit)
    else:
        client = imaplib.IMAP4(host, port, timeout=limit)
    with client:
        client.login(bounces.imap_username, bounces.imap_password.get_secret_value())
        yield client


def _over_imap(client: imaplib.IMAP4, folder: str, *, keep: bool) -> Iterator[bytes]:
    state, said = client.select(f'"{folder}"', readonly=keep)
    if state != "OK":
        raise imaplib.IMAP4.error(said[0])
    _, found = client.uid("SEARCH", "UNSEEN", "SMALLER", str(LARGEST))
    for uid in (found[0] or b"").split():
        _, data = client.uid("FETCH", uid.decode(), "(BODY.PEEK[])")
        for piece in data:
            if isinstance(piece, tuple):
                yield piece[1]
        if not keep:
            client.uid("STORE", uid.decode(), "+FLAGS.SILENT", r"(\Seen)")
