"""The sender, the mail server, what waits in the outbox, and what comes back."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parseaddr

import aiosmtplib
from sqlalchemy import func
from sqlmodel import col, select

from digest.app import App
from digest.doctor.finding import LATE_AFTER, Finding, domain_of, is_public, sentence
from digest.errors import InputError, MailError
from digest.mail import bounces, inbox
from digest.mail.smtp import Connection
from digest.models import OutboxMessage
from digest.settings import Smtp


def sender(app: App) -> Iterator[Finding]:
    mail = app.settings.mail
    domain = domain_of(mail.sender)
    if not is_public(domain):
        yield Finding(
            "mail.sender",
            "warn",
            f"Mail from {domain or mail.sender} is refused by most servers outside.",
            "Set mail.sender to an address of a domain that your mail server may send for.",
        )
    elif domain.removeprefix("www.") in ("example.org", "example.com", "example.net"):
        yield Finding(
            "mail.sender",
            "fail",
            f"{domain} is nobody's domain.",
            "Set mail.sender to an address of your own domain.",
        )
    else:
        yield Finding("mail.sender", "ok", f"The digests come from {parseaddr(mail.sender)[1]}.")
    if mail.postal_address:
        yield Finding("mail.postal_address", "ok", "The footer names a postal address.")
    else:
        yield Finding(
            "mail.postal_address",
            "warn",
            "The footer names no postal address, which the law wants in many countries.",
            "Set mail.postal_address.",
        )


def server(app: App) -> Iterator[Finding]:
    settings = app.settings.smtp
    try:
        refused = asyncio.run(_knock(settings, parseaddr(app.settings.mail.sender)[1]))
    except MailError as error:
        yield Finding("smtp", "fail", sentence(error), _mend(error, settings))
        return
    how = {"none": "without encryption", "starttls": "by STARTTLS", "tls": "by TLS"}
    login = f", as {settings.username}" if settings.username else ""
    yield Finding(
        "smtp",
        "ok",
        f"{settings.host}:{settings.port} answers {how[settings.security]}{login}.",
    )
    if refused:
        yield Finding(
            "smtp sender",
            "warn",
            f"{settings.host} would not take a mail to the sender's own address: {refused}.",
            "See that mail.sender is an address that exists, and that this login may use.",
        )


async def _knock(settings: Smtp, sender: str) -> str:
    """Goes as far as the envelope of a mail to ourselves, sends none, and gives the server's
    refusal, if any."""
    connection = Connection(settings)
    try:
        await connection.open()
        outcome = await connection.send(sender, sender, b"", lambda: False)
    finally:
        await connection.close()
    return outcome.reply.rstrip(".") if outcome.kind == "permanent" else ""


PORTS = "587 goes with smtp.security starttls, 465 with tls, 25 with starttls or none"


def _mend(error: Exception, smtp: Smtp) -> str:
    """What to do, by what lies behind the error."""
    if smtp.port == 465 and smtp.security != "tls":
        return "Port 465 begins with TLS: set smtp.security to tls."
    behind = list(_causes(error))
    text = " ".join(map(str, behind)).lower()
    for kinds, word, mend in MENDS:
        if word in text and any(isinstance(each, kinds) for each in behind):
            return mend
    return "Compare smtp.host, port, security, username and password with your provider's."


# What may lie behind an error, by its kind and a word in it, the first that fits.
MENDS: list[tuple[tuple[type[Exception], ...], str, str]] = [
    (
        (ssl.SSLCertVerificationError,),
        "",
        "Set smtp.host to the name in the certificate; smtp.ca_file names an authority.",
    ),
    ((ssl.SSLError,), "", f"That port does not begin with TLS: {PORTS}."),
    (
        (socket.gaierror,),
        "",
        "Look for a typo in smtp.host, and whether this machine can resolve names.",
    ),
    (
        (ConnectionRefusedError,),
        "",
        f"Nothing listens there, so smtp.host or smtp.port is another: {PORTS}.",
    ),
    (
        (aiosmtplib.SMTPAuthenticationError,),
        "",
        "Set smtp.username and smtp.password; many providers want a password for programs.",
    ),
    (
        (aiosmtplib.SMTPException,),
        "auth extension",
        f"That port takes no login: {PORTS}; or leave smtp.username empty.",
    ),
    ((Exception,), "starttls", f"That port offers no STARTTLS: {PORTS}."),
    (
        (TimeoutError, aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPServerDisconnected),
        "",
        f"Many providers let nothing out by port 25; look at firewalls, and at the pair: {PORTS}.",
    ),
]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def mailbox(app: App) -> Iterator[Finding]:
    """Looks into the mailbox of bounces, marking nothing as seen."""
    settings = app.settings.bounces
    if settings.maildir is None and not settings.imap_host:
        return
    place = settings.maildir or f"{settings.imap_folder} at {settings.imap_host}"
    try:
        with inbox.opened(None, settings, keep=True) as mails:
            next(mails, None)
    except (InputError, MailError, OSError) as error:
        yield Finding(
            "bounces mailbox",
            "fail",
            sentence(error),
            "Set bounces.maildir, or bounces.imap_host, port, security, username, password and"
            " folder; until then, dead addresses are written to for ever.",
        )
        return
    yield Finding("bounces mailbox", "ok", f"{place} can be read.")


def outbox(app: App) -> Iterator[Finding]:
    message = OutboxMessage
    with app.db.read() as session:
        waiting = col(message.status).in_(("queued", "sending", "deferred"))
        stuck = session.exec(
            select(func.count()).where(waiting, message.due_at < app.now() - LATE_AFTER)
        ).one()
        doubtful = session.exec(
            select(func.count()).where(message.in_doubt, message.created_at > _lately(app))
        ).one()
        failed = session.exec(
            select(func.count(), func.max(message.response)).where(
                message.status == "failed", message.created_at > _lately(app)
            )
        ).one()
    if stuck:
        yield Finding(
            "outbox",
            "fail",
            f"{_mails(stuck)} waited for more than two hours.",
            "See that `digest run` is running, or run `digest deliver`.",
        )
    if failed[0]:
        yield Finding(
            "outbox",
            "warn",
            f"Refused for good this week: {_mails(failed[0])}; one answer was “{failed[1]}”.",
            "`digest subscribers remove EMAIL` ends the subscription of an address that is dead.",
        )
    if doubtful:
        yield Finding(
            "outbox",
            "warn",
            f"{_mails(doubtful)} of the last week may have arrived twice, after a crash.",
            "Nothing needs to be done; look why the service died.",
        )
    if not (stuck or failed[0] or doubtful):
        yield Finding("outbox", "ok", "No mail is stuck, refused or in doubt.")


def refusals(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        count, status = bounces.warnings(session, _lately(app))
    if count:
        yield Finding(
            "bounces",
            "warn",
            f"Servers refused us, and not the reader, for {_mails(count)} this week ({status}).",
            "Look at SPF, DKIM and DMARC, and at the answers in your mail server's log.",
        )


def _mails(count: int) -> str:
    return "1 mail" if count == 1 else f"{count} mails"


def _lately(app: App) -> datetime:
    return app.now() - timedelta(days=7)
