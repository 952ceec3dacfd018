"""What sending a digest costs: `python benchmarks/mail.py [--readers 2000] [--crowd 20000]`.

Renders, signs and sends ten papers to each reader through a sink on loopback that takes all, with
one process and with two (a database each), the sink in a process of its own. CPU time is the
sender's, in RSA-2048 signs of the same run; each sender renders the day's papers first, which some
hundred readers pay for and a hundred thousand do not notice. The plain way, for comparison: Jinja2
and css-inline over each whole mail, the standard library's message, dkimpy, and a connection for
each. `--crowd` readers, of whom only some have mail waiting, show what memory owes to their number.
"""

# ruff: noqa: E402 (before them is said what they shall not load)

import argparse
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# What only the tools of development bring: structlog would load it, and take 1.5 MB with it.
sys.modules |= {"greenlet": None, "colorama": None}  # type: ignore[dict-item]

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from digest.app import App, open_app
from digest.db import insert_new
from digest.mail import outbox
from digest.models import Digest, Edition, EditionPaper, OutboxMessage, Paper, Pick, Subscriber
from digest.settings import Settings

PAPERS, PICKS = 200, 10
NOW = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)
SENTENCE = "We measure how far a lantern of kind {} lights a road in fog, and find it is enough. "


def sink(listening: socket.socket) -> None:
    """A server that takes every message and keeps none, at little cost of its own: it counts on a
    client that waits for each answer."""

    def talk(client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        room, end, within = bytearray(2**18), b"", False
        client.sendall(b"220 sink\r\n")
        while came := client.recv_into(room):
            verb = bytes(room[:4]).upper()
            if within:
                end = (end + room[max(0, came - 5) : came])[-5:]
                within = end != b"\r\n.\r\n"
                answer = b"" if within else b"250 ok\r\n"
            elif verb == b"DATA":
                end, within, answer = b"", True, b"354 go on\r\n"
            else:
                answer = b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n"
            client.sendall(answer)

    while True:
        threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()


def card(n: int) -> dict[str, object]:
    return {
        "key": f"arxiv:2611.{n:05}",
        "title": f"Lanterns of kind {n}: how far they light a road in heavy fog",
        "abstract": "".join(SENTENCE.format(n + i) for i in range(15)),
        "authors": ["Mira Koval", "Tomás Ferreira", "Ann Ode", "Li Wei"],
        "categories": ["cs.CV", "eess.IV"],
        "url": f"https://papers.test/abs/{n}",
        "pdf_url": f"https://papers.test/pdf/{n}",
        "journal": None,
    }


def shown(reader: int, position: int) -> int:
    """The paper at this position of the reader's digest."""
    return (reader + 7 * position) % PAPERS + 1


def digest(reader: int) -> dict[str, object]:
    papers = (shown(reader, position) for position in range(1, PICKS + 1))
    reasons = [f"Because of your topic “lanterns of kind {paper}”." for paper in papers]
    return {"id": reader, "subscriber_id": reader, "reasons": reasons}


def pick(reader: int, position: int) -> dict[str, object]:
    return {
        "digest_id": reader,
        "subscriber_id": reader,
        "position": position,
        "paper_id": shown(reader, position),
        "score": 1.0,
        "exploring": False,
        "sentence": position % 5,
    }


def people(app: App, count: int) -> int:
    """So many readers; gives the bytes that each takes on disk."""
    before = size(app)
    for first in range(1, count + 1, 1000):
        block = range(first, min(first + 1000, count + 1))
        emails = {n: f"reader{n}@crowd.test" for n in block}
        rows = [
            Subscriber(id=n, email=e, email_key=e, status="active", created_at=NOW).model_dump()
            for n, e in emails.items()
        ]
        with app.db.write() as session:
            insert_new(session, Subscriber, rows)
    return (size(app) - before) // count


def digests(app: App, count: int) -> int:
    """A day's papers, and for so many readers a digest of ten of them in the outbox; gives the
    bytes that each takes on disk."""
    numbers = range(1, PAPERS + 1)
    day = NOW.date()
    with app.db.write() as session:
        session.add(Edition(day=day, created_at=NOW))
        session.add_all(
            Paper(id=n, key=str(n), title="x", url="u", updated_at=NOW) for n in numbers
        )
        session.flush()
        session.add_all(EditionPaper(day=day, paper_id=n, card=card(n)) for n in numbers)
    before = size(app)
    made = {"day": day, "since": day, "candidates": PAPERS, "created_at": NOW}
    for first in range(1, count + 1, 1000):
        block = range(first, min(first + 1000, count + 1))
        with app.db.write() as session:
            insert_new(session, Digest, [made | digest(n) for n in block])
            picks = [pick(n, at) for n in block for at in range(1, PICKS + 1)]
            insert_new(session, Pick, picks)
            for n in block:
                outbox.enqueue(session, "digest", n, NOW, n)
    return (size(app) - before) // count


def size(app: App) -> int:
    """The bytes of the database, its log written back."""
    with app.db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return app.db.file.stat().st_size if app.db.file is not None else 0


def cpu(work: Callable[[], object], times: int = 1) -> float:
    """CPU milliseconds per time."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) * 1000 / times


def memory(of: str = "VmHWM") -> float:
    """The most that this process took, in MB; what `getrusage` says begins at its parent's.
    `RssFile` are the parts of programs and libraries in it, which all processes share."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{of}:")[2].split()[0]) / 1024


def sender(settings: Settings, ready: Any, results: Any, readers: int) -> None:
    """Sends all there is, in a process that has done nothing else."""
    with open_app(settings, lambda: NOW) as app:
        started = memory()
        ready.wait()
        clock = time.perf_counter()
        used = cpu(lambda: outbox.send_due(app)) / readers
        results.put((used, time.perf_counter() - clock, memory(), started, memory("RssFile")))


def send(settings: list[Settings], readers: int) -> tuple[list[tuple[float, ...]], float]:
    """One sender for each database; gives their figures, and digests a second of all together."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(len(settings)), context.Queue()
    senders = [
        context.Process(target=sender, args=(each, ready, results, readers)) for each in settings
    ]
    for process in senders:
        process.start()
    figures = [results.get() for _ in senders]
    for process in senders:
        process.join()
    return figures, readers * len(settings) / max(figure[1] for figure in figures)


def plainly(app: App, number: int, key: bytes) -> None:
    """One digest with no thought for speed: everything is done for this mail alone."""
    # The senders' memory is measured without them.
    import smtplib  # noqa: PLC0415
    from email.message import EmailMessage  # noqa: PLC0415
    from email.policy import SMTP  # noqa: PLC0415

    import css_inline  # noqa: PLC0415
    import dkim  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    from digest.mail import pieces, render, shared  # noqa: PLC0415
    from digest.mail.compose import load  # noqa: PLC0415
    from digest.mail.writer import Writer  # noqa: PLC0415

    writer = Writer(app)
    with app.db.read() as session:
        message = session.get_one(OutboxMessage, number)
        reader = session.get_one(Subscriber, message.subscriber_id)
        digest = session.get_one(Digest, message.digest_id)
        shown = load(session, reader, digest, app.settings, writer.links)
    html, text = [], []
    for position, item in enumerate(shown.items, start=1):
        values = shared.card_values(item.card, "full", None) | {"voting": True}
        own = {"number": str(position), "up": item.up_url, "down": item.down_url}
        own["why"] = item.reason
        fill = (values, "full", lambda name, own=own: own.get(name, ""))
        html.append(app.templates.get_template("email/pieces.html.j2").module.paper(*fill))
        plain = app.templates.get_template("email/pieces.txt.j2").module.paper
        text.append(plain(*fill, pieces.wrap, pieces.RULE))
    values = {
        "subject": shown.items[0].card.title,
        "preheader": shown.items[1].card.title,
        "service": shown.service,
        "sender": shown.service,
        "day": render.in_words(shown.day),
        "count": f"{PICKS} of {shown.candidates} new papers",
        "why": shown.why,
        "personal": True,
        "preferences_url": shown.preferences_url,
        "unsubscribe_url": shown.unsubscribe_url,
        "view_url": shown.view_url,
        "below": "",
    }
    page = app.templates.get_template("email/digest.html.j2")
    page = page.render(values | {"picks": Markup("\n".join(html))})
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = "digest@digest.test", reader.email
    mail["Subject"] = values["subject"]
    mail.set_content(pieces.text(app.templates, "digest", values | {"picks": "".join(text)}))
    mail.add_alternative(css_inline.CSSInliner(keep_at_rules=True).inline(page), subtype="html")
    raw = mail.as_bytes()
    raw = dkim.sign(raw, b"s1", b"digest.test", key) + raw
    with smtplib.SMTP(app.settings.smtp.host, app.settings.smtp.port) as server:
        server.sendmail("digest@digest.test", [reader.email], raw)


def configured(folder: Path, name: str, port: int) -> Settings:
    mail = {
        "sender": "Paper Digest <digest@digest.test>",
        "dkim_domain": "digest.test",
        "dkim_selector": "s1",
        "dkim_key_file": folder / "key.pem",
    }
    return Settings.model_validate(
        {
            "database": {"url": f"sqlite:///{folder}/{name}.db"},
            "web": {"secret": "s" * 40, "base_url": "https://digest.test"},
            "smtp": {"host": "127.0.0.1", "port": port},
            "mail": mail,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=2000)
    parser.add_argument("--crowd", type=int, default=20_000)
    parser.add_argument("--plain", type=int, default=10)
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
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "key.pem").write_bytes(pem)
        names = {"one": chosen.readers, "left": chosen.readers, "right": chosen.readers}
        names |= {"few": chosen.crowd // 5, "many": chosen.crowd}
        settings = {n: configured(folder, n, listening.getsockname()[1]) for n in names}
        for name, readers in names.items():
            with open_app(settings[name], lambda: NOW) as app:
                person = people(app, readers)
                disk = digests(app, min(readers, chosen.readers))
        with open_app(settings["one"], lambda: NOW) as app:
            numbers = iter(range(1, chosen.plain + 2))
            plainly(app, next(numbers), pem)
            plain = cpu(lambda: plainly(app, next(numbers), pem), chosen.plain)
        sign = cpu(lambda: key.sign(b"x" * 500, padding.PKCS1v15(), hashes.SHA256()), 500)
        [(used, _, peak, started, shared)], rate = send([settings["one"]], chosen.readers)
        _, both = send([settings["left"], settings["right"]], chosen.readers)
        [(_, _, few, *_)], _ = send([settings["few"]], chosen.readers)
        [(_, _, many, *_)], _ = send([settings["many"]], chosen.readers)
    server.kill()
    print(f"one RSA-2048 sign          {sign:8.3f} ms CPU")
    print(f"a digest                   {used:8.3f} ms CPU = {used / sign:.1f} signs")
    print(f"a digest, the plain way    {plain:8.3f} ms CPU = {plain / used:.1f} times as much")
    print(f"one process                {rate:8.0f} digests/s")
    print(f"two processes              {both:8.0f} digests/s, the sink on the same cores")
    print(f"memory at its highest      {peak:8.1f} MB, {shared:.1f} of them shared files")
    print(f"  before it sends          {started:8.1f} MB")
    print(f"  with {names['few']:6} readers      {few:8.0f} MB")
    print(f"  with {names['many']:6} readers      {many:8.0f} MB")
    print(f"disk for a reader          {person:8} bytes, without votes and model")
    print(f"disk for a digest          {disk:8} bytes, with its picks and outbox row")


if __name__ == "__main__":
    main()
