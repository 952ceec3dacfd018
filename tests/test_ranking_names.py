"""Spellings of one person's name."""

import pytest

from digest.ranking.names import person, same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada Lovelace", "A. Lovelace"),
        ("Ada Lovelace", "Ada B. Lovelace"),
        ("A. B. Lovelace", "Ada Byron Lovelace"),
        ("José Núñez", "Jose Nunez"),
        ("Søren Ørsted", "Soren Orsted"),
        ("Jean-Pierre Maille", "J.-P. Maille"),
        ("Jean-Pierre Maille", "Jean Pierre Maille"),
        ("Sam Hill", "Sam Hill Jr."),
        ("ADA LOVELACE", "ada lovelace"),
        ("DeepTeam", "DeepTeam"),
    ],
)
def test_one_person(one: str, other: str) -> None:
    assert same(person(one), person(other))
    assert same(person(other), person(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada Lovelace", "B. Lovelace"),
        ("Ada Lovelace", "Adam Lovelace"),
        ("Ada B. Lovelace", "Ada C. Lovelace"),
        ("Ada Lovelace", "Lovelace"),
        ("Ada Lovelace", "Ada Loveless"),
        ("", ""),
        ("李", "王"),
    ],
)
def test_two_people(one: str, other: str) -> None:
    assert not same(person(one), person(other))
    assert not same(person(other), person(one))
