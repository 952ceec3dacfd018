"""The pages' address, what stands before them, the secret, and whether the service runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from digest.app import App
from digest.doctor import pages
from digest.doctor.finding import Finding, domain_of, is_public
from digest.failing import failing
from digest.mail import domains
from digest.settings import LOOPBACK

if TYPE_CHECKING:
    from dns.resolver import Resolver

FEW_LETTERS = 10  # a random secret of 32 characters has twenty and more


def secret(app: App) -> Iterator[Finding]:
    own = app.settings.web.secret.get_secret_value()
    if own and len(set(own)) < FEW_LETTERS:
        yield Finding(
            "secret",
            "fail",
            f"web.secret has only {len(set(own))} different letters, so it can be guessed.",
            "Take a random one: `python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`."
            " The links mailed so far end with the old one, as they should: others can make them.",
        )
    elif own:
        yield Finding("secret", "ok", "web.secret signs the links in the mails.")
    elif app.db.file is not None:
        kept = app.db.file.with_name("secret")
        yield Finding("secret", "ok", f"The links are signed with the secret kept in {kept}.")
        if kept.stat().st_mode & 0o077:
            yield Finding("secret", "warn", f"Others may read {kept}.", f"Run `chmod 600 {kept}`.")


def address(app: App) -> Iterator[Finding]:
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
    elif here and app.settings.web.port not in (0, parts.port or 80):
        yield Finding(
            "web.base_url",
            "warn",
            f"The links in the mails lead to {base}, but the pages listen on port"
            f" {app.settings.web.port}.",
            "Set the port in web.base_url, too, unless a proxy on this machine passes it on.",
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
    return domain_of(app.settings.mail.sender) in ("", "localhost")


def reachable(app: App, ask: "Resolver | None") -> Iterator[Finding]:
    """Asks for the pages at their public address, as a reader's browser would."""
    parts = urlsplit(app.settings.web.base_url)
    host = parts.hostname or ""
    if not is_public(host) or host in LOOPBACK:
        return
    try:
        found = pages.look(app.settings.web.base_url, domains.addresses(host, ask))
    except domains.Silent:
        return  # no name server answered: that is said where DNS is looked at
    if found == pages.OURS:
        yield Finding("pages", "ok", f"They answer at {app.settings.web.base_url}.")
    else:
        yield Finding(
            "pages",
            "warn",
            f"Seen from here, {app.settings.web.base_url} does not lead to these pages: {found}.",
            "See that the name points to your proxy, that it passes everything on to web.host and"
            " web.port, path included, and that `digest run` is running.",
        )


def proxies(app: App) -> Iterator[Finding]:
    """A proxy whose word is not taken makes all visitors one, with one limit for all."""
    web = app.settings.web
    beyond = web.host not in LOOPBACK
    outside = urlsplit(web.base_url).hostname not in LOOPBACK
    if beyond and outside and set(web.trusted_proxies) <= set(LOOPBACK):
        yield Finding(
            "web.trusted_proxies",
            "warn",
            f"The pages listen on {web.host}, and no proxy but one on this machine is believed when"
            " it says who the visitor is.",
            "Add the proxy's address, as the pages see it, to web.trusted_proxies: for Docker that"
            " of its network, such as 172.16.0.0/12. Without a proxy, set web.host to 127.0.0.1.",
        )


def running(app: App) -> Iterator[Finding]:
    """Whether somebody fetches, sends and serves; on a server's database only the pages tell."""
    web = app.settings.web
    works = app.db.held_elsewhere("scheduler")
    if works is False:
        yield Finding(
            "service",
            "warn",
            "Nothing fetches feeds and prepares digests now.",
            "Start `digest run`, by systemd or Docker so that it comes back with the machine.",
        )
    elif works:
        yield Finding("service", "ok", "Feeds are fetched and digests prepared.")
    host = "127.0.0.1" if web.host in ("0.0.0.0", "::", "") else web.host  # noqa: S104
    if not web.port or (found := pages.look(f"http://{host}:{web.port}", [host])) == pages.OURS:
        return
    if found != pages.NOBODY:
        yield Finding(
            "web.port",
            "fail",
            f"Another program has port {web.port}: {found}.",
            "End it, or set web.port to another one, and tell the proxy.",
        )
    elif works:
        yield Finding(
            "web.port",
            "warn",
            f"The service runs, but nobody serves the pages at {host}:{web.port}.",
            "Start `digest web`, or `digest run`, which serves them too.",
        )


def jobs(app: App) -> Iterator[Finding]:
    """What the service does by itself, and fails at."""
    with app.db.read() as session:
        found = failing(session, app.now())
    for job in found:
        yield Finding(
            "jobs",
            "fail" if job.lasts else "warn",
            job.sentence,
            "Mend what it names; it is tried again by itself, and this goes when it is well. The"
            f" log has each run of the job {job.job}, and of a crash the lines to report.",
        )
    if not found:
        yield Finding("jobs", "ok", "No job is failing.")
