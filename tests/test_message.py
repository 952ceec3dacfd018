"""A message is well-formed whatever it is made of, and its signature holds."""

import re
from datetime import timedelta
from email import message_from_bytes, policy

import dkim
import pytest
from conftest import MORNING
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.errors import SettingsError
from digest.mail.dkim import Signer, load_key
from digest.mail.message import build, clean, mail_address, wire_address
from digest.mail.render import Rendered

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
MAIL = Rendered("Lanterns in the fog + 9 more papers", "<p>Fog</p>\n", "Fog\n")
ONE_CLICK = "https://digest.test/one-click/" + "x" * 90


def message(rendered=MAIL, **values):
    return build(
        rendered,
        **{
            "kind": "digest",
            "sender": ("Paper Digest", "digest@digest.test"),
            "to": ("Ada", "ada@reader.test"),
            "date": MORNING,
            "message_id": "7.1790000000000@digest.test",
            "one_click": ONE_CLICK,
        }
        | values,
    )


def parsed(raw):
    return message_from_bytes(raw, policy=policy.default)


def verified(raw):
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    record = b"v=DKIM1; k=rsa; p=" + b"".join(public.split(b"\n")[1:-2])
    return dkim.verify(raw, dnsfunc=lambda name, timeout=5: record)


def test_the_headers_that_receivers_ask_for():
    head = parsed(message(reply_to="help@digest.test"))
    assert head["From"] == "Paper Digest <digest@digest.test>"
    assert head["To"] == "Ada <ada@reader.test>"
    assert head["Reply-To"] == "help@digest.test"
    assert head["Subject"] == MAIL.subject
    assert head["Message-ID"] == "<7.1790000000000@digest.test>"
    assert head["Date"].datetime == MORNING
    assert head["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert head["List-Id"] == "<digest.digest.test>"
    assert head["Auto-Submitted"] == "auto-generated"
    assert head["Precedence"] == "bulk"
    assert re.fullmatch(r"digest:::\w{5,15}", head["Feedback-ID"])


def test_the_one_click_address_is_whole_on_its_line():
    assert f"List-Unsubscribe: <{ONE_CLICK}>\r\n".encode() in message()


def test_a_mail_to_nobody_subscribed_is_no_list_mail():
    head = parsed(message(kind="confirm", one_click=""))
    assert head["List-Unsubscribe"] is None
    assert head["List-Unsubscribe-Post"] is None
    assert head["Precedence"] is None


def test_both_parts_come_back_as_they_went_in():
    text = (
        "Größe: 10 µm, 灯 = light 👍\n"
        + "long " * 60
        + "\n"
        + "x" * 75
        + " \n.\nFrom here\ntrailing \n"
    )
    raw = message(Rendered("x", f"<p>{text}</p>\n", text))
    mail = parsed(raw)
    assert mail.get_content_type() == "multipart/alternative"
    for kind, expected in (("plain", text), ("html", f"<p>{text}</p>\n")):
        content = mail.get_body((kind,)).get_content()
        assert content.replace("\r\n", "\n") == expected.replace(" \n", "\n")
    assert not mail.defects
    assert max(map(len, raw.split(b"\r\n\r\n", 1)[1].split(b"\r\n"))) <= 76


def test_the_same_values_give_the_same_bytes():
    signer = Signer("digest.test", "s1", KEY)
    assert message(signer=signer) == message(signer=signer)


def test_names_and_subjects_beyond_ascii_are_encoded_words():
    title = "Schrödingers Katze im Überblick: 灯 und Schatten, noch einmal von vorne erzählt"
    raw = message(
        Rendered(title, "h\n", "t\n"),
        to=("Zoë Ångström-Łukasiewicz, die Ältere", "zoe@reader.test"),
    )
    mail = parsed(raw)
    assert mail["Subject"] == title
    assert mail["To"].addresses[0].display_name == "Zoë Ångström-Łukasiewicz, die Ältere"
    words = re.findall(rb"=\?[^?]+\?b\?[^?]+\?=", raw)
    assert len(words) == 3
    assert max(map(len, words)) <= 75


def test_a_name_with_quotes_stays_a_name():
    mail = parsed(message(to=('Ada "Countess", <ada@evil.test>', "ada@reader.test")))
    [address] = mail["To"].addresses
    assert address.addr_spec == "ada@reader.test"
    assert address.display_name == 'Ada "Countess", <ada@evil.test>'


hostile = st.text(
    st.characters() | st.sampled_from('\r\n\x00\t =?<>",;:\\\u2028\u202e'), max_size=300
)
attacks = st.sampled_from(
    [
        "x\r\nBcc: all@evil.test",
        "x\nBcc: all@evil.test\n\nbody",
        "=?utf-8?q?x=0D=0ABcc:_all@evil.test?=",
        "=?utf-8?q?x=0D=0ABcc:_e?=",
        "==??utf-8?q?x?=",
        "x\u2028Bcc: e",
        '"\r\n',
        "\\",
        "a" * 2000,
    ]
)


@settings(max_examples=150, deadline=None)
@given(hostile | attacks, hostile | attacks, hostile | attacks, st.booleans())
@pytest.mark.slow
def test_nothing_from_outside_becomes_a_header(title, name, service, signed):
    calm = parsed(message(reply_to="help@digest.test"))
    raw = message(
        Rendered(title, title, name),
        to=(name, "ada@reader.test"),
        sender=(service, "digest@digest.test"),
        reply_to="help@digest.test",
        signer=Signer("digest.test", "s1", KEY) if signed else None,
    )
    head, _, body = raw.partition(b"\r\n\r\n")
    names = [line.split(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] != b" "]
    assert [n for n in names if n != "DKIM-Signature"] == calm.keys()
    for part in (head, body):
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", part)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    mail = parsed(raw)
    assert [a.addr_spec for a in mail["To"].addresses] == ["ada@reader.test"]
    assert [a.addr_spec for a in mail["From"].addresses] == ["digest@digest.test"]
    assert not re.search(r"[\r\n\x00\u2028]", str(mail["Subject"]))
    if signed:
        assert verified(raw)


def test_the_signature_covers_the_headers_of_one_click():
    raw = message(signer=Signer("digest.test", "s1", KEY))
    assert verified(raw)
    signature = re.sub(r"\s", "", parsed(raw)["DKIM-Signature"])
    covered = re.search(r";h=([^;]+);", signature)[1].split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "list-id", "message-id"} <= set(covered)
    assert {"feedback-id", "auto-submitted", "to", "subject", "date"} <= set(covered)
    assert covered.count("from") == 2
    assert f"t={int(MORNING.timestamp())};" in signature


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: Lanterns", b"Subject: Lamps"),
        (b"<p>Fog</p>", b"<p>Dog</p>"),
        (b"List-Unsubscribe: <https://digest", b"List-Unsubscribe: <https://evil"),
        (b"MIME-Version", b"From: x@evil.test\r\nMIME-Version"),
    ],
)
def test_a_changed_message_does_not_verify(old, new):
    raw = message(signer=Signer("digest.test", "s1", KEY))
    assert old in raw
    assert not verified(raw.replace(old, new))


@settings(max_examples=25, deadline=None)
@given(st.text(st.sampled_from("a \t\n.=é"), max_size=120))
def test_signatures_hold_whatever_the_white_space(text):
    raw = message(Rendered("x", text, text), signer=Signer("digest.test", "s1", KEY))
    assert verified(raw)


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("ada@reader.test", "ada@reader.test"),
        ("ada+papers@mail.reader.test", "ada+papers@mail.reader.test"),
        ("digest@localhost", "digest@localhost"),
        ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
        ("jürgen@example.com", None),
        ("ada", None),
        ("ada@reader.test>\r\nRCPT TO:<x@evil.test", None),
        ("a b@reader.test", None),
        ('"a b"@reader.test', None),
        ("a" * 65 + "@reader.test", None),
        ("ada@" + "x" * 260, None),
        ("", None),
    ],
)
def test_addresses_as_they_travel(address, wire):
    assert wire_address(address) == wire


@pytest.mark.parametrize(
    ("address", "sent_to"),
    [
        ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
        ("jürgen@bücher.example.com", "jürgen@xn--bcher-kva.example.com"),
        ("ju\u0308rgen@example.com", "jürgen@example.com"),
        ("用户@example.com", "用户@example.com"),
        ("ä" * 33 + "@example.com", None),
        ("jürgen@example.com>\r\nBcc: x@evil.test", None),
        ("jür\u202egen@example.com", None),
        ('"jür gen"@example.com', None),
        ("jürgen", None),
    ],
)
def test_addresses_beyond_ascii_go_in_utf_8(address, sent_to):
    assert mail_address(address) == sent_to


def test_a_header_with_an_address_beyond_ascii_is_utf_8_and_signed():
    raw = message(to=("Jürgen", "jürgen@example.com"), signer=Signer("digest.test", "s1", KEY))
    assert "<jürgen@example.com>".encode() in raw
    assert verified(raw)
    assert parsed(raw)["Subject"] == MAIL.subject


def test_clean_text_is_one_harmless_line():
    assert clean("a\r\n b\x00c\u2028d\u202ee") == "a b c de"
    assert "=?" not in clean("==?? =?utf-8?q?x?=")
    assert clean("e\u0301") == "é"


def test_a_key_that_receivers_ignore_is_refused(tmp_path):
    def pem(key):
        path = tmp_path / "key.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path

    assert load_key(pem(KEY)).key_size == 2048
    for weak in (
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        ec.generate_private_key(ec.SECP256R1()),
    ):
        with pytest.raises(SettingsError, match="2048"):
            load_key(pem(weak))
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(SettingsError, match="PEM"):
        load_key(tmp_path / "key.pem")
    with pytest.raises(SettingsError, match="cannot read"):
        load_key(tmp_path / "none.pem")


def test_the_date_is_the_one_given_not_the_clock():
    later = MORNING + timedelta(days=3)
    assert parsed(message(date=later))["Date"].datetime == later
