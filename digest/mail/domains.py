"""SPF, DKIM and DMARC in DNS: what stands there for the domain that the digests come from, and
what should, word by word."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dns.exception
import dns.resolver
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from digest.mail.dkim import load_key

State = Literal["ok", "warn", "fail"]

SPF = "v=spf1 mx a:NAME-OF-YOUR-MAIL-SERVER ~all"
DMARC = "v=DMARC1; p=none"
PATIENCE = 4.0  # seconds for one question, all name servers together

_DMARC_POLICY = re.compile(r"(?i)(?:^|;)\s*p\s*=\s*(none|quarantine|reject)\s*(?:;|$)")


@dataclass(frozen=True, slots=True)
class Stand:
    """How one kind of record stands; `mend` is what to publish, and empty where all is well."""

    name: str
    state: State
    sentence: str
    mend: str = ""


class Silent(Exception):
    """No name server answered."""


def resolver() -> dns.resolver.Resolver:
    """The system's name servers. Raises Silent where it has none."""
    try:
        system = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration as error:
        raise Silent from error
    system.lifetime = PATIENCE
    return system


@dataclass(frozen=True, slots=True)
class Key:
    """What signs: the private key's file, and the name under which its other half is published."""

    domain: str
    selector: str
    file: Path

    @property
    def name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    def record(self) -> str:
        """The TXT record (RFC 6376, 3.6.1). Raises SettingsError where the key cannot be read."""
        public = load_key(self.file).public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"


def wanted(domain: str, bounces: str, key: Key | None) -> list[str]:
    """The lines of a zone file to begin with. Raises SettingsError where the key cannot be read."""
    signed = [_line(key.name, key.record())] if key is not None else []
    return [_line(bounces, SPF), *signed, _line(f"_dmarc.{domain}", DMARC)]


def check(
    domain: str, bounces: str, key: Key | None, ask: dns.resolver.Resolver
) -> Iterator[Stand]:
    """The records for mail from `domain`; `bounces` is the envelope's domain, `key` is there where
    we sign. Raises Silent; SettingsError where the key cannot be read."""
    yield _spf(bounces, ask)
    if key is not None:
        yield _dkim(key, ask)
        if not _aligned(key.domain, domain):
            yield Stand(
                "dkim domain",
                "warn",
                f"The mails come from {domain} but are signed for {key.domain}: DMARC counts no"
                " such signature.",
                f"Set mail.dkim_domain to {domain}.",
            )
    yield _dmarc(domain, ask)


def _spf(domain: str, ask: dns.resolver.Resolver) -> Stand:
    found = [text for text in _texts(domain, ask) if text.lower().split(" ")[0] == "v=spf1"]
    if not found:
        return Stand("spf", "fail", f"{domain} has no SPF record.", _publish(domain, SPF))
    if len(found) > 1:
        sentence = f"{domain} has {len(found)} SPF records, which counts as an error."
        return Stand("spf", "fail", sentence, f"Keep one of them: {' | '.join(found)}")
    [record] = found
    words = record.lower().split()
    if "+all" in words or "all" in words:
        sentence = f"The SPF record of {domain} lets everybody send in its name: “{record}”."
        return Stand("spf", "warn", sentence, "End it in ~all instead.")
    return Stand("spf", "ok", f"{domain} has the SPF record “{record}”.")


def _dkim(key: Key, ask: dns.resolver.Resolver) -> Stand:
    name, ours = key.name, key.record()
    found = _texts(name, ask)
    if not found:
        return Stand(
            "dkim record", "fail", f"There is no DKIM key at {name}.", _publish(name, ours)
        )
    if len(found) == 1 and _key_of(found[0]) == _key_of(ours):
        return Stand("dkim record", "ok", f"{name} has the key that signs.")
    sentence = f"At {name} stands another key than the one that signs, so all signatures fail."
    return Stand("dkim record", "fail", sentence, _publish(name, ours))


def _dmarc(domain: str, ask: dns.resolver.Resolver) -> Stand:
    """At the domain, else at the ones above it, as RFC 9989 walks up the tree."""
    begin = _publish(f"_dmarc.{domain}", DMARC)
    labels = domain.split(".")
    for at in range(max(1, len(labels) - 1)):
        place = f"_dmarc.{'.'.join(labels[at:])}"
        found = [text for text in _texts(place, ask) if text.lower().startswith("v=dmarc1")]
        if len(found) > 1:
            return Stand(
                "dmarc", "fail", f"{place} has several DMARC records.", "Keep one of them."
            )
        if found and not _DMARC_POLICY.search(found[0]):
            sentence = f"The DMARC record at {place} names no policy: “{found[0]}”."
            return Stand("dmarc", "warn", sentence, begin)
        if found:
            return Stand("dmarc", "ok", f"{place} has the DMARC record “{found[0]}”.")
    return Stand("dmarc", "warn", f"{domain} has no DMARC record.", begin)


def _publish(name: str, text: str) -> str:
    return f"Publish: {_line(name, text)}"


def _line(name: str, text: str) -> str:
    """A line of a zone file; a string in DNS has 255 bytes at most, so a long text is in pieces."""
    pieces = " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
    return f"{name}. IN TXT {pieces}"


def addresses(name: str, ask: dns.resolver.Resolver | None) -> list[str]:
    """The addresses of a host, IPv4 first. Raises Silent."""
    ask = ask or resolver()
    return [str(record) for kind in ("A", "AAAA") for record in _records(name, kind, ask)]


def _texts(name: str, ask: dns.resolver.Resolver) -> list[str]:
    records = _records(name, "TXT", ask)
    return [b"".join(record.strings).decode("utf-8", "replace") for record in records]


def _records(name: str, kind: str, ask: dns.resolver.Resolver) -> list[Any]:
    try:
        return list(ask.resolve(name, kind, search=False))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError) as error:
        raise Silent from error


def _key_of(record: str) -> bytes | None:
    tags = dict(part.partition("=")[::2] for part in record.replace(" ", "").split(";"))
    try:
        return base64.b64decode(tags.get("p", ""), validate=True) or None
    except binascii.Error:
        return None


def _aligned(signing: str, sending: str) -> bool:
    """One is the other or lies below it: as much as can be said without the public suffix list."""
    one, two = f".{signing.lower()}", f".{sending.lower()}"
    return one.endswith(two) or two.endswith(one)
