"""The commonest mistakes of setting up mail and feeds, each really made: the doctor names it, says
how to mend it, and the page on the doctor lists it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from conftest import Mailbox, free_port
from feed_server import Answer, Source, serving
from patient import (
    CURVE,
    PAGE,
    RSA_1024,
    RSA_2048,
    Names,
    _serving,
    check,
    configured,
    healthy,
    names,
    none,
    serve,
    signing,
    told,
)
from test_smtp import TlsController, house

from digest import signup, subscribers
from digest.app import App
from digest.changes import Changes
from digest.doctor import database as stored
from digest.engine import local
from digest.feeds import ingest
from digest.jobs import Job
from digest.mail import outbox
from digest.models import Feed

__all__ = ["_serving", "healthy", "house", "names", "serve"]  # fixtures
pytestmark = pytest.mark.sqlite

HOST = "digest.bookham-library.org"
FEED = b"""<rss version="2.0"><channel><title>Journal</title><link>x</link>
<description>x</description></channel></rss>"""


# The mail server


def smtp(app: App, **values: Any) -> App:
    return configured(app, {"smtp": values})


def test_a_mistyped_mail_server(healthy: App) -> None:
    app = smtp(healthy, host="mial.bookham-library.invalid")
    told(app, "smtp", "fail", "cannot be used just now", "Look for a typo in smtp.host")


def test_a_port_on_which_nothing_listens(healthy: App) -> None:
    told(smtp(healthy, port=free_port()), "smtp", "fail", "cannot be used", "Nothing listens there")


def test_tls_asked_of_a_port_that_does_not_begin_with_it(healthy: App) -> None:
    app = smtp(healthy, security="tls")
    told(app, "smtp", "fail", "No TLS with", "does not begin with TLS: 587 goes with")


def test_starttls_asked_of_a_port_that_offers_none(healthy: App) -> None:
    app = smtp(healthy, security="starttls")
    told(app, "smtp", "fail", "refused us", "offers no STARTTLS: 587 goes with")


def test_a_port_that_waits_for_tls_and_is_asked_without(
    healthy: App, serve: Callable[..., int], house: Any
) -> None:
    port = serve(kind=TlsController, ssl_context=house[1])
    app = smtp(healthy, port=port, security="none", timeout=0.3)
    told(app, "smtp", "fail", "cannot be used", "25 with starttls or none")


def test_a_certificate_that_nobody_vouches_for(
    healthy: App, serve: Callable[..., int], house: Any
) -> None:
    port = serve(kind=TlsController, ssl_context=house[1])
    told(smtp(healthy, port=port, security="tls"), "smtp", "fail", "cannot be trusted", "ca_file")
    none(smtp(healthy, port=port, security="tls", ca_file=house[0]), "smtp")


def test_a_wrong_password(healthy: App, serve: Callable[..., int]) -> None:
    def knows(_server: Any, _session: Any, _envelope: Any, _way: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"right", handled=False)

    port = serve(authenticator=knows, auth_require_tls=False)
    wrong = smtp(healthy, port=port, username="digest", password="wrong")
    told(wrong, "smtp", "fail", "refused the login", "a password for programs")
    none(smtp(healthy, port=port, username="digest", password="right"), "smtp")


def test_a_login_where_none_is_taken(healthy: App) -> None:
    app = smtp(healthy, username="digest", password="x")
    told(app, "smtp", "fail", "refused us", "That port takes no login")


def test_a_sender_that_the_server_does_not_let_in(healthy: App, serve: Callable[..., int]) -> None:
    class Strict(Mailbox):
        async def handle_RCPT(self, *args: Any) -> str:
            return "550 5.7.1 relaying denied"

    app = smtp(healthy, port=serve(Strict()))
    told(app, "smtp sender", "warn", "would not take a mail", "mail.sender is an address")


def test_looking_at_the_server_sends_nothing(healthy: App, mailbox: Mailbox) -> None:
    check(healthy)
    assert mailbox.messages == []


# The sender and DNS


@pytest.mark.parametrize(
    ("sender", "state", "said"),
    [
        ("digest@localhost", "warn", "is refused by most servers outside"),
        ("digest@example.org", "fail", "is nobody's domain"),
    ],
)
def test_a_sender_of_no_domain_of_ones_own(
    healthy: App, sender: str, state: str, said: str
) -> None:
    told(configured(healthy, {"mail": {"sender": sender}}), "mail.sender", state, said, "Set mail.")


def test_no_postal_address(healthy: App) -> None:
    app = configured(healthy, {"mail": {"postal_address": ""}})
    told(app, "mail.postal_address", "warn", "no postal address", "Set mail.postal_address")


DOMAIN, SIGNED = "bookham-library.org", "s1._domainkey.bookham-library.org"


@pytest.mark.parametrize(
    ("at", "texts", "finding", "state", "said", "mend"),
    [
        (DOMAIN, [], "spf", "fail", "has no SPF record", "v=spf1 mx"),
        (
            DOMAIN,
            ["v=spf1 mx ~all", "v=spf1 ~all"],
            "spf",
            "fail",
            "counts as an error",
            "Keep one of them",
        ),
        (DOMAIN, ["v=spf1 +all"], "spf", "warn", "lets everybody send", "End it in ~all"),
        (SIGNED, [], "dkim record", "fail", "There is no DKIM key at", "v=DKIM1; k=rsa; p="),
        (SIGNED, ["v=DKIM1; p=AAAA"], "dkim record", "fail", "stands another key", "v=DKIM1; k="),
        (f"_dmarc.{DOMAIN}", [], "dmarc", "warn", "has no DMARC record", "v=DMARC1; p=none"),
        (f"_dmarc.{DOMAIN}", ["v=DMARC1"], "dmarc", "warn", "names no policy", "v=DMARC1; p=none"),
    ],
)
def test_a_record_that_is_missing_or_wrong(
    healthy: App,
    names: Names,
    tmp_path: Path,
    at: str,
    texts: list[str],
    finding: str,
    state: str,
    said: str,
    mend: str,
) -> None:
    app, key = signing(healthy, tmp_path)
    names.texts[SIGNED] = [f"v=DKIM1; p={key}"]
    none(app, "spf")
    names.texts[at] = texts
    told(app, finding, state, said, mend)


def test_a_signature_for_another_domain(healthy: App, names: Names, tmp_path: Path) -> None:
    app, key = signing(healthy, tmp_path, "dorking.org")
    names.texts["s1._domainkey.dorking.org"] = [f"v=DKIM1; p={key}"]
    told(app, "dkim domain", "warn", "DMARC counts no such signature", "Set mail.dkim_domain to")


@pytest.mark.parametrize(
    ("content", "mode", "state", "said"),
    [
        (RSA_1024, 0o600, "warn", "bits, fewer than 2048"),
        (CURVE, 0o600, "fail", "is no RSA key"),
        (b"lost", 0o600, "fail", "holds no private key"),
        (None, 0, "fail", "cannot be read"),
        (RSA_2048, 0o644, "warn", "Others may read"),
    ],
)
def test_a_key_that_does_not_do(
    healthy: App, tmp_path: Path, content: bytes | None, mode: int, state: str, said: str
) -> None:
    file = tmp_path / "dkim.pem"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    values = {"dkim_domain": DOMAIN, "dkim_selector": "s1", "dkim_key_file": file}
    app = configured(healthy, {"mail": values})
    told(app, "dkim", state, said, f"chmod 600 {file}" if mode == 0o644 else "openssl genrsa")


@pytest.mark.parametrize("place", ["empty", "absent", "imap"])
def test_a_mailbox_of_bounces_that_cannot_be_read(healthy: App, tmp_path: Path, place: str) -> None:
    wrong: dict[str, Any] = {"maildir": tmp_path / place}
    if place == "imap":
        wrong = {"imap_host": "127.0.0.1", "imap_port": free_port(), "imap_security": "none"}
    (tmp_path / "empty").mkdir()
    app = configured(healthy, {"bounces": wrong})
    said = "cannot be read" if place == "imap" else "is no Maildir"
    told(app, "bounces mailbox", "fail", said, "bounces.imap_host")
    for folder in ("cur", "new", "tmp"):
        (tmp_path / "empty" / folder).mkdir()
    none(configured(healthy, {"bounces": {"maildir": tmp_path / "empty"}}), "bounces mailbox")


# Feeds


@pytest.fixture
def source() -> Iterator[Source]:
    with serving() as plan:
        yield plan


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, b"<!doctype html><html><p>Our journal</p></html>"), "web page"),
        (Answer(404), "404"),
        (Answer(403), "403"),
    ],
)
def test_an_address_that_is_no_feed(
    healthy: App, source: Source, answer: Answer, words: str
) -> None:
    source.answers["/journal"] = answer
    ingest.add_feed(healthy, f"{source.url}/journal", "generic")
    ingest.ingest_due(healthy)
    finding = told(healthy, "feed 2", "fail", "could never be read", "not a page about it")
    assert words in finding.sentence


def test_a_feed_whose_host_has_no_address(healthy: App) -> None:
    ingest.add_feed(healthy, "https://nowhere.invalid/rss", "generic")
    ingest.ingest_due(healthy)
    told(healthy, "feed 2", "fail", "cannot be found", "resolves names")
    with healthy.db.write() as session:
        session.get(Feed, 2).outcome = "Who cannot be asked?"  # whatever its words
    told(healthy, "feed 2", "fail", "cannot be asked", "resolves names")


def test_a_feed_that_moves_is_followed(healthy: App, source: Source) -> None:
    source.answers["/old"] = Answer(301, headers={"Location": "/new"})
    source.answers["/new"] = Answer(200, FEED)
    ingest.add_feed(healthy, f"{source.url}/old", "generic")
    ingest.ingest_due(healthy)
    none(healthy, "feed 2")
    assert ingest.list_feeds(healthy)[1].url == f"{source.url}/new"


def test_a_feed_that_is_empty(healthy: App, source: Source, clock: Any) -> None:
    source.answers["/journal"] = Answer(200, FEED)
    ingest.remove_feed(healthy, 1)
    ingest.add_feed(healthy, f"{source.url}/journal", "generic")
    for _ in range(5):
        ingest.ingest_due(healthy)
        clock.forward(hours=20)
    ingest.ingest_due(healthy)
    told(healthy, "feed 1", "warn", "has brought no paper since it was added", "lists anything")


def test_a_category_that_arxiv_does_not_have(healthy: App) -> None:
    ingest.add_feed(healthy, "https://rss.arxiv.org/rss/cs.LGG+cs.CL")
    finding = told(healthy, "categories", "fail", "arXiv has no category", "category_taxonomy")
    assert "cs.lgg," in finding.sentence


def test_a_category_that_readers_chose_and_no_feed_brings(healthy: App) -> None:
    wishes = Changes(categories=[("cs.RO", 1.0), ("cs.CV", 1.0), ("mine", 1.0)])
    subscribers.add(healthy, "bo@reader.test", wishes)
    finding = told(healthy, "categories", "warn", "No feed brings categories", "rss/cs.RO`")
    assert "cs.RO (1)" in finding.sentence
    ingest.add_feed(healthy, "https://rss.arxiv.org/rss/cs")
    none(healthy, "categories")


def test_no_feed_and_nobody_who_reads(app: App) -> None:
    told(configured(app), "feeds", "warn", "There is no feed", "digest feeds add URL")
    told(configured(app), "subscribers", "warn", "Nobody is subscribed", "digest subscribers add")


# The service


def test_a_service_that_does_not_run(app: App) -> None:
    bare = configured(app)
    told(bare, "service", "warn", "Nothing fetches feeds", "Start `digest run`")
    assert not list(Path(str(app.db.file)).parent.glob("*.lock"))
    with app.db.exclusive("scheduler"):
        none(bare, "service")
    told(bare, "service", "warn", "Nothing fetches feeds", "Start `digest run`")


def test_confirmations_that_nobody_gets(app: App) -> None:
    signup.subscribe(app, "bo@reader.test", Changes())
    told(configured(app), "confirmations", "warn", "nobody has confirmed it", "digest send-test")


def test_a_job_that_fails(healthy: App, clock: Any) -> None:
    def sends(app: App, _stop: Any) -> None:
        outbox.send_test(app, "operator@bookham-library.org")

    job, app = Job("send", "worker", 2, sends), smtp(healthy, port=free_port())
    for _ in range(3):
        local.run_once(app, job, lambda: False)
        clock.forward(minutes=6)
    told(app, "jobs", "fail", "times in a row since", "tried again by itself")
    local.run_once(app, Job("send", "worker", 2, lambda app, _stop: None), lambda: False)
    none(app, "jobs")


def test_a_disk_that_is_nearly_full(healthy: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LITTLE_SPACE", 10**18)
    told(healthy, "disk", "warn", "GB are free", "Make room")


def test_a_clock_that_was_wrong(healthy: App, clock: Any) -> None:
    clock.forward(days=-3)
    told(healthy, "clock", "warn", "but something was done at", "NTP")


def test_a_secret_file_that_others_may_read(healthy: App) -> None:
    file = Path(str(healthy.db.file)).with_name("secret")
    file.write_text("x" * 40)
    file.chmod(0o644)
    told(
        configured(healthy, {"web": {"secret": ""}}),
        "secret",
        "warn",
        "Others may read",
        f"chmod 600 {file}",
    )


def test_the_docs_list_more_than_the_twenty_commonest() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and "mistake |" not in row]
    assert len(rows) > 40
