"""Receivers trust what we send: two verifiers that know nothing of us accept each signature, and a
spam filter finds nothing to complain of."""

import random
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import dkim
import pytest
from conftest import MORNING
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from test_render import ENV, item, mail

from digest.mail import letters
from digest.mail.dkim import Signer
from digest.mail.message import build
from digest.mail.render import render_digest

MAILS = 1000
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RECORD = "v=DKIM1; k=rsa; p=" + "".join(
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
    .split("\n")[1:-2]
)
NAMES = [
    "Ada",
    "Zoë Ångström",
    "王秀英",
    "Łukasz Żółć",
    'Bo "B." O\'Hara',
    "محمد",
    "👩‍🔬 Kim",
    "",
    "x" * 300,
]
WORDS = [
    *("lantern", "fog", "Größe", "μ-calculus", "灯", "k=3", "naïve", "a" * 60, ".", "From", "=3D"),
    *("the", "of", "and", "in", "<b>", "&amp;", "100 %", "Schrödinger", "\t", "  ", "👍", "é" * 40),
]


def papers(chance, number, longest):
    length = 2000 if longest else chance.randint(3, 200)

    def text(words):
        return " ".join(chance.choices(WORDS, k=words))

    return [
        item(
            at + 1,
            title=text(60 if longest else chance.randint(1, 20)),
            abstract=text(length),
            authors=tuple(
                chance.choices([n or "Wu" for n in NAMES], k=3000 if longest and at == 0 else 4)
            ),
        )
        for at in range(number)
    ]


def signed(number):
    """A mail that differs from all others in all that may differ, the same in each run."""
    chance = random.Random(number)
    longest = number % 500 == 0
    shown = mail(*papers(chance, 50 if longest else chance.randint(1, 2), longest))
    name = chance.choice(NAMES)
    return build(
        render_digest(ENV, shown),
        kind="digest",
        sender=(chance.choice([n for n in NAMES if n]), "digest@digest.test"),
        to=(name, f"reader{number}@reader.test"),
        date=MORNING + timedelta(seconds=number),
        message_id=f"{number}.1790000000000.digest@digest.test",
        reply_to="help@digest.test",
        one_click="https://digest.test/one-click/" + "x" * chance.randint(40, 160),
        signer=Signer("digest.test", "s1", KEY),
    )


@pytest.fixture(scope="module")
def mails(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mails")
    for number in range(MAILS):
        (folder / f"{number:04}.eml").write_bytes(signed(number))
    return sorted(folder.iterdir())


def test_dkimpy_accepts_each_signature(mails):
    accepted = [
        dkim.verify(m.read_bytes(), dnsfunc=lambda *_, **__: RECORD.encode()) for m in mails
    ]
    assert (len(accepted), all(accepted)) == (MAILS, True)


def verdicts(files):
    if not Path("/usr/share/perl5/Mail/DKIM.pm").exists():
        pytest.skip("Mail::DKIM is not there: `apt-get install libmail-dkim-perl` as .ci/run does")
    script = Path(__file__).with_name("verify_dkim.pl")
    names = "".join(f"{file}\n" for file in files)
    done = subprocess.run(
        ["perl", script, RECORD], input=names, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_mail_dkim_accepts_each_signature(mails):
    assert verdicts(mails) == ["pass"] * MAILS


def test_both_refuse_what_was_changed(mails, tmp_path):
    """Else a verifier that says yes to all would do."""
    changed = tmp_path / "changed.eml"
    changed.write_bytes(mails[1].read_bytes().replace(b"Subject: ", b"Subject: Re: ", 1))
    assert not dkim.verify(changed.read_bytes(), dnsfunc=lambda *_, **__: RECORD.encode())
    [verdict] = verdicts([changed])
    assert verdict.startswith("fail")


def delivered(raw):
    """As the receiver's own server hands it to its filter."""
    return (
        b"Return-Path: <digest@digest.test>\r\n"
        b"Received: from mail.digest.test (mail.digest.test [93.184.215.14])\r\n"
        b" by mx.reader.test with ESMTPS id 1x2y3z for <ada@reader.test>;\r\n"
        b" Wed, 18 Nov 2026 09:00:05 +0000\r\n" + raw
    )


def digest_of(number):
    return build(
        render_digest(ENV, mail(*(item(at + 1) for at in range(number)))),
        kind="digest",
        sender=("Paper Digest", "digest@digest.test"),
        to=("Zoë Ångström", "ada@reader.test"),
        date=MORNING,
        message_id=f"1f.2c.{'0a' * 10}.1790000000000.digest@digest.test",
        one_click="https://digest.test/one-click/" + "x" * 90,
        signer=Signer("digest.test", "s1", KEY),
    )


def confirmation():
    letter = letters.render(
        ENV,
        "confirm",
        service="Paper Digest",
        postal_address="1 Library Lane, Bookham",
        confirm_url="https://digest.test/confirm/" + "x" * 80,
    )
    return build(
        letter,
        kind="confirm",
        sender=("Paper Digest", "digest@digest.test"),
        to=("", "ada@reader.test"),
        date=MORNING,
        message_id=f"1f.2c.{'0a' * 10}.1790000000000.confirm@digest.test",
        signer=Signer("digest.test", "s1", KEY),
    )


SPAM = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SHOWN = {
    "digest of 1": lambda: digest_of(1),
    "digest of 10": lambda: digest_of(10),
    "digest of 50": lambda: digest_of(50),
    "confirmation": confirmation,
    "spam": lambda: b"From: x@y.test\r\nSubject: x\r\n\r\n" + SPAM + b"\r\n",
}


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """What the filter gives each mail, and why: all in one run, for it takes long to begin."""
    program = shutil.which("spamassassin")
    if program is None:
        pytest.skip("spamassassin is not there: `apt-get install spamassassin` as .ci/run does")
    folder = tmp_path_factory.mktemp("shown")
    files = [folder / f"{number}.eml" for number in range(len(SHOWN))]
    for file, make in zip(files, SHOWN.values(), strict=True):
        file.write_bytes(delivered(make()))
    done = subprocess.run(
        [program, "--local", "--test-mode", *files], capture_output=True, check=True
    )
    told = done.stdout.decode("utf-8", "replace").split("Content analysis details:")[1:]
    return {
        name: (float(re.match(r"\s+\((-?[\d.]+) points", each)[1]), each[:1500])
        for name, each in zip(SHOWN, told, strict=False)  # of spam, the last, it tells twice
    }


@pytest.mark.parametrize("name", [name for name in SHOWN if name != "spam"])
def test_a_spam_filter_finds_nothing_in_it(points, name):
    given, why = points[name]
    assert given <= 0.5, why


def test_the_spam_filter_is_awake(points):
    assert points["spam"][0] > 100
