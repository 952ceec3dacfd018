"""Through a real mail server into a mailbox and back: what is read there is what was sent."""

from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy

import dkim
import pytest
from aiosmtpd.controller import Controller
from conftest import _person
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from mta import Mta, dovecot, exim
from test_outbox import Moody, put_digest, rows

from digest import suppressions
from digest.mail import bounces, outbox
from digest.mail.bounces import Processed
from digest.settings import Settings

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def mta() -> Iterator[Mta]:
    with exim() as running:
        yield running


@pytest.fixture
def posted(app, mta, tmp_path):
    """The application, with this mail server for its own, a signing key and a return path."""
    (tmp_path / "key.pem").write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    values = app.settings.model_dump()
    values["smtp"] |= {"host": "127.0.0.1", "port": mta.port}
    values["mail"] |= {
        "bounce_address": "bounces@digest.test",
        "dkim_domain": "digest.test",
        "dkim_selector": "s1",
        "dkim_key_file": tmp_path / "key.pem",
    }
    return replace(app, settings=Settings.model_validate(values))


def verdict(raw):
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    record = b"v=DKIM1; k=rsa; p=" + b"".join(public.split(b"\n")[1:-2])
    asked = []

    def answer(name, timeout=5):
        asked.append(name)
        return record

    return dkim.verify(raw, dnsfunc=answer), asked


def test_a_digest_arrives_as_it_was_made(posted, mta):
    app = posted
    put_digest(app, _person(app, "ada@reader.test", name="Zoë Ångström", status="active"))
    assert outbox.send_due(app) == outbox.Sent(sent=1)
    [raw] = mta.wait_for(mta.readers, 1)
    mail = message_from_bytes(raw, policy=policy.default)
    [row] = rows(app)
    assert row.status == "sent"
    assert row.response.startswith("250 OK id=")
    mark = app.tokens.mark(row.subscriber_id, row.id)
    assert mail["Return-path"] == f"<bounces+{mark}@digest.test>"
    assert mail["Envelope-to"] == "ada@reader.test"
    assert mail["From"] == "Paper Digest <digest@digest.test>"
    assert mail["To"].addresses[0].display_name == "Zoë Ångström"
    assert mail["Message-ID"].startswith(f"<{mark}.")
    assert mail["Date"].datetime == app.now()
    assert mail["List-Unsubscribe"].startswith("<http://digest.test/one-click/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Id"] == "<digest.digest.test>"
    assert mail["Feedback-ID"].startswith("digest:::")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert not mail.defects
    assert mail.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        assert "Lanterns in the fog" in mail.get_body((kind,)).get_content()
    assert verdict(raw) == (True, [b"s1._domainkey.digest.test."])
    assert not verdict(raw.replace(b"Lanterns", b"Lampions"))[0]


def test_an_address_beyond_ascii_arrives(posted, mta):
    app = posted
    before = len(list((mta.readers / "new").glob("*")))
    put_digest(app, _person(app, "jürgen@reader.test", name="Jürgen", status="active"))
    assert outbox.send_due(app) == outbox.Sent(sent=1)
    raws = mta.wait_for(mta.readers, before + 1)
    [raw] = [raw for raw in raws if "jürgen@reader.test".encode() in raw]
    assert verdict(raw)[0]


@pytest.fixture
def next_hop(mta):
    """The server behind ours, which says at the door what it is told to."""
    running = []

    def start(*answers):
        controller = Controller(Moody(*answers), hostname="127.0.0.1", port=mta.next_port)
        controller.start()
        running.append(controller)

    yield start
    for controller in running:
        controller.stop()


def test_what_another_server_refuses_comes_back_and_suppresses(posted, mta, next_hop):
    app = posted
    next_hop("550 5.1.1 no such user here")
    ada = _person(app, "ada@next.test", status="active")
    put_digest(app, ada)
    assert outbox.send_due(app) == outbox.Sent(sent=1)
    mta.wait_for(mta.ourselves, 1)
    with dovecot(mta.folder) as port:
        imap = {
            "imap_host": "127.0.0.1",
            "imap_port": port,
            "imap_security": "none",
            "imap_username": "digest",
            "imap_password": "open-sesame",
        }
        values = app.settings.model_dump() | {"bounces": imap}
        over_imap = replace(app, settings=Settings.model_validate(values))
        assert bounces.process(over_imap, dry_run=True) == Processed(seen=1, suppressed=1)
        assert bounces.process(over_imap) == Processed(seen=1, suppressed=1)
        assert bounces.process(over_imap) == Processed()
    assert bounces.process(app, mta.ourselves) == Processed(seen=1, known=1)
    with app.db.read() as session:
        [row] = suppressions.listing(session)
    assert (row.email, row.reason) == ("ada@next.test", "bounce")
    assert "5.1.1" in row.detail
