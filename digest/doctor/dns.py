"""The key that signs, and what DNS says of the sender's domain."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from digest.app import App
from digest.doctor.finding import Finding, domain_of, is_public
from digest.errors import SettingsError
from digest.mail import domains

if TYPE_CHECKING:
    from dns.resolver import Resolver


def signing_key(app: App) -> Iterator[Finding]:
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


def records(app: App, ask: "Resolver | None") -> Iterator[Finding]:
    """Asks for nothing but the records of the sender's own domain."""
    mail, domain = app.settings.mail, domain_of(app.settings.mail.sender)
    if not is_public(domain):
        return
    bounces_to, key = domain_of(mail.bounce_address) or domain, None
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
