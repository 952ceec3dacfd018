"""The doctor: each common mistake is found, named in a sentence, and can be mended as it says."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Mailbox, free_port
from patient import CURVE, RSA_1024, RSA_2048, _serving, check, configured, found, healthy, names

from digest.app import App
from digest.models import Feed, OutboxMessage, Subscriber

__all__ = ["_serving", "healthy", "names"]  # fixtures
pytestmark = pytest.mark.sqlite  # those of `postgres` on both


@pytest.mark.postgres
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


@pytest.mark.postgres
def test_no_feed(app: App) -> None:
    assert "feeds add" in found(configured(app), "feeds", "warn").mend


@pytest.mark.postgres
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


@pytest.mark.postgres
def test_nobody_is_subscribed(app: App) -> None:
    assert found(configured(app), "subscribers", "warn")


@pytest.mark.postgres
def test_digests_that_are_late(healthy: App, clock: Any) -> None:
    clock.forward(hours=2)
    assert "of 1 of 1" in found(healthy, "subscribers", "fail").sentence


@pytest.mark.postgres
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


def test_a_kept_secret_that_others_may_read(app: App, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 40)
    secret.chmod(0o644)
    bare = configured(app, {"web": {"secret": ""}})
    assert str(secret) in found(bare, "secret", "warn").mend
