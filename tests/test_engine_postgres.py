"""Workers of many machines deliver a day: nothing is lost and nothing sent twice, whoever dies."""

import os
import subprocess
import sys

import pytest
from conftest import announce
from fleet import deliver
from sqlmodel import select

from digest import jobs
from digest.db import Db
from digest.engine import postgres
from digest.models import Digest, Subscriber

pytestmark = pytest.mark.postgres


STATUS = "SELECT status FROM procrastinate_jobs"


def never() -> bool:
    return False


def readers(app, count):
    with app.db.write() as session:
        session.add_all(
            Subscriber(
                email=f"reader{at}@reader.test",
                email_key=f"reader{at}@reader.test",
                status="active",
                topics=[["image generation", 1.0]],
                created_at=app.now(),
                confirmed_at=app.now(),
                next_digest_at=app.now(),
            )
            for at in range(count)
        )


def waiting(app):
    with app.db.write() as session:
        found = postgres.enter(session).execute("SELECT args FROM procrastinate_jobs ORDER BY id")
        return [(args["first"], args["end"]) for (args,) in found]


def test_each_shard_in_which_somebody_is_due_is_one_job(app, monkeypatch):
    monkeypatch.setattr(postgres, "SHARD", 4)
    postgres.install(app)
    announce(app, app.now().date())
    readers(app, 9)
    with app.db.write() as session:
        session.get(Subscriber, 9).next_digest_at = None
    for _ in range(2):
        postgres.share_out(app, never)
        assert waiting(app) == [(0, 4), (4, 8), (8, 12)]


def test_a_wake_up_for_readers_who_have_their_digest_does_nothing(app):
    announce(app, app.now().date())
    readers(app, 3)
    for _ in range(2):
        jobs.prepare(app, never, range(3))
    with app.db.read() as session:
        assert sorted(session.exec(select(Digest.subscriber_id)).all()) == [1, 2]


def test_the_jobs_of_a_worker_without_a_sign_of_life_are_put_in_once_more(app):
    postgres.install(app)
    announce(app, app.now().date())
    readers(app, 3)
    postgres.share_out(app, never)
    with app.db.write() as session:
        connection = postgres.enter(session)
        connection.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
        connection.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 1")
    postgres.share_out(app, never)
    with app.db.write() as session:
        connection = postgres.enter(session)
        assert connection.execute("SELECT status FROM procrastinate_jobs").fetchall() == [
            ("doing",)
        ]
        connection.execute(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - '1 min'::interval"
        )
    postgres.share_out(app, never)
    with app.db.write() as session:
        connection = postgres.enter(session)
        assert connection.execute(STATUS).fetchall() == [("todo",)]


def test_the_tables_of_another_procrastinate_are_made_anew(app):
    postgres.install(app)
    announce(app, app.now().date())
    readers(app, 3)
    postgres.share_out(app, never)
    postgres.install(app)
    assert waiting(app) == [(0, 500)]
    with app.db.write() as session:
        postgres.enter(session).execute("COMMENT ON SCHEMA digest_jobs IS 'procrastinate 2.0'")
    postgres.install(app)
    assert waiting(app) == []


def test_of_some_jobs_one_runs_at_a_time(app, database):
    other = Db(database)
    with app.db.turn("tidy") as ours, other.turn("tidy") as theirs, other.turn("watch") as free:
        assert (ours, theirs, free) == (True, False, True)
    for _ in range(20):  # free as soon as it is over
        with other.turn("tidy") as theirs:
            assert theirs
    other.close()


WITHOUT = """
import sys
sys.modules["procrastinate"] = None
sys.argv = ["digest", "worker"]
from digest.__main__ import main
main()
"""


def test_an_engine_that_is_not_installed_is_named_with_the_way_to_it(database, tmp_path):
    named = {"DIGEST_DATABASE__URL": database, "DIGEST_WEB__SECRET": "s" * 40}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        check=False,
        env=os.environ | named | {"DIGEST_ENGINE__KIND": "postgres"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'paper-digest[postgres]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("seed", "blows"),
    [(1, ["kill", "cut off", "kill scheduler"]), (2, ["kill", "hang", "kill"])],
    ids=["cut off", "hung"],
)
def test_nothing_is_lost_and_nothing_sent_twice(postgres_server, tmp_path, seed, blows, database):
    if postgres_server.folder is None and "cut off" in blows:
        pytest.skip("the named PostgreSQL is not ours to stop")
    outcome = deliver(postgres_server, tmp_path, seed, blows)
    assert outcome.wrong == (), (tmp_path / f"log-{seed}").read_text()[-4000:]
