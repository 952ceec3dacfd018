"""A vote link names one pick and one way, under the signature of its digest."""

import pytest
from conftest import MORNING
from hypothesis import given
from hypothesis import strategies as st

from digest.mail.links import Bearer, Links, split_vote
from digest.tokens import InvalidToken, Tokens

TOKENS = Tokens(["s" * 40])
LINKS = Links("https://digest.test", TOKENS)
BEARER = Bearer(subscriber_id=3, epoch=1, since=MORNING, digest_id=9)


@pytest.mark.parametrize(("position", "vote"), [(1, "up"), (10, "down"), (50, "up")])
def test_a_vote_link_comes_back_as_it_was_made(position, vote):
    base, _, last = LINKS.votes(BEARER)(position, vote).rpartition("/")
    assert base == "https://digest.test/vote"
    token, *which = split_vote(last)
    assert which == [position, vote]
    read = TOKENS.read("vote", token, MORNING)
    assert (read.subscriber_id, read.epoch, read.subject) == (3, 1, 9)


@given(st.text(max_size=40) | st.from_regex(r"[a-z]{0,3}\.?[0-9]{0,5}[ud]?", fullmatch=True))
def test_what_is_no_vote_link_is_refused_or_harmless(text):
    try:
        token, position, vote = split_vote(text)
    except InvalidToken:
        return
    assert f"{token}.{position}{vote[0]}".count(".") >= 1
    assert 0 <= position <= 999


@pytest.mark.parametrize("text", ["", ".", "a.", "a.u", "a.1", "a.1x", ".1u", "a.-1u", "a.1234u"])
def test_half_a_link_is_refused(text):
    with pytest.raises(InvalidToken):
        split_vote(text)


@pytest.mark.parametrize(
    ("name", "path", "purpose", "subject"),
    [
        ("view", "digests", "view", 9),
        ("preferences", "preferences", "preferences", 0),
        ("unsubscribe", "unsubscribe", "unsubscribe", 0),
        ("one_click", "one-click", "one-click", 0),
        ("confirm", "confirm", "confirm", 0),
    ],
)
def test_each_page_has_a_link_good_for_it_alone(name, path, purpose, subject):
    link = getattr(LINKS, name)(BEARER)
    assert link.startswith(f"https://digest.test/{path}/")
    token = link.rpartition("/")[2]
    assert TOKENS.read(purpose, token, MORNING).subject == subject
    other = "vote" if purpose != "vote" else "view"
    with pytest.raises(InvalidToken):
        TOKENS.read(other, token, MORNING)
