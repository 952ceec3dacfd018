"""The service as a process: it starts once per database, and a signal ends it in good order."""

import asyncio
import os
import subprocess
import sys
import time

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from commands import FEED, ITEM, TITLES, digest  # noqa: F401 (a fixture)
from conftest import announce, free_port
from forked import digest_command
from sqlmodel import select

from digest.models import OutboxMessage, Subscriber


class SlowMailbox:
    """Takes its time over each message."""

    def __init__(self) -> None:
        self.taken = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(0.3)
        self.taken += 1
        return "250 2.0.0 kept"


@pytest.fixture
def slow():
    box, port = SlowMailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    box.port = port
    yield box
    controller.stop()


def settings_of(app, smtp_port: int) -> dict[str, str]:
    return {
        "DIGEST_DATABASE__URL": app.settings.database.url,
        "DIGEST_WEB__PORT": str(free_port()),
        "DIGEST_WEB__SECRET": "s" * 40,
        "DIGEST_SMTP__HOST": "127.0.0.1",
        "DIGEST_SMTP__PORT": str(smtp_port),
        "DIGEST_SMTP__CONNECTIONS": "2",
    }


def until(true, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def due_readers(app, count: int) -> None:
    now = app.now()
    with app.db.write() as session:
        session.add_all(
            Subscriber(
                email=f"reader{at}@reader.test",
                email_key=f"reader{at}@reader.test",
                status="active",
                topics=[["image generation", 1.0]],
                created_at=now,
                confirmed_at=now,
                next_digest_at=now,
            )
            for at in range(count)
        )


def test_a_signal_in_mid_delivery_leaves_nothing_in_doubt(app, slow, clock, tmp_path):
    clock.moment = clock.moment.now(tz=clock.moment.tzinfo)  # the process has its own clock
    announce(app, clock().date())
    due_readers(app, 30)
    app.db.close()
    log = tmp_path / "log"
    service = digest_command(["run"], settings_of(app, slow.port), log)
    try:
        assert until(lambda: slow.taken >= 4), log.read_text()
        service.terminate()
        service.join(timeout=60)
        assert service.exitcode == 0, log.read_text()
    finally:
        service.kill()
    with app.db.read() as session:
        messages = session.exec(select(OutboxMessage)).all()
    sent = sum(message.status == "sent" for message in messages)
    assert {message.status for message in messages} == {"sent", "queued"}
    assert sent == slow.taken
    assert "event=stopped" in log.read_text()


@pytest.mark.sqlite
def test_a_second_run_on_one_file_refuses_to_start(app, slow, tmp_path):
    app.db.close()
    settings, log = settings_of(app, slow.port), tmp_path / "log"
    first = digest_command(["run"], settings, log)
    try:
        assert until(lambda: log.exists() and "event=listening" in log.read_text())
        second = subprocess.run(
            [sys.executable, "-m", "digest", "run"],
            check=False,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert "another process runs" in second.stderr
    finally:
        first.terminate()
        first.join(timeout=60)
        first.kill()


@pytest.mark.postgres
def test_the_commands_work_on_a_servers_database(
    digest,  # noqa: F811
    database,
    mailbox,
    tmp_path,
    monkeypatch,
):
    monkeypatch.setenv("DIGEST_DATABASE__URL", database)
    monkeypatch.setenv("DIGEST_WEB__SECRET", "s" * 40)
    monkeypatch.setenv("DIGEST_ENGINE__KIND", "postgres")
    monkeypatch.setenv("DIGEST_SMTP__PORT", str(mailbox.port))
    items = "".join(ITEM.format(id=id_, title=title) for id_, title in TITLES.items())
    (tmp_path / "feed.xml").write_text(FEED.format(items=items))
    (paper, _) = (f"arxiv:{id_}" for id_ in list(TITLES)[:2])
    for command in (
        "ingest feed.xml",
        "subscribers add ada@reader.test --topic images",
        f"vote ada@reader.test {paper} up",
        "rank ada@reader.test --day 2025-11-18 --json",
        "preview ada@reader.test --day 2025-11-18",
        "deliver",
        "deliver --day 2025-11-18",
        "why ada@reader.test --day 2025-11-18",
        "stats",
        "subscribers show ada@reader.test",
        "subscribers export people.csv",
        "feeds list",
        "subscribers erase ada@reader.test --yes",
        "db upgrade",
    ):
        done = digest(*command.split())
        assert done.code == 0, (command, done.err)
