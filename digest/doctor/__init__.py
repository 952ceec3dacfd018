"""`digest doctor`: what is wrong with an installation, in a sentence each, and how to mend it."""

from typing import TYPE_CHECKING

from digest.app import App
from digest.doctor import database, dns, feeds, mail, readers, service
from digest.doctor.finding import Finding

if TYPE_CHECKING:
    from dns.resolver import Resolver

__all__ = ["Finding", "check"]


def check(app: App, ask: "Resolver | None" = None) -> list[Finding]:
    """All findings, in the order in which one would mend them. Sends no mail; `ask` are the name
    servers to be asked, otherwise the system's."""
    stored = list(database.stored(app))
    if stored[0].state == "fail" and not database.readable(app):
        return stored
    return [
        *stored,
        *database.clock(app),
        *service.secret(app),
        *service.address(app),
        *service.reachable(app, ask),
        *service.proxies(app),
        *service.running(app),
        *service.jobs(app),
        *mail.sender(app),
        *dns.signing_key(app),
        *dns.records(app, ask),
        *mail.server(app),
        *mail.mailbox(app),
        *feeds.each(app),
        *feeds.doubtful(app),
        *feeds.late(app),
        *feeds.wished(app),
        *readers.served(app),
        *database.held(app),
        *mail.outbox(app),
        *mail.refusals(app),
    ]
