"""An installation for the doctor to look at: well configured, with a name server of its own."""

import base64
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
from aiosmtpd.controller import Controller
from conftest import Mailbox, free_port
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from digest import doctor
from digest.app import App
from digest.doctor import Finding
from digest.feeds import ingest
from digest.models import Feed, Subscriber
from digest.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "doctor.md").read_text("utf-8")

GOOD: dict[str, dict[str, Any]] = {
    "web": {
        "secret": "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789",
        "base_url": "https://digest.bookham-library.org",
        "port": 0,
    },
    "mail": {
        "sender": "Paper Digest <digest@bookham-library.org>",
        "postal_address": "1 Library Lane, Bookham",
    },
}


def configured(app: App, changes: Mapping[str, Mapping[str, Any]] | None = None) -> App:
    """The app with good settings but for `changes`, section by section."""
    kept = app.settings.model_dump()
    wanted = {
        section: {**kept[section], **GOOD.get(section, {}), **(changes or {}).get(section, {})}
        for section in kept
    }
    return replace(app, settings=Settings.model_validate(wanted))


class Names:
    """A name server on loopback; `texts` are its TXT records and `hosts` its addresses, name by
    name: of those of any other name it knows nothing. Silent, it hears all and answers nothing."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.hosts: dict[str, list[str]] = {}
        self.silent = False
        self.asked: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.resolver = dns.resolver.Resolver(configure=False)
        self.resolver.nameservers = ["127.0.0.1"]
        self.resolver.port = self.socket.getsockname()[1]
        self.publish(GOOD_NAMES)

    def publish(self, texts: Mapping[str, list[str]]) -> None:
        self.texts = dict(texts)

    def serve(self) -> None:
        while True:
            data, peer = self.socket.recvfrom(4096)
            if not data:
                return
            question = dns.message.from_wire(data)
            name = question.question[0].name.to_text(omit_final_dot=True)
            self.asked.append(name)
            if not self.silent:
                self.socket.sendto(self.answer(question, name).to_wire(), peer)

    def answer(self, question: dns.message.Message, name: str) -> dns.message.Message:
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        if kind != "TXT":
            if name not in self.hosts:
                answer.set_rcode(dns.rcode.SERVFAIL)
            for address in self.hosts.get(name, []) if kind == "A" else []:
                answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "A", address))
            return answer
        for text in self.texts.get(name, []):
            pieces = " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", pieces))
        if name not in self.texts:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def stop(self) -> None:
        self.socket.sendto(b"", self.socket.getsockname())


GOOD_NAMES = {
    "bookham-library.org": ["some-site-verification=1", "v=spf1 mx ~all"],
    "_dmarc.bookham-library.org": ["v=DMARC1; p=none"],
}
NAMES = Names()


@pytest.fixture(scope="module", autouse=True)
def _serving() -> Iterator[None]:
    thread = threading.Thread(target=NAMES.serve)
    thread.start()
    yield
    NAMES.stop()
    thread.join()


@pytest.fixture
def names() -> Iterator[Names]:
    yield NAMES
    NAMES.silent = False
    NAMES.hosts = {}
    NAMES.publish(GOOD_NAMES)


def check(app: App) -> list[Finding]:
    return doctor.check(app, NAMES.resolver)


def found(app: App, name: str, state: str) -> Finding:
    """The one finding of that name and state."""
    (finding,) = [f for f in check(app) if f.name.startswith(name) and f.state == state]
    assert finding.sentence.endswith(".")
    assert (finding.mend != "") == (state != "ok")
    return finding


@pytest.fixture
def healthy(app: App, ada: Subscriber, clock: Any) -> Iterator[App]:
    """Well configured and running, with a feed that was just read and a reader who is served."""
    ingest.add_feed(app, "https://rss.arxiv.org/rss/cs.LG+cs.CV")
    now = clock()
    with app.db.write() as session:
        feed = session.get(Feed, 1)
        assert feed is not None
        feed.checked_at = feed.changed_at = now
        feed.next_fetch_at = now + timedelta(minutes=30)
        session.add(feed)
    with app.db.exclusive("scheduler"):
        yield configured(app)


def told(app: App, name: str, state: str, said: str, mend: str) -> Finding:
    """The one finding of that name and state; what it says stands in the docs, too."""
    (finding,) = [f for f in check(app) if f.name.startswith(name) and f.state == state]
    assert said in finding.sentence
    assert mend in finding.mend
    assert said in PAGE, "docs/doctor.md lists what the doctor says"
    return finding


def none(app: App, name: str) -> None:
    assert not [f for f in check(app) if f.name.startswith(name) and f.state != "ok"]


def pem(key: Any) -> bytes:
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded


RSA_2048 = pem(rsa.generate_private_key(65537, 2048))
RSA_1024 = pem(rsa.generate_private_key(65537, 1024))
CURVE = pem(ec.generate_private_key(ec.SECP256R1()))


def signing(app: App, folder: Path, domain: str = "bookham-library.org") -> tuple[App, str]:
    """The app with a key, and the TXT record that belongs to it."""
    file = folder / "dkim.pem"
    file.write_bytes(RSA_2048)
    file.chmod(0o600)
    values = {"dkim_domain": domain, "dkim_selector": "s1", "dkim_key_file": file}
    public = subprocess.run(
        ["openssl", "rsa", "-in", file, "-pubout", "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    return configured(app, {"mail": values}), base64.b64encode(public).decode()


def joined(line: str) -> str:
    """The text of a zone file's line, its pieces put together as a name server does."""
    return "".join(re.findall(r'"([^"]*)"', line))


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Starts mail servers on loopback, and gives their ports."""
    running: list[Controller] = []

    def start(handler: Any = None, kind: type[Controller] = Controller, **options: Any) -> int:
        handler = handler or Mailbox()
        controller = kind(handler, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return int(controller.port)

    yield start
    for controller in running:
        controller.stop()
