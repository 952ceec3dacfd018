"""What sending a digest costs: `python benchmarks/mail.py [--readers 500] [--plain 20]`.

Renders, signs and sends ten papers to each reader through a sink on loopback that takes all, and
gives the sender's CPU time per digest in RSA-2048 signs of the same run. `--plain` mails go the
plain way for comparison: styles put into each whole mail, the standard library's message, dkimpy,
and a connection for each.
"""

import argparse
import asyncio
import multiprocessing
import resource
import smtplib
import socket
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import css_inline
import dkim
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from digest.app import App, open_app
from digest.mail import outbox
from digest.mail.compose import load
from digest.mail.render import render_digest
from digest.mail.writer import Writer
from digest.models import Digest, Edition, EditionPaper, OutboxMessage, Paper, Pick, Subscriber
from digest.settings import Settings

PAPERS, PICKS = 200, 10
NOW = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
SENTENCE = "We measure how far a lantern of kind {} lights a road in fog, and find it is enough. "


def sink(listening: socket.socket) -> None:
    """A server that takes every message and keeps none."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(talk, sock=listening, limit=2**22)
        await server.serve_forever()

    asyncio.run(serve())


def fill(app: App, readers: int) -> None:
    """A day's papers, and for each reader a digest of ten of them in the outbox."""
    with app.db.write() as session:
        session.add(Edition(day=NOW.date(), created_at=NOW))
        for n in range(1, PAPERS + 1):
            card = {
                "key": f"arxiv:2611.{n:05}",
                "title": f"Lanterns of kind {n}: how far they light a road in heavy fog",
                "abstract": "".join(SENTENCE.format(n + i) for i in range(15)),
                "authors": ["Mira Koval", "Tomás Ferreira", "Ann Ode", "Li Wei"],
                "categories": ["cs.CV", "eess.IV"],
                "url": f"https://papers.test/abs/{n}",
                "pdf_url": f"https://papers.test/pdf/{n}",
                "journal": None,
            }
            session.add(Paper(id=n, key=card["key"], title="x", url="u", updated_at=NOW))
            session.flush()
            session.add(EditionPaper(day=NOW.date(), paper_id=n, card=card))
        for n in range(1, readers + 1):
            email = f"reader{n}@crowd.test"
            session.add(
                Subscriber(id=n, email=email, email_key=email, status="active", created_at=NOW)
            )
            session.flush()
            session.add(
                Digest(
                    id=n,
                    subscriber_id=n,
                    day=NOW.date(),
                    since=NOW.date(),
                    candidates=PAPERS,
                    created_at=NOW,
                )
            )
            session.flush()
            for position in range(1, PICKS + 1):
                session.add(
                    Pick(
                        digest_id=n,
                        subscriber_id=n,
                        position=position,
                        paper_id=(n + 7 * position) % PAPERS + 1,
                        score=1.0,
                        sentence=position % 5,
                        reason=f"Because of your topic “lanterns of kind {n}”.",
                    )
                )
            outbox.enqueue(session, "digest", n, NOW, n)


def cpu(work: Callable[[], object], times: int = 1) -> float:
    """CPU milliseconds per time."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) * 1000 / times


def plainly(app: App, number: int, key: bytes) -> None:
    """One digest with no thought for speed."""
    style = app.templates.get_template("email/style.css").render()
    with app.db.read() as session:
        message = session.get_one(OutboxMessage, number)
        reader = session.get_one(Subscriber, message.subscriber_id)
        writer = Writer(app)
        digest = session.get_one(Digest, message.digest_id)
        shown = load(session, reader, digest, app.settings, writer.links)
    made = render_digest(app.templates, shown)
    html = css_inline.CSSInliner().inline(made.html.replace("<style>", f"<style>{style}"))
    mail = EmailMessage(policy=SMTP.clone(max_line_length=998))
    mail["From"], mail["To"], mail["Subject"] = "digest@digest.test", reader.email, made.subject
    mail.set_content(made.text)
    mail.add_alternative(html, subtype="html")
    raw = mail.as_bytes()
    raw = dkim.sign(raw, b"s1", b"digest.test", key) + raw
    with smtplib.SMTP(app.settings.smtp.host, app.settings.smtp.port) as server:
        server.sendmail("digest@digest.test", [reader.email], raw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--plain", type=int, default=20)
    chosen = parser.parse_args()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.Process(target=sink, args=(listening,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key.pem"
        path.write_bytes(pem)
        values = {
            "database": {"url": f"sqlite:///{folder}/digest.db"},
            "web": {"secret": "s" * 40, "base_url": "https://digest.test"},
            "smtp": {"host": "127.0.0.1", "port": listening.getsockname()[1]},
            "mail": {
                "sender": "Paper Digest <digest@digest.test>",
                "dkim_domain": "digest.test",
                "dkim_selector": "s1",
                "dkim_key_file": path,
            },
        }
        with open_app(Settings.model_validate(values), lambda: NOW) as app:
            fill(app, chosen.readers)
            sign = cpu(lambda: key.sign(b"x" * 500, padding.PKCS1v15(), hashes.SHA256()), 500)
            numbers = iter(range(1, chosen.plain + 1))
            plain = cpu(lambda: plainly(app, next(numbers), pem), chosen.plain)
            clock = time.perf_counter()
            used = cpu(lambda: outbox.send_due(app)) / chosen.readers
            rate = chosen.readers / (time.perf_counter() - clock)
    server.kill()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"one RSA-2048 sign          {sign:8.3f} ms CPU")
    print(f"a digest                   {used:8.3f} ms CPU = {used / sign:.1f} signs")
    print(f"a digest, the plain way    {plain:8.3f} ms CPU = {plain / used:.1f} times as much")
    print(f"one process                {rate:8.0f} digests/s")
    print(f"memory at its highest      {peak:8.0f} MB")


if __name__ == "__main__":
    main()
