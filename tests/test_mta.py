"""Through a real mail server into a mailbox and back: what is read there is what was sent."""

import mailbox as mailboxes
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import dkim
import pytest
from aiosmtpd.controller import Controller
from conftest import _person
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from mta import USER, Mta, dovecot, exim
from queued import Moody, put_digest, rows
from returned import mark_of, notice, sent, with_bounces
from test_smtp import certificate

from digest import suppressions
from digest.errors import MailError
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
    for earlier in mta.ourselves.glob("*/*"):  # of the same test on another database
        earlier.unlink()
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


# The mailbox of bounces over TLS


@pytest.fixture
def safe(app, ada):
    """The settings of an IMAP server within TLS, which a private authority vouches for, with one
    bounce in its mailbox."""
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    secret = leaf.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        served = certificate("mail", "House", leaf, root, authority=False)
        (folder / "mail.pem").write_bytes(served + secret)
        (folder / "ca.pem").write_bytes(certificate("House", "House", root, root, authority=True))
        mailboxes.Maildir(folder / "ourselves").add(notice(mark_of(app, sent(app, ada))))
        with dovecot(folder, folder / "mail.pem") as port:
            for path in [folder / "ourselves", *(folder / "ourselves").rglob("*")]:
                shutil.chown(path, USER, USER)
            yield {
                "imap_host": "127.0.0.1",
                "imap_port": port,
                "imap_security": "tls",
                "imap_ca_file": folder / "ca.pem",
                "imap_username": "digest",
                "imap_password": "open-sesame",
            }


@pytest.mark.sqlite
def test_bounces_come_over_tls_from_a_server_that_can_be_trusted(app, safe):
    assert bounces.process(with_bounces(app, **safe)) == Processed(seen=1, suppressed=1)
    assert bounces.process(with_bounces(app, **safe)) == Processed()


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"imap_ca_file": None}, "certificate verify failed"),
        ({"imap_host": "localhost"}, "not valid for 'localhost'"),
        ({"imap_password": "sesame"}, "Authentication failed"),
        ({"imap_security": "none", "imap_timeout": 0.5}, "cannot be read"),
    ],
    ids=["an authority nobody knows", "another host's", "a wrong password", "no TLS"],
)
def test_what_is_wrong_with_the_imap_server_is_said_and_no_mail_is_read(app, safe, changed, said):
    with pytest.raises(MailError, match=said):
        bounces.process(with_bounces(app, **(safe | changed)))
    assert bounces.process(with_bounces(app, **safe), dry_run=True).seen == 1
