"""From a message in the outbox to the bytes that are sent; made again, they are the same bytes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Literal

from sqlmodel import Session

from digest.app import App
from digest.errors import SettingsError
from digest.mail import letters
from digest.mail.compose import load, service
from digest.mail.dkim import Signer, load_key
from digest.mail.links import Bearer, Links
from digest.mail.message import build, wire_address
from digest.mail.render import Rendered, render_digest
from digest.models import Digest, OutboxMessage, Subscriber
from digest.settings import Mail
from digest.tokens import LIFETIME, Purpose

# A subscriber of which status may get which mail.
WELCOME = {"digest": ("active",), "confirm": ("pending",), "link": ("active", "paused")}


@dataclass(frozen=True, slots=True)
class Ready:
    """A message as it goes out, and to which address."""

    recipient: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A message that is not sent after all, and why."""

    status: Literal["cancelled", "failed"]
    why: str


class Writer:
    """Makes messages under one configuration; reads the signing key once.

    Raises SettingsError where sender, reply address, key or base address cannot be used.
    """

    def __init__(self, app: App) -> None:
        mail = app.settings.mail
        if not app.settings.web.base_url.isascii():
            raise SettingsError("web.base_url: expected plain ASCII, a host with accents as xn--…")
        self.app = app
        self.links = Links(app.settings.web.base_url, app.tokens)
        self.service = service(app.settings)
        self.sender = _plain("mail.sender", mail.sender)
        self._reply_to = _plain("mail.reply_to", mail.reply_to) if mail.reply_to else ""
        self._signer = _signer(mail)

    def make(self, session: Session, message: OutboxMessage) -> Ready | Unwanted:
        """Reads subscriber and suppression anew: what changed since the mail was queued counts."""
        subscriber = session.get(Subscriber, message.subscriber_id)
        if subscriber is None or subscriber.status not in WELCOME[message.kind]:
            status = subscriber.status if subscriber is not None else "gone"
            return Unwanted("cancelled", f"the subscriber is {status}")
        reason = self._suppressed(session, subscriber)
        if reason is not None and (reason, message.kind) != ("erased", "confirm"):
            return Unwanted("cancelled", f"the address is suppressed: {reason}")
        recipient = wire_address(subscriber.email)
        if recipient is None:
            return Unwanted("failed", "the address has characters that mail servers do not take")
        rendered = self._rendered(session, message, subscriber)
        bearer = Bearer(message.subscriber_id, subscriber.link_epoch, message.created_at)
        content = self.message(
            rendered,
            kind=message.kind,
            # A name that came with an unconfirmed request may be anything.
            to=("" if message.kind == "confirm" else subscriber.name, recipient),
            at=message.created_at,
            number=message.id or 0,
            one_click=self.links.one_click(bearer) if message.kind == "digest" else "",
        )
        return Ready(recipient, content)

    def message(
        self,
        rendered: Rendered,
        *,
        kind: str,
        to: tuple[str, str],
        at: datetime,
        number: int,
        one_click: str = "",
    ) -> bytes:
        """`at` is when the mail was made, `number` its id in the outbox: both name it for good."""
        domain = self.sender.rpartition("@")[2]
        return build(
            rendered,
            kind=kind,
            sender=(self.service, self.sender),
            to=to,
            date=at,
            message_id=f"{number}.{round(at.timestamp() * 1000)}.{kind}@{domain}",
            reply_to=self._reply_to,
            one_click=one_click,
            signer=self._signer,
        )

    def test(self) -> Rendered:
        return letters.render_test(
            self.app.templates,
            service=self.service,
            postal_address=self.app.settings.mail.postal_address,
        )

    def _rendered(
        self, session: Session, message: OutboxMessage, subscriber: Subscriber
    ) -> Rendered:
        app, bearer = (
            self.app,
            Bearer(subscriber.id or 0, subscriber.link_epoch, message.created_at),
        )
        postal_address = app.settings.mail.postal_address
        if message.kind == "confirm":
            return letters.render_confirmation(
                app.templates,
                service=self.service,
                postal_address=postal_address,
                confirm_url=self.links.confirm(bearer),
                lifetime=_lifetime("confirm"),
            )
        if message.kind == "link":
            return letters.render_link(
                app.templates,
                service=self.service,
                postal_address=postal_address,
                preferences_url=self.links.preferences(bearer),
                unsubscribe_url=self.links.unsubscribe(bearer),
                lifetime=_lifetime("preferences"),
            )
        digest = session.get_one(Digest, message.digest_id)
        return render_digest(
            app.templates, load(session, subscriber, digest, app.settings, self.links)
        )

    def _suppressed(self, session: Session, subscriber: Subscriber) -> str | None:
        from digest.subscribers import suppressed  # noqa: PLC0415 (it puts mails into the outbox)

        return suppressed(self.app, session, subscriber.email_key)


def _lifetime(purpose: Purpose) -> timedelta:
    lifetime = LIFETIME[purpose]
    assert lifetime is not None
    return lifetime


def _plain(setting: str, value: str) -> str:
    address = wire_address(parseaddr(value)[1])
    if address is None:
        raise SettingsError(f"{setting}: expected an address without accents before the @")
    return address


def _signer(mail: Mail) -> Signer | None:
    if mail.dkim_key_file is None:
        return None
    return Signer(mail.dkim_domain, mail.dkim_selector, load_key(mail.dkim_key_file))
