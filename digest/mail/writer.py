"""From a message in the outbox to the bytes that are sent; made again, they are the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr

from digest.app import App
from digest.errors import SettingsError
from digest.mail import letters
from digest.mail.compose import Editions, compose, service
from digest.mail.dkim import Signer, load_key
from digest.mail.drafts import Draft
from digest.mail.links import Bearer, Links
from digest.mail.message import build, mail_address, wire_address
from digest.mail.queue import Waiting
from digest.mail.render import Encoded, Rendered, encode_digest
from digest.settings import Mail


@dataclass(frozen=True, slots=True)
class Ready:
    """A message's bytes, which address it goes to, and where it comes back to if it bounces."""

    recipient: str
    content: bytes
    return_path: str


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
        self._bounce_address = (
            _plain("mail.bounce_address", mail.bounce_address) if mail.bounce_address else ""
        )
        self._signer = _signer(mail)

    def make(self, draft: Draft, editions: Editions) -> Ready:
        """The message of a draft; the same bytes for the same rows."""
        message, reader = draft.message, draft.reader
        recipient = mail_address(message.recipient or reader.email)
        assert recipient is not None
        mark = self.app.tokens.mark(message.subscriber_id, message.id)
        bearer = Bearer(message.subscriber_id, reader.link_epoch, message.created_at)
        content = self.message(
            self._rendered(draft, bearer, editions),
            kind=message.kind,
            # A name that came with an unconfirmed request may be anything.
            to=("" if message.kind in ("confirm", "address") else reader.name, recipient),
            at=message.created_at,
            number=message.id,
            mark=mark,
            one_click=self.links.one_click(bearer) if message.kind == "digest" else "",
        )
        return Ready(recipient, content, self.return_path(mark))

    def message(
        self,
        rendered: Rendered | Encoded,
        *,
        kind: str,
        to: tuple[str, str],
        at: datetime,
        number: int,
        mark: str = "",
        one_click: str = "",
    ) -> bytes:
        """`at` is when the mail was made, `number` its id in the outbox: both name it for good.
        `mark` stands for the number and says in a bounce whose mail it was."""
        domain = self.sender.rpartition("@")[2]
        return build(
            rendered,
            kind=kind,
            sender=(self.service, self.sender),
            to=to,
            date=at,
            message_id=f"{mark or number}.{round(at.timestamp() * 1000)}.{kind}@{domain}",
            reply_to=self._reply_to,
            one_click=one_click,
            signer=self._signer,
        )

    def return_path(self, mark: str) -> str:
        """The envelope's sender: with an address for bounces, one of this mail's own (VERP)."""
        local, _, domain = self._bounce_address.rpartition("@")
        return f"{local}+{mark}@{domain}" if local else self.sender

    def letter(self, kind: str, sentences: Sequence[str] = (), **links: str) -> Rendered:
        """A mail that is no digest."""
        return letters.render(
            self.app.templates,
            kind,
            service=self.service,
            postal_address=self.app.settings.mail.postal_address,
            sentences=sentences,
            **links,
        )

    def _rendered(self, draft: Draft, bearer: Bearer, editions: Editions) -> Rendered | Encoded:
        message, digest = draft.message, draft.digest
        if message.kind != "digest":
            return self.letter(message.kind, **self._links(message, bearer))
        mail = compose(
            draft.reader,
            digest,
            draft.picks,
            editions.cards(digest.day),
            editions.trending(digest.day),
            self.app.settings,
            self.links,
        )
        return encode_digest(self.app.templates, mail)

    def _links(self, message: Waiting, bearer: Bearer) -> dict[str, str]:
        """What the letter opens."""
        match message.kind:
            case "confirm":
                return {"confirm_url": self.links.confirm(bearer)}
            case "link":
                opened, left = self.links.preferences(bearer), self.links.unsubscribe(bearer)
                return {"preferences_url": opened, "unsubscribe_url": left}
            case "sensitive":
                return {"my_data_url": self.links.my_data(bearer)}
            case "address":
                return {"address_url": self.links.address(bearer, message.id)}
            case _:
                return {}


def _plain(setting: str, value: str) -> str:
    address = wire_address(parseaddr(value)[1])
    if address is None:
        raise SettingsError(f"{setting}: expected an address without accents before the @")
    return address


def _signer(mail: Mail) -> Signer | None:
    if mail.dkim_key_file is None:
        return None
    return Signer(mail.dkim_domain, mail.dkim_selector, load_key(mail.dkim_key_file))
