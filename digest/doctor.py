"""`digest doctor`: what is wrong with an installation, in a sentence each, and how to mend it."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import func
from sqlmodel import Session, col, select

from digest import alerts, clock, hold
from digest.app import App
from digest.db import schema_is_current
from digest.errors import DatabaseError, MailError, SettingsError
from digest.feeds import batches
from digest.mail import bounces, domains
from digest.mail.smtp import Connection
from digest.models import Feed, OutboxMessage, Subscriber
from digest.settings import LOOPBACK, Smtp

if TYPE_CHECKING:
    from dns.resolver import Resolver

State = Literal["ok", "warn", "fail"]

LITTLE_SPACE = 1_000_000_000
NO_SPACE = 100_000_000
# A long weekend with a holiday on either side is no silence yet.
SILENT_AFTER = timedelta(days=5)
LATE_AFTER = timedelta(hours=2)
FAILING_AFTER = 3
MOST_BATCHES = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `mend` says what to do, and is empty where all is well."""

    name: str
    state: State
    sentence: str
    mend: str = ""


def check(app: App, ask: "Resolver | None" = None) -> list[Finding]:
    """All findings, in the order in which one would mend them. Sends no mail; `ask` are the name
    servers to be asked, otherwise the system's."""
    database = list(_database(app))
    if database[0].state == "fail" and not _readable(app):
        return database
    return [
        *database,
        *_clock(app),
        *_secret(app),
        *_pages(app),
        *_sender(app),
        *_dkim(app),
        *_names(app, ask),
        *_server(app),
        *_feeds(app),
        *_batches(app),
        *_troubles(app),
        *_readers(app),
        *_held(app),
        *_outbox(app),
        *_refusals(app),
    ]


def _database(app: App) -> Iterator[Finding]:
    place = app.db.url.render_as_string()
    try:
        with app.db.write() as session:
            session.connection()  # which takes the write lock
            current = schema_is_current(app.db)
    except DatabaseError as error:
        yield Finding(
            "database",
            "fail",
            _sentence(error),
            "Give the service's user the file and its folder, or end what locks it.",
        )
        return
    if current:
        yield Finding("database", "ok", f"{place} can be written and has this version's schema.")
    else:
        yield Finding(
            "database", "fail", f"{place} has an older schema.", "Run `digest db upgrade`."
        )
    if app.db.file is not None:
        yield _space(app.db.file)


def _readable(app: App) -> bool:
    try:
        with app.db.read() as session:
            session.exec(select(Feed.id).limit(1)).first()
    except DatabaseError:
        return False
    return True


def _clock(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        moment = clock.ran_ahead(session, app.now())
    if moment is None:
        yield Finding("clock", "ok", f"The clock says {app.now():%Y-%m-%d %H:%M} UTC.")
    else:
        yield Finding(
            "clock",
            "warn",
            f"The clock says {app.now():%Y-%m-%d %H:%M} UTC, but something was done at"
            f" {moment:%Y-%m-%d %H:%M}.",
            "Keep the clock right by NTP. What was put off too far comes back by itself.",
        )


def _held(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        kept = hold.held(session)
    if kept is not None:
        yield Finding(
            "delivery",
            "fail",
            f"No digest goes out since {kept.since:%Y-%m-%d %H:%M} UTC: {kept.reason}.",
            "`digest db resume DAY` goes on with what was announced on DAY and later.",
        )


def _space(file: Path) -> Finding:
    free = shutil.disk_usage(file.parent).free
    sentence = f"{free / 1e9:.1f} GB are free where the database is."
    if free >= LITTLE_SPACE:
        return Finding("disk", "ok", sentence)
    state: State = "warn" if free >= NO_SPACE else "fail"
    return Finding("disk", state, sentence, "Make room, or move `database.url` to a larger disk.")


def _secret(app: App) -> Iterator[Finding]:
    if app.settings.web.secret.get_secret_value():
        yield Finding("secret", "ok", "web.secret signs the links in the mails.")
    elif app.db.file is not None:
        kept = app.db.file.with_name("secret")
        yield Finding("secret", "ok", f"The links are signed with the secret kept in {kept}.")
        if kept.stat().st_mode & 0o077:
            yield Finding("secret", "warn", f"Others may read {kept}.", f"Run `chmod 600 {kept}`.")


def _pages(app: App) -> Iterator[Finding]:
    base = app.settings.web.base_url
    parts = urlsplit(base)
    here = parts.hostname in LOOPBACK
    if here and not _is_trial(app):
        yield Finding(
            "web.base_url",
            "fail",
            f"The links in the mails lead to {base}, which no reader can open.",
            "Set web.base_url to the public address of these pages.",
        )
    elif here:
        yield Finding("web.base_url", "ok", f"{base} can be opened on this machine alone.")
    elif parts.scheme != "https":
        yield Finding(
            "web.base_url",
            "warn",
            f"{base} is not encrypted; one-click unsubscription in mail clients needs https.",
            "Put the pages behind a reverse proxy with a certificate, and change the address.",
        )
    else:
        yield Finding("web.base_url", "ok", f"The links in the mails begin with {base}.")


def _is_trial(app: App) -> bool:
    return _domain(app.settings.mail.sender) in ("", "localhost")


def _domain(address: str) -> str:
    return parseaddr(address)[1].rpartition("@")[2].lower()


def _sender(app: App) -> Iterator[Finding]:
    mail = app.settings.mail
    domain = _domain(mail.sender)
    if not _is_public(domain):
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


def _dkim(app: App) -> Iterator[Finding]:
    mail, file = app.settings.mail, app.settings.mail.dkim_key_file
    if file is None:
        yield Finding("dkim", "ok", "No DKIM key here: signing is left to the mail server.")
        return
    mend = f"Make one: `openssl genrsa -out {file} 2048`, readable by this service alone."
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        yield Finding("dkim", "fail", f"{file} cannot be read: {error.strerror}.", mend)
        return
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield Finding("dkim", "fail", f"{file} holds no private key in PEM form.", mend)
        return
    if not isinstance(key, RSAPrivateKey):
        yield Finding("dkim", "fail", f"{file} is no RSA key, which receivers expect.", mend)
    elif key.key_size < 2048:
        yield Finding("dkim", "warn", f"{file} has {key.key_size} bits, fewer than 2048.", mend)
    elif file.stat().st_mode & 0o077:
        yield Finding("dkim", "warn", f"Others may read {file}.", f"Run `chmod 600 {file}`.")
    else:
        yield Finding("dkim", "ok", f"Mails are signed for {mail.dkim_domain} with {file}.")


def _names(app: App, ask: "Resolver | None") -> Iterator[Finding]:
    """Asks for nothing but the records of the sender's own domain."""
    mail, domain = app.settings.mail, _domain(app.settings.mail.sender)
    if not _is_public(domain):
        return
    bounces_to, key = _domain(mail.bounce_address) or domain, None
    if mail.dkim_key_file is not None:
        key = domains.Key(mail.dkim_domain, mail.dkim_selector, mail.dkim_key_file)
    try:
        lines = domains.wanted(domain, bounces_to, key)
    except SettingsError:
        return  # what is wrong with the key is said above
    try:
        stands = domains.check(domain, bounces_to, key, ask or domains.resolver())
        yield from (Finding(s.name, s.state, s.sentence, s.mend) for s in stands)
    except domains.Silent:
        yield Finding(
            "dns",
            "warn",
            f"No name server answered, so SPF, DKIM and DMARC of {domain} are unknown.",
            f"Ask again where there is a network. To begin with, publish: {' · '.join(lines)}",
        )


def _is_public(domain: str) -> bool:
    return "." in domain and not domain.endswith((".local", ".localhost", ".invalid", ".test"))


def _server(app: App) -> Iterator[Finding]:
    settings = app.settings.smtp
    try:
        asyncio.run(_knock(settings))
    except MailError as error:
        yield Finding(
            "smtp",
            "fail",
            _sentence(error),
            "Compare smtp.host, port, security, username and password with your provider's.",
        )
        return
    how = {"none": "without encryption", "starttls": "by STARTTLS", "tls": "by TLS"}
    login = f", as {settings.username}" if settings.username else ""
    yield Finding(
        "smtp",
        "ok",
        f"{settings.host}:{settings.port} answers {how[settings.security]}{login}.",
    )


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


async def _knock(settings: Smtp) -> None:
    connection = Connection(settings)
    try:
        await connection.open()
    finally:
        await connection.close()


def _feeds(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        feeds = session.exec(select(Feed).order_by(col(Feed.id))).all()
    if not feeds:
        yield Finding(
            "feeds", "warn", "There is no feed, so there will be no mail.", "`digest feeds add URL`"
        )
        return
    troubles = [finding for feed in feeds if (finding := _trouble(app, feed))]
    yield from troubles
    if not troubles:
        yield Finding("feeds", "ok", f"None of {len(feeds)} fails, is silent or overdue.")


def _trouble(app: App, feed: Feed) -> Finding | None:
    name, now = f"feed {feed.id}", app.now()
    if feed.failures >= FAILING_AFTER:
        return Finding(
            name,
            "fail",
            f"{feed.url} failed {feed.failures} times in a row: {feed.outcome}",
            f"Open it in a browser; `digest feeds remove {feed.id}` if it is gone.",
        )
    if feed.checked_at is None or now - feed.next_fetch_at > LATE_AFTER:
        if now - feed.added_at < LATE_AFTER:
            return None
        return Finding(
            name,
            "warn",
            f"{feed.url} has not been fetched since it was due.",
            "See that `digest run` is running, or run `digest ingest`.",
        )
    last = feed.changed_at or feed.added_at
    if now - last > SILENT_AFTER:
        return Finding(
            name,
            "warn",
            f"{feed.url} has brought nothing new for {(now - last).days} days.",
            "Open it in a browser, and look whether it has moved.",
        )
    return None


def _batches(app: App) -> Iterator[Finding]:
    doubtful = batches.open_batches(app)
    for batch in doubtful[:MOST_BATCHES]:
        day = batch.day
        by_hand = "Open the source's page and see: its feed shows only the newest papers."
        again = f"It is asked for again by itself; at once by `digest ingest --from {day}`."
        mend = again if batch.fill_at else by_hand
        yield Finding(f"batch {day}", "warn", batches.told(batch), mend)
    if len(doubtful) > MOST_BATCHES:
        yield Finding(
            "batches",
            "warn",
            f"{len(doubtful) - MOST_BATCHES} more batches are in doubt.",
            f"Run `digest ingest --from {doubtful[-1].day}`.",
        )


def _troubles(app: App) -> Iterator[Finding]:
    """What the operator is told of; failing and silent feeds have a finding already."""
    with app.db.read() as session:
        found = alerts.troubles(session, app.now())
    for trouble in found:
        if trouble.name == "silence" or trouble.name.endswith(" late"):
            yield Finding(
                trouble.name,
                "warn",
                trouble.sentence,
                "`digest stats` counts what became of the readers’ days; `digest why EMAIL` tells"
                " of one.",
            )


def _readers(app: App) -> Iterator[Finding]:
    with app.db.read() as session:
        active = _count(session, Subscriber.status == "active")
        late = _count(
            session,
            Subscriber.status == "active",
            col(Subscriber.next_digest_at) < app.now() - LATE_AFTER,
        )
    if late:
        yield Finding(
            "subscribers",
            "fail",
            f"The digests of {late} of {active} are more than two hours late.",
            "See that `digest run` is running, or run `digest deliver`.",
        )
    elif active:
        yield Finding("subscribers", "ok", f"{active} are active, and none is late.")
    else:
        yield Finding(
            "subscribers", "warn", "Nobody is subscribed.", "`digest subscribers add EMAIL`"
        )


def _count(session: Session, *conditions: object) -> int:
    query = select(func.count()).select_from(Subscriber).where(*conditions)  # type: ignore[arg-type]
    return session.exec(query).one()


def _outbox(app: App) -> Iterator[Finding]:
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


def _refusals(app: App) -> Iterator[Finding]:
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
