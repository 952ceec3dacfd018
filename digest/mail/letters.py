"""The small mails: the question whether an address is right, a fresh link, a test."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jinja2

from digest.mail import pieces
from digest.mail.render import Rendered
from digest.tokens import LIFETIME, Purpose


@dataclass(frozen=True, slots=True)
class _Letter:
    """What a list of mails shows of it; `purpose` is its link's, which says how long it works."""

    subject: str
    preheader: str
    purpose: Purpose | None = None


LETTERS = {
    # Asks whether the address is its owner's. Nothing in it was written by who asked for it.
    "confirm": _Letter(
        "Please confirm: a digest of new papers from {service}",
        "One tap, and the first digest is on its way.",
        "confirm",
    ),
    # A fresh link to the reader's preferences.
    "link": _Letter(
        "Your fresh link to {service}",
        "It opens your topics, the number of papers and the hour of your digest.",
        "preferences",
    ),
    # The link to what a forwarded mail must not give: one's data, another address, the end.
    "sensitive": _Letter(
        "Your data at {service}",
        "It opens your data, a change of address, and the way to be erased.",
        "sensitive",
    ),
    # Asks a reader's new address whether it is right. Nothing in it was written by who asked.
    "address": _Letter(
        "Please confirm your new address for {service}",
        "One tap, and the digests come here.",
        "address",
    ),
    # Tells the address that was left. It does not name the new one, for whoever reads the old one
    # now may be somebody else.
    "moved": _Letter(
        "Your digests from {service} go elsewhere now",
        "The address of a subscription was changed.",
    ),
    "test": _Letter("A test mail from {service}", "It took the same way as a digest does."),
    # Tells the operator what is wrong.
    "alert": _Letter("{service}: {first}", "Something is wrong, and is told once."),
}


def render(
    env: jinja2.Environment,
    kind: str,
    *,
    service: str,
    postal_address: str,
    sentences: Sequence[str] = (),
    **links: str,
) -> Rendered:
    """The letter of a kind, with the `links` that its template names; an alert says `sentences`."""
    letter = LETTERS[kind]
    said = [pieces.clean(sentence) for sentence in sentences]
    first = pieces.shorten(said[0], 70) if said else ""
    values: dict[str, Any] = {
        "service": service,
        "sender": pieces.sender(service, postal_address),
        "subject": letter.subject.format(service=service, first=first),
        "preheader": letter.preheader,
        "sentences": said,
        **links,
    }
    if letter.purpose is not None:
        works = LIFETIME[letter.purpose] or timedelta()
        values["days"] = works.days
        values["hours"] = round(works / timedelta(hours=1))
        values["minutes"] = round(works / timedelta(minutes=1))
    html, text = pieces.page(env, kind, values), pieces.text(env, kind, values)
    return Rendered(values["subject"], html, text)
