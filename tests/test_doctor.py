"""The doctor: each common mistake is found, named in a sentence, and can be mended as it says."""

import base64
import re
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
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
from conftest import Mailbox, free_port
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from digest import doctor
from digest.app import App
from digest.doctor import Finding
from digest.feeds import ingest
from digest.models import Feed, OutboxMessage, Subscriber
from digest.settings import Settings

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


def test_a_healthy_service_has_nothing_to_mend(healthy: App, mailbox: Mailbox) -> None:
    findings = check(healthy)
    assert [f for f in findings if f.state != "ok"] == []
    beside_a_file = set() if healthy.db.file is None else {"disk"}
    wanted = {"database", "secret", "smtp", "feeds", "outbox"} | beside_a_file
    assert {f.name for f in findings} >= wanted
    assert mailbox.messages == []


def test_links_that_only_this_machine_can_open(healthy: App) -> None:
    here = configured(healthy, {"web": {"base_url": "http://localhost:8000"}})
    assert "no reader can open" in found(here, "web.base_url", "fail").sentence
    trial = configured(
        healthy,
        {
            "web": {"base_url": "http://localhost:8000"},
            "mail": {"sender": "Digest <digest@localhost>"},
        },
    )
    assert found(trial, "web.base_url", "ok")


def test_pages_without_encryption(healthy: App) -> None:
    plain = configured(healthy, {"web": {"base_url": "http://digest.bookham-library.org"}})
    assert "https" in found(plain, "web.base_url", "warn").sentence


@pytest.mark.parametrize(
    ("sender", "state"),
    [
        ("Digest <digest@localhost>", "warn"),
        ("digest@printer.local", "warn"),
        ("digest@example.org", "fail"),
    ],
)
def test_a_sender_that_will_be_refused(healthy: App, sender: str, state: str) -> None:
    assert (
        "mail.sender"
        in found(configured(healthy, {"mail": {"sender": sender}}), "mail.sender", state).mend
    )


def test_a_footer_without_an_address(healthy: App) -> None:
    bare = configured(healthy, {"mail": {"postal_address": ""}})
    assert found(bare, "mail.postal_address", "warn")


def pem(key: Any) -> bytes:
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded


RSA_2048 = pem(rsa.generate_private_key(65537, 2048))
RSA_1024 = pem(rsa.generate_private_key(65537, 1024))
CURVE = pem(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    ("content", "mode", "state", "words"),
    [
        (RSA_2048, 0o600, "ok", "signed for bookham-library.org"),
        (RSA_2048, 0o644, "warn", "Others may read"),
        (RSA_1024, 0o600, "warn", "1024 bits"),
        (CURVE, 0o600, "fail", "no RSA key"),
        (b"-----BEGIN PRIVATE KEY-----\n", 0o600, "fail", "no private key"),
        (None, 0, "fail", "cannot be read"),
    ],
)
def test_the_signing_key(
    healthy: App, tmp_path: Path, content: bytes | None, mode: int, state: str, words: str
) -> None:
    file = tmp_path / "dkim.pem"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    names = {"dkim_domain": "bookham-library.org", "dkim_selector": "s1"}
    signing = configured(healthy, {"mail": {**names, "dkim_key_file": file}})
    assert words in found(signing, "dkim", state).sentence


def test_a_mail_server_that_is_not_there(healthy: App) -> None:
    port = free_port()
    away = configured(healthy, {"smtp": {"port": port}})
    assert f"127.0.0.1:{port}" in found(away, "smtp", "fail").sentence


def test_a_mail_server_that_does_not_speak_tls(healthy: App) -> None:
    wanting = configured(healthy, {"smtp": {"security": "starttls"}})
    assert "smtp.security" in found(wanting, "smtp", "fail").sentence


def test_a_mail_server_that_refuses_the_login(healthy: App) -> None:
    wrong = configured(healthy, {"smtp": {"username": "digest", "password": "x"}})
    finding = found(wrong, "smtp", "fail")
    assert "smtp.username" in finding.sentence
    assert "digest" not in finding.sentence.replace("digest.test", "")


def test_no_feed(app: App) -> None:
    assert "feeds add" in found(configured(app), "feeds", "warn").mend


@pytest.mark.parametrize(
    ("hours", "values", "state", "words"),
    [
        (0, {"failures": 2}, None, ""),
        (0, {"failures": 3, "outcome": "503 again."}, "fail", "failed 3 times in a row: 503"),
        (4, {}, "warn", "not been fetched since it was due"),
        (24 * 6, {}, "warn", "nothing new for 6 days"),
    ],
)
def test_a_feed_in_trouble(
    healthy: App, clock: Any, hours: int, values: dict[str, Any], state: str | None, words: str
) -> None:
    with healthy.db.write() as session:
        feed = session.get(Feed, 1)
        assert feed is not None
        for name, value in values.items():
            setattr(feed, name, value)
        if hours > 24:  # it is fetched in time, but brings nothing
            feed.next_fetch_at = clock() + timedelta(hours=hours, minutes=30)
        session.add(feed)
    clock.forward(hours=hours)
    if state is None:
        assert found(healthy, "feeds", "ok")
    else:
        assert words in found(healthy, "feed 1", state).sentence


def test_nobody_is_subscribed(app: App) -> None:
    assert found(configured(app), "subscribers", "warn")


def test_digests_that_are_late(healthy: App, clock: Any) -> None:
    clock.forward(hours=2)
    assert "of 1 of 1" in found(healthy, "subscribers", "fail").sentence


@pytest.mark.parametrize(
    ("status", "in_doubt", "hours", "state", "words"),
    [
        ("queued", False, 1, "ok", "No mail"),
        ("queued", False, 3, "fail", "1 mail "),
        ("deferred", False, 3, "fail", "1 mail "),
        ("failed", False, 3, "warn", "550 no such user"),
        ("failed", False, 24 * 8, "ok", "No mail"),
        ("sent", True, 3, "warn", "arrived twice"),
    ],
)
def test_mails_in_trouble(
    healthy: App,
    ada: Subscriber,
    clock: Any,
    status: str,
    in_doubt: bool,
    hours: int,
    state: str,
    words: str,
) -> None:
    then = clock() - timedelta(hours=hours)
    message = OutboxMessage(
        kind="confirm",
        subscriber_id=ada.id or 0,
        status=status,
        in_doubt=in_doubt,
        due_at=then,
        created_at=then,
        response="550 no such user",
    )
    with healthy.db.write() as session:
        session.add(message)
    assert words in found(healthy, "outbox", state).sentence


@pytest.mark.sqlite
def test_a_kept_secret_that_others_may_read(app: App, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 40)
    secret.chmod(0o644)
    bare = configured(app, {"web": {"secret": ""}})
    assert str(secret) in found(bare, "secret", "warn").mend


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


def test_records_that_are_right(healthy: App, names: Names, tmp_path: Path) -> None:
    app, key = signing(healthy, tmp_path)
    # Split, with spaces and other tags, as name servers and their pages make it.
    names.texts["s1._domainkey.bookham-library.org"] = [
        f"v=DKIM1;k=rsa; t=s; p={key[:100]} {key[100:]}"
    ]
    assert [f for f in check(app) if f.state != "ok"] == []
    assert "v=spf1 mx ~all" in found(app, "spf", "ok").sentence
    assert found(app, "dkim record", "ok")
    assert found(app, "dmarc", "ok")


def test_records_that_are_missing_are_given_word_by_word(
    healthy: App, names: Names, tmp_path: Path
) -> None:
    app, key = signing(healthy, tmp_path)
    names.publish({})
    spf = found(app, "spf", "fail").mend
    assert spf.startswith('Publish: bookham-library.org. IN TXT "v=spf1 ')
    assert spf.endswith('~all"')
    dmarc = found(app, "dmarc", "warn").mend
    assert dmarc == 'Publish: _dmarc.bookham-library.org. IN TXT "v=DMARC1; p=none"'
    dkim = found(app, "dkim record", "fail").mend
    assert dkim.startswith('Publish: s1._domainkey.bookham-library.org. IN TXT "v=DKIM1; ')
    assert joined(dkim) == f"v=DKIM1; k=rsa; p={key}"
    assert max(map(len, re.findall(r'"([^"]*)"', dkim))) <= 255
    # What it says, published, is right.
    names.publish(
        {
            "bookham-library.org": [joined(spf)],
            "_dmarc.bookham-library.org": [joined(dmarc)],
            "s1._domainkey.bookham-library.org": [joined(dkim)],
        }
    )
    assert [f for f in check(app) if f.state != "ok"] == []


@pytest.mark.parametrize(
    ("name", "texts", "finding", "state", "words"),
    [
        ("bookham-library.org", ["v=spf1 mx ~all", "v=spf1 ~all"], "spf", "fail", "2 SPF"),
        ("bookham-library.org", ["v=spf1 +all"], "spf", "warn", "everybody"),
        ("bookham-library.org", ["v=spf10 ~all"], "spf", "fail", "no SPF"),
        ("_dmarc.bookham-library.org", ["v=DMARC1"], "dmarc", "warn", "no policy"),
        (
            "_dmarc.bookham-library.org",
            ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
            "dmarc",
            "fail",
            "several",
        ),
        ("s1._domainkey.bookham-library.org", ["v=DKIM1; p="], "dkim record", "fail", "another"),
        ("s1._domainkey.bookham-library.org", ["p=AAAA"], "dkim record", "fail", "another"),
    ],
)
def test_records_that_are_wrong(
    healthy: App,
    names: Names,
    tmp_path: Path,
    name: str,
    texts: list[str],
    finding: str,
    state: str,
    words: str,
) -> None:
    app, key = signing(healthy, tmp_path)
    names.texts["s1._domainkey.bookham-library.org"] = [f"v=DKIM1; p={key}"]
    names.texts[name] = texts
    assert words in found(app, finding, state).sentence


def test_a_policy_of_the_domain_above_counts(healthy: App, names: Names) -> None:
    below = configured(healthy, {"mail": {"sender": "digest@news.bookham-library.org"}})
    assert "_dmarc.bookham-library.org" in found(below, "dmarc", "ok").sentence
    assert "_dmarc.org" not in names.asked


def test_a_signature_of_another_domain_counts_for_nothing(
    healthy: App, names: Names, tmp_path: Path
) -> None:
    app, key = signing(healthy, tmp_path, "post.dorking.org")
    names.texts["s1._domainkey.post.dorking.org"] = [f"v=DKIM1; p={key}"]
    assert "bookham-library.org" in found(app, "dkim domain", "warn").mend


def test_the_return_path_is_whose_spf_counts(healthy: App, names: Names) -> None:
    app = configured(healthy, {"mail": {"bounce_address": "back@post.bookham-library.org"}})
    assert "post.bookham-library.org" in found(app, "spf", "fail").sentence


def test_without_a_network_that_is_said_and_what_to_publish(
    healthy: App, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names.resolver, "lifetime", 0.2)
    names.silent = True
    app, key = signing(healthy, tmp_path)
    finding = found(app, "dns", "warn")
    assert "bookham-library.org" in finding.sentence
    assert key[:100] in finding.mend


def test_a_domain_of_this_machine_alone_is_not_asked_for(healthy: App, names: Names) -> None:
    names.asked.clear()
    here = {"web": {"base_url": "http://localhost:8000"}}
    check(configured(healthy, here | {"mail": {"sender": "Digest <digest@localhost>"}}))
    assert names.asked == []
