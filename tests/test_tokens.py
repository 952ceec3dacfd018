"""Signed links: good for one purpose, one person, one time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.tokens import LIFETIME, ExpiredToken, InvalidToken, Tokens

NOW = datetime(2026, 11, 18, 9, tzinfo=UTC)
TOKENS = Tokens(["a" * 40])


def test_a_token_says_what_was_signed():
    token = TOKENS.read("vote", TOKENS.sign("vote", 17, 2, NOW, 99), NOW)
    assert (token.subscriber_id, token.epoch, token.subject) == (17, 2, 99)
    assert token.issued_at == NOW


def test_a_token_is_good_for_its_purpose_alone():
    token = TOKENS.sign("vote", 17, 0, NOW)
    for purpose in LIFETIME:
        if purpose != "vote":
            with pytest.raises(InvalidToken):
                TOKENS.read(purpose, token, NOW)


def test_every_changed_character_is_noticed():
    token = TOKENS.sign("unsubscribe", 17, 0, NOW)
    for at in range(len(token) - 1):  # base64's last character has spare bits
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(InvalidToken):
            TOKENS.read("unsubscribe", forged, NOW)


@given(st.text(max_size=80))
def test_rubbish_is_invalid_and_no_crash(text: str):
    with pytest.raises(InvalidToken):
        TOKENS.read("confirm", text, NOW)


@pytest.mark.parametrize(
    ("purpose", "days"), [("vote", 60), ("preferences", 30), ("unsubscribe", 365), ("confirm", 2)]
)
def test_it_holds_for_its_time(purpose, days):
    token = TOKENS.sign(purpose, 1, 0, NOW)
    assert TOKENS.read(purpose, token, NOW + timedelta(days=days)).subscriber_id == 1


@pytest.mark.parametrize(("purpose", "days"), [("vote", 61), ("preferences", 31), ("confirm", 3)])
def test_its_time_ends(purpose, days):
    token = TOKENS.sign(purpose, 1, 0, NOW)
    with pytest.raises(ExpiredToken):
        TOKENS.read(purpose, token, NOW + timedelta(days=days))


def test_links_outlive_one_rotation_of_the_secret():
    old = TOKENS.sign("unsubscribe", 5, 0, NOW)
    rotated = Tokens(["b" * 40, "a" * 40])
    assert rotated.read("unsubscribe", old, NOW).subscriber_id == 5
    fresh = rotated.sign("unsubscribe", 5, 0, NOW)
    assert Tokens(["b" * 40]).read("unsubscribe", fresh, NOW).subscriber_id == 5
    with pytest.raises(InvalidToken):
        Tokens(["b" * 40]).read("unsubscribe", old, NOW)


def test_an_address_is_known_again_after_a_rotation():
    kept = TOKENS.address_hashes("ada@reader.test")[0]
    rotated = Tokens(["b" * 40, "a" * 40]).address_hashes("ada@reader.test")
    assert kept in rotated[1:] and rotated[0] != kept
    assert "ada" not in kept
