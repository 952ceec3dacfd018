"""Title and first author tie two records, but never against their ids."""

import pytest

from digest.ties import mark, same_work

TITLE = "Lanterns in the fog: how far a walker sees"


def record(key="url:https://a.test/1", doi=None, authors=("Mira Koval",), abstract="Fog."):
    return {"key": key, "doi": doi, "authors": list(authors), "abstract": abstract}


def test_a_title_marks_a_work_however_it_is_spelt():
    assert mark(TITLE, ["Mira Koval"]) == mark(TITLE.upper(), ["M. Koval", "T. Ferreira"])
    assert mark(TITLE, ["Mira Koval"]) != mark(TITLE, ["Tomás Ferreira"])


@pytest.mark.parametrize(
    "title", ["Editorial", "Reply to Koval et al.", "Internationalisation" * 3]
)
def test_a_short_title_marks_nothing(title):
    assert mark(title, ["Mira Koval"]) is None


def test_a_preprint_and_its_journal_article_are_one_work():
    preprint = record("doi:10.1101/2026.11.18.700001")
    assert same_work(preprint, record("doi:10.1000/j.1"))
    assert same_work(record("arxiv:2611.01234"), preprint)
    assert same_work(record("arxiv:2611.01234"), record("doi:10.1000/j.1"))


def test_ids_that_differ_are_works_that_differ():
    assert not same_work(record("arxiv:2611.01234"), record("arxiv:2611.01235"))
    assert not same_work(record("doi:10.1000/j.1"), record("doi:10.1000/j.2"))
    assert not same_work(record("arxiv:2611.01234", doi="10.1000/j.1"), record("doi:10.1000/j.2"))


def test_the_other_authors_must_agree():
    ours = record("arxiv:2611.01234", authors=("Mira Koval", "Tomás Ferreira", "Ann Able"))
    assert same_work(ours, record(authors=("M. Koval", "T. Ferreira")))
    assert not same_work(ours, record(authors=("M. Koval", "B. Baker", "C. Cole", "D. Dole")))
    assert not same_work(ours, record(authors=()))


def test_one_site_repeats_titles_for_new_works():
    assert same_work(record(), record("url:https://a.test/2?token=x"))
    assert not same_work(record(), record("url:https://a.test/2", abstract="Mist."))
    assert not same_work(record(abstract=""), record("url:https://a.test/2", abstract=""))
    assert same_work(record(), record("url:https://b.test/2", abstract="Mist."))
