"""A sender dies at any instant: nothing is lost, and what may come twice is told."""

import multiprocessing
import os
import random
import signal
import socketserver
import threading
from collections import Counter

import psycopg
import pytest
from queued import crowd, put_digest, rows
from sqlalchemy import event

from digest.app import open_app
from digest.mail import outbox


class Wire(socketserver.ThreadingTCPServer):
    """Speaks SMTP line by line; at the step of the message it was told, something happens."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Talk)
        self.kept, self.step, self.nth, self.happen = [], "", 0, lambda: None
        self.seen = Counter()

    def at(self, step):
        """Whether this is the step; then it has happened."""
        self.seen[step] += 1
        if (step, self.seen[step]) != (self.step, self.nth):
            return False
        self.happen()
        return True


class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        server = self.server
        self.wfile.write(b"220 wire\r\n")
        recipient = ""
        while line := self.rfile.readline():
            verb = line[:4].upper().decode()
            if verb == "RCPT":
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            if server.at(verb):
                return
            if verb == "DATA":
                self.wfile.write(b"354 go on\r\n")
                content = self.rfile.readline()
                if server.at("half"):
                    return
                while (more := self.rfile.readline()) != b".\r\n":
                    content += more
                server.kept.append((recipient, content))
                if server.at("whole"):
                    return
            self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def wire(app, settings):
    with Wire() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        smtp = {"port": server.server_address[1], "connections": 1}
        server.settings = settings.model_copy(
            update={"smtp": settings.smtp.model_copy(update=smtp)}
        )
        yield server
        server.shutdown()


def test_a_message_cut_in_the_middle_goes_once_more_as_it_was(app, ada, wire, clock):
    put_digest(app, ada)
    wire.step, wire.nth = "half", 1
    with open_app(wire.settings, clock) as ours:
        assert outbox.send_due(ours) == outbox.Sent(deferred=1, in_doubt=1)
        assert wire.kept == []
        clock.forward(minutes=6)
        assert outbox.send_due(ours) == outbox.Sent(sent=1)
    assert [recipient for recipient, _ in wire.kept] == ["ada@reader.test"]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def watch(engine, look):
    """Shows each statement of new connections, with its values, to `look` before it is run."""

    class Watched(psycopg.Cursor):
        def execute(self, query, params=None, **options):
            values = {name: repr(value) for name, value in (params or {}).items()}
            look(str(query) % values if values else str(query))
            return super().execute(query, params, **options)

    @event.listens_for(engine, "connect")
    def connected(raw, record):
        if engine.dialect.name == "sqlite":
            raw.set_trace_callback(look)
        else:
            raw.cursor_factory = Watched


def send_and_die(settings, clock, step, nth):
    """Sends in a process of its own, which dies right before the nth `step` of its database: a
    mark is committed with its statement."""
    known = {"status='sending'": "begun", "status='sent'": "settled", "leased_by='": "leasing"}
    with open_app(settings, clock) as ours:
        seen = Counter()

        def look(statement):
            done = statement.partition(" WHERE ")[0]
            now = next((known[said] for said in known if said in done), "")
            if statement.startswith("SELECT") and seen["leasing"]:
                now = "leased"
            seen[now] += 1
            if (now, seen[now]) == (step, nth):
                die()

        ours.db.close()  # the connections that are open already are not watched
        watch(ours.db.engine, look)
        outbox.send_due(ours)


# (the step at whose nth time the process dies, messages in doubt then, arrived twice in the end)
DEATHS = [
    ("leased", 0, 0),  # after the claim
    ("MAIL", 0, 0),  # the mail is made
    ("RCPT", 0, 0),
    ("begun", 0, 0),  # right before the mark is committed
    ("DATA", 1, 0),  # the mark is there, nothing of the message
    ("half", 1, 0),
    ("whole", 1, 1),  # taken, not answered
    ("settled", 1, 1),  # answered, the answer not recorded
]


@pytest.mark.parametrize(("step", "doubt", "twice"), DEATHS, ids=[step for step, _, _ in DEATHS])
def test_a_death_at_any_instant_loses_nothing_and_is_told(app, wire, clock, step, doubt, twice):
    people = crowd(app, 6)
    put_digest(app, *people)
    wire.step = step
    nth = wire.nth = 1 if step == "leased" else random.Random(step).randint(2, 5)
    process = multiprocessing.get_context("fork").Process(
        target=send_and_die, args=(wire.settings, clock, step, nth)
    )
    wire.happen = lambda: os.kill(process.pid, signal.SIGKILL)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    arrived_before = len(wire.kept)
    assert arrived_before < len(people)
    assert sum(row.status == "sending" for row in rows(app)) == doubt

    wire.step = ""
    if app.db.file is None:  # beside a server, others may be at work: the lease must end
        clock.forward(minutes=31)
    with open_app(wire.settings, clock) as ours:
        sent = outbox.send_due(ours)
        assert outbox.send_due(ours) == outbox.Sent()
    assert sent.in_doubt == doubt
    assert sum(row.in_doubt for row in rows(app)) == doubt
    assert {row.status for row in rows(app)} == {"sent"}
    arrived = Counter(recipient for recipient, _ in wire.kept)
    assert set(arrived) == {person.email for person in people}
    assert sum(arrived.values()) - len(people) == twice
    assert len({content for _, content in wire.kept}) == len(people)  # twins are the same bytes
