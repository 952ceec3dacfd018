"""The small mails: the question whether an address is right, a fresh link, a test."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import jinja2

from digest.mail import pieces
from digest.mail.render import Rendered


def render_confirmation(
    env: jinja2.Environment,
    *,
    service: str,
    postal_address: str,
    confirm_url: str,
    lifetime: timedelta,
) -> Rendered:
    """Asks whether the address is its owner's. Nothing in it was written by who asked for it."""
    return _letter(
        env,
        "confirm",
        f"Please confirm: a digest of new papers from {service}",
        "One tap, and the first digest is on its way.",
        service=service,
        postal_address=postal_address,
        confirm_url=confirm_url,
        hours=round(lifetime / timedelta(hours=1)),
    )


def render_link(
    env: jinja2.Environment,
    *,
    service: str,
    postal_address: str,
    preferences_url: str,
    unsubscribe_url: str,
    lifetime: timedelta,
) -> Rendered:
    """A fresh link to the reader's preferences."""
    return _letter(
        env,
        "link",
        f"Your fresh link to {service}",
        "It opens your topics, the number of papers and the hour of your digest.",
        service=service,
        postal_address=postal_address,
        preferences_url=preferences_url,
        unsubscribe_url=unsubscribe_url,
        days=lifetime.days,
    )


def render_sensitive(
    env: jinja2.Environment,
    *,
    service: str,
    postal_address: str,
    my_data_url: str,
    lifetime: timedelta,
) -> Rendered:
    """The link to what a forwarded mail must not give: one's data, another address, the end."""
    return _letter(
        env,
        "sensitive",
        f"Your data at {service}",
        "It opens your data, a change of address, and the way to be erased.",
        service=service,
        postal_address=postal_address,
        my_data_url=my_data_url,
        minutes=round(lifetime / timedelta(minutes=1)),
    )


def render_address(
    env: jinja2.Environment,
    *,
    service: str,
    postal_address: str,
    address_url: str,
    lifetime: timedelta,
) -> Rendered:
    """Asks the new address of a reader whether it is right. Nothing in it was written by who asked
    for it."""
    return _letter(
        env,
        "address",
        f"Please confirm your new address for {service}",
        "One tap, and the digests come here.",
        service=service,
        postal_address=postal_address,
        address_url=address_url,
        hours=round(lifetime / timedelta(hours=1)),
    )


def render_moved(env: jinja2.Environment, *, service: str, postal_address: str) -> Rendered:
    """Tells the address that was left. It does not name the new one, for whoever reads the old one
    now may be somebody else."""
    return _letter(
        env,
        "moved",
        f"Your digests from {service} go elsewhere now",
        "The address of a subscription was changed.",
        service=service,
        postal_address=postal_address,
    )


def render_test(env: jinja2.Environment, *, service: str, postal_address: str) -> Rendered:
    return _letter(
        env,
        "test",
        f"A test mail from {service}",
        "It took the same way as a digest does.",
        service=service,
        postal_address=postal_address,
    )


def render_alert(
    env: jinja2.Environment, *, service: str, postal_address: str, sentences: Sequence[str]
) -> Rendered:
    """Tells the operator what is wrong, a sentence each."""
    said = [pieces.clean(sentence) for sentence in sentences]
    return _letter(
        env,
        "alert",
        f"{service}: {pieces.shorten(said[0], 70)}",
        "Something is wrong, and is told once.",
        service=service,
        postal_address=postal_address,
        sentences=said,
    )


def _letter(
    env: jinja2.Environment, name: str, subject: str, preheader: str, **values: Any
) -> Rendered:
    sender = pieces.sender(values["service"], values.pop("postal_address"))
    values |= {"subject": subject, "preheader": preheader, "sender": sender}
    return Rendered(subject, pieces.page(env, name, values), pieces.text(env, name, values))
