"""Addresses: what a feed's says, and which one asks for the same another way."""

from datetime import date

import pytest

from digest.feeds.routes import (
    Routes,
    arxiv_categories,
    following,
    has_an_end,
    oai_set,
    plain_address,
    preprint_server,
    preprint_subject,
)


@pytest.mark.parametrize(
    ("category", "name"),
    [
        ("cs.AI", "cs:cs:AI"),
        ("math.NA", "math:math:NA"),
        ("astro-ph.GA", "physics:astro-ph:GA"),
        ("physics.optics", "physics:physics:optics"),
        ("hep-th", "physics:hep-th"),
        ("q-bio", "q-bio"),
    ],
)
def test_oai_has_names_of_its_own_for_categories(category: str, name: str) -> None:
    assert oai_set(category) == name


@pytest.mark.parametrize(
    ("url", "categories"),
    [
        ("https://rss.arxiv.org/rss/cs.LG+stat.ML", ("cs.LG", "stat.ML")),
        (
            "https://rss.arxiv.org/atom/CS.lg+math+physics.OPTICS",
            ("cs.LG", "math", "physics.optics"),
        ),
        ("https://export.arxiv.org/api/query?search_query=cat:cs.LG", ("",)),
    ],
)
def test_a_feeds_address_names_its_categories(url: str, categories: tuple[str, ...]) -> None:
    assert arxiv_categories(url) == categories


def test_other_ways_to_the_same() -> None:
    routes, first, last = Routes(), date(2026, 11, 16), date(2026, 11, 18)
    assert routes.list_page("cs.AI") == "https://arxiv.org/list/cs.AI/new"
    assert routes.records("cs.AI", first) == (
        "https://oaipmh.arxiv.org/oai?verb=ListRecords&metadataPrefix=arXiv&set=cs:cs:AI"
        "&from=2026-11-16"
    )
    assert following(routes.records("cs.AI", first), "a b|1") == (
        "https://oaipmh.arxiv.org/oai?verb=ListRecords&resumptionToken=a%20b%7C1"
    )
    assert "id_list=2611.01234,math/9901001&" in routes.by_ids(["2611.01234", "math/9901001"])
    assert "202611160000+TO+202611182359" in routes.submitted("cs.AI", first, last, 0)
    feed = "https://connect.medrxiv.org/medrxiv_xml.php?subject=Plant_Biology"
    assert (preprint_server(feed), preprint_subject(feed)) == ("medrxiv", "plant_biology")
    assert routes.preprints(feed, first, last, 30) == (
        "https://api.biorxiv.org/details/medrxiv/2026-11-16/2026-11-18/30/json"
        "?category=plant_biology"
    )
    everything = "https://connect.biorxiv.org/biorxiv_xml.php?subject=all"
    assert "category" not in routes.preprints(everything, first, last, 0)
    assert routes.daily(last) == "https://huggingface.co/api/daily_papers?date=2026-11-18&limit=100"


def test_the_next_page_is_asked_for_as_the_first_was() -> None:
    api = "https://api.biorxiv.org/details/biorxiv"
    assert following(f"{api}/2d", "30") == f"{api}/2d/30/json"
    days = f"{api}/2026-11-16/2026-11-18"
    assert following(f"{days}/30/json?category=x", "60") == f"{days}/60/json?category=x"
    query = "https://export.arxiv.org/api/query?search_query=cat%3Acs.AI&start=0&max_results=9"
    assert "start=9&" in following(query, "9")
    assert has_an_end(days)
    assert has_an_end(Routes().records("cs.AI", date(2026, 11, 16)))
    assert not has_an_end(query)
    assert following("https://journal.example/rss", "2") == ""


@pytest.mark.parametrize(
    ("spelt", "plain"),
    [
        ("HTTPS://Rss.arXiv.ORG:443", "https://rss.arxiv.org/"),
        ("http://e.test:80?Q=A", "http://e.test/?Q=A"),
        ("https://e.test:80/A%2fb/", "https://e.test:80/A%2fb/"),
        ("https://Me:Word@E.test:/x", "https://Me:Word@e.test/x"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
        ("http://[::1]:8080", "http://[::1]:8080/"),
    ],
)
def test_one_address_has_one_form(spelt: str, plain: str) -> None:
    assert plain_address(spelt) == plain_address(plain) == plain
