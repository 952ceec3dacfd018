"""A connection to the mail server: TLS as configured or not at all, and what each answer means."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from conftest import Mailbox, free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from digest.errors import MailError, SettingsError
from digest.mail.smtp import Connection, Unreachable
from digest.settings import Smtp

MAIL = b"Subject: x\r\n\r\nFog.\r\n"


def certificate(subject, issuer, key, signing_key, *, authority):
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        names = [x509.IPAddress(ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(signing_key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A private authority's certificate file, and a TLS context of a server that it vouches for."""
    folder = tmp_path_factory.mktemp("house")
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(certificate("House", "House", root, root, authority=True))
    secret = leaf.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    served = certificate("mail", "House", leaf, root, authority=False)
    (folder / "mail.pem").write_bytes(served + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "mail.pem")
    return folder / "ca.pem", context


class TlsController(Controller):
    """Its own look whether the server is up needs no certificate."""

    def _trigger_server(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        served, self.ssl_context = self.ssl_context, context
        super()._trigger_server()
        self.ssl_context = served


@pytest.fixture
def serve():
    running = []

    def start(handler, kind=Controller, **options):
        controller = kind(handler, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return Smtp(host="127.0.0.1", port=controller.port, timeout=5)

    yield start
    for controller in running:
        controller.stop()


def send(smtp, *recipients, marks=None):
    """Sends a small mail to each over one connection; gives the outcomes."""

    async def go():
        connection = Connection(smtp)
        try:
            return [
                await connection.send(
                    "digest@digest.test",
                    recipient,
                    MAIL,
                    lambda r=recipient: marks is None or not marks.append(r),
                )
                for recipient in recipients
            ]
        finally:
            await connection.close()

    return asyncio.run(go())


def configured(smtp, **values):
    return Smtp.model_validate(smtp.model_dump() | values)


class Counting(Mailbox):
    """Counts its connections, and takes at most `per_connection` messages over one."""

    def __init__(self, per_connection=1000, enough="421 4.7.0 enough over this connection"):
        super().__init__()
        self.per_connection, self.enough = per_connection, enough
        self.connections = 0

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.connections += 1
        session.host_name, session.taken = hostname, 0
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        if session.taken >= self.per_connection:
            return self.enough
        session.taken += 1
        envelope.mail_from = address
        return "250 OK"


def test_one_connection_carries_many_messages(serve):
    box = Counting()
    outcomes = send(serve(box), *(f"r{n}@reader.test" for n in range(5)))
    assert [o.kind for o in outcomes] == ["accepted"] * 5
    assert outcomes[0].reply == "250 2.0.0 kept"
    assert (box.connections, len(box.envelopes)) == (1, 5)
    assert bytes(box.envelopes[0].original_content) == MAIL


@pytest.mark.parametrize("enough", ["421 4.7.0 enough", "450 4.7.0 three are enough"])
def test_a_server_that_takes_three_per_connection_gets_them_in_threes(serve, enough):
    box = Counting(per_connection=3, enough=enough)
    outcomes = send(serve(box), *(f"r{n}@reader.test" for n in range(7)))
    assert [o.kind for o in outcomes] == ["accepted"] * 7
    assert (box.connections, len(box.envelopes)) == (3, 7)


def test_a_server_that_takes_nothing_now_is_not_pressed(serve):
    box = Counting(per_connection=0)
    assert [o.kind for o in send(serve(box), "a@reader.test")] == ["lost"]
    assert box.connections == 1


class Answering(Mailbox):
    """Answers to MAIL, RCPT and the message's end as told, by recipient."""

    def __init__(self, **answers):
        super().__init__()
        self.answers = answers

    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from = address
        return self.answers.get("mail", "250 OK")

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.answers.get(address.partition("@")[0], "250 OK")
        if answer == "drop":
            server.transport.abort()
        elif answer == "hang":
            await asyncio.sleep(30)
        elif answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer if answer[:1].isdigit() else "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = self.answers.get("data", "250 2.0.0 kept")
        if answer == "drop":
            server.transport.abort()
        elif answer == "hang":
            await asyncio.sleep(30)
        self.envelopes.append(envelope)
        return answer if answer[:1].isdigit() else "250 OK"


def test_a_refused_recipient_leaves_the_connection_good_for_the_next(serve):
    box = Answering(old="550 5.1.1 nobody", full="452 4.2.2 full")
    marks = []
    outcomes = send(serve(box), "old@r.test", "a@r.test", "full@r.test", "b@r.test", marks=marks)
    assert [o.kind for o in outcomes] == ["permanent", "accepted", "temporary", "accepted"]
    assert outcomes[0].reply == "550 5.1.1 nobody"
    assert outcomes[2].reply == "452 4.2.2 full"
    assert marks == ["a@r.test", "b@r.test"]
    assert [e.rcpt_tos for e in box.envelopes] == [["a@r.test"], ["b@r.test"]]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("552 5.3.4 too big", "permanent"),
        ("452 4.3.1 disk full", "temporary"),
        ("421 4.3.2 going down", "temporary"),
        ("drop", "unanswered"),
        ("hang", "unanswered"),
    ],
)
@pytest.mark.slow
def test_what_the_end_of_a_message_may_bring(serve, answer, kind):
    smtp = configured(serve(Answering(data=answer)), timeout=0.1)
    marks = []
    [outcome] = send(smtp, "a@r.test", marks=marks)
    assert outcome.kind == kind
    assert marks == ["a@r.test"]


@pytest.mark.parametrize("how", ["drop", "hang"])
def test_a_connection_that_breaks_before_the_message_hands_nothing_over(serve, how):
    smtp = configured(serve(Answering(a=how)), timeout=0.2)
    marks = []
    first, second = send(smtp, "a@r.test", "b@r.test", marks=marks)
    assert (first.kind, second.kind) == ("lost", "accepted")
    assert marks == ["b@r.test"]


def test_a_silence_after_a_connection_was_replaced_is_noticed_too(serve):
    smtp = configured(serve(Answering(a="drop", b="hang")), timeout=0.3)
    outcomes = send(smtp, "a@r.test", "b@r.test", "c@r.test")
    assert [outcome.kind for outcome in outcomes] == ["lost", "lost", "accepted"]
    assert "no answer in time" in outcomes[1].reply


def test_a_busy_sender_answer_is_for_now_and_a_refused_one_stops_all(serve):
    assert send(serve(Answering(mail="451 4.7.1 slow down")), "a@r.test")[0].kind == "temporary"
    with pytest.raises(MailError, match=r"mail\.sender.*") as refused:
        send(serve(Answering(mail="553 5.7.1 not yours")), "a@r.test")
    assert not isinstance(refused.value, Unreachable)
    with pytest.raises(MailError, match=r"530 5\.7\.0 login first"):
        send(serve(Answering(a="530 5.7.0 login first")), "a@r.test")


def test_lines_that_begin_with_a_dot_arrive_as_they_are(serve):
    box = Mailbox()
    mail = b".Subject: x\r\n\r\n.\r\n..two\r\n.\r\n"

    async def go():
        connection = Connection(serve(box))
        outcome = await connection.send("d@d.test", "a@r.test", mail, lambda: True)
        await connection.close()
        return outcome

    assert asyncio.run(go()).kind == "accepted"
    assert bytes(box.envelopes[0].original_content) == mail


def test_a_message_that_is_held_back_leaves_nothing_and_the_next_one_goes(serve):
    box = Mailbox()

    async def go():
        connection = Connection(serve(box))
        answers = iter([False, True])
        for _ in range(2):
            yield await connection.send("d@d.test", "a@r.test", MAIL, lambda: next(answers))
        await connection.close()

    async def kinds():
        return [outcome.kind async for outcome in go()]

    assert asyncio.run(kinds()) == ["withheld", "accepted"]
    assert len(box.envelopes) == 1


def test_nobody_at_the_door_is_something_that_passes(serve):
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        send(Smtp(host="127.0.0.1", port=free_port(), timeout=1), "a@r.test")


def login(box, serve, **options):
    def check(server, session, envelope, mechanism, data):
        good = (data.login, data.password) == (b"digest", b"right")
        return AuthResult(success=good, handled=good)

    return serve(box, authenticator=check, auth_required=True, auth_require_tls=False, **options)


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_login(serve):
    box = Mailbox()
    smtp = configured(login(box, serve), username="digest", password=SecretStr("right"))
    assert send(smtp, "a@r.test")[0].kind == "accepted"


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_wrong_password_stops_all_and_is_told_without_it(serve):
    smtp = configured(login(Mailbox(), serve), username="digest", password=SecretStr("wr0ng"))
    with pytest.raises(MailError, match=r"smtp\.password") as refused:
        send(smtp, "a@r.test")
    assert not isinstance(refused.value, Unreachable)
    assert "wr0ng" not in str(refused.value)


def test_a_server_without_login_gets_no_password_and_no_mail(serve):
    box = Mailbox()
    smtp = configured(serve(box), username="digest", password=SecretStr("right"))
    with pytest.raises(MailError, match="AUTH"):
        send(smtp, "a@r.test")
    assert box.envelopes == []


def test_starttls_with_a_private_authority(serve, house):
    authority, context = house
    box = Mailbox()
    smtp = configured(
        serve(box, tls_context=context, require_starttls=True),
        security="starttls",
        ca_file=authority,
    )
    assert send(smtp, "a@r.test", "b@r.test")[1].kind == "accepted"


def test_implicit_tls_with_a_private_authority(serve, house):
    authority, context = house
    box = Mailbox()
    smtp = configured(
        serve(box, TlsController, ssl_context=context), security="tls", ca_file=authority
    )
    assert send(smtp, "a@r.test")[0].kind == "accepted"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(serve, house, security):
    _, context = house
    box = Mailbox()
    if security == "tls":
        smtp = serve(box, TlsController, ssl_context=context)
    else:
        smtp = serve(box, tls_context=context)
    with pytest.raises(MailError, match=r"cannot be trusted.*smtp\.ca_file") as refused:
        send(configured(smtp, security=security), "a@r.test")
    assert not isinstance(refused.value, Unreachable)
    assert box.envelopes == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_for_another_name_is_refused(serve, house, security):
    authority, context = house
    if security == "tls":
        smtp = serve(Mailbox(), TlsController, ssl_context=context)
    else:
        smtp = serve(Mailbox(), tls_context=context)
    wrong = configured(smtp, security=security, ca_file=authority, host="localhost")
    with pytest.raises(MailError, match="cannot be trusted"):
        send(wrong, "a@r.test")


def test_no_tls_where_tls_is_asked_for_means_no_mail(serve):
    box = Mailbox()
    smtp = serve(box)
    with pytest.raises(MailError, match=r"smtp\.security"):
        send(configured(smtp, security="starttls"), "a@r.test")
    with pytest.raises(MailError, match=r"smtp\.security"):
        send(configured(smtp, security="tls"), "a@r.test")
    assert box.envelopes == []


def test_a_ca_file_that_is_none_is_named(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    for path in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError, match=r"smtp\.ca_file"):
            Connection(Smtp(security="tls", ca_file=path))
