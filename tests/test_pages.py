"""What visitors browse and search, over real HTTP."""

import re
from datetime import timedelta
from html import unescape

import pytest
from conftest import announce
from sqlmodel import select
from web_door import (
    BASE,
    bearer,
    read,
)

from digest import feedback, merging
from digest.delivery import deliver
from digest.models import (
    Digest,
    Paper,
    Subscriber,
    Upvotes,
)

pytestmark = pytest.mark.sqlite  # about pages; those of `postgres` on both


@pytest.mark.postgres
def test_the_front_page_shows_what_is_trending(app, web, clock):
    first, second, *_ = announce(app, clock().date())
    assert "New today" in read(web.get("/"))
    with app.db.write() as session:
        for paper, count in ((first, 3), (second, 40)):
            session.add(Upvotes(paper_id=paper, source="hf", day=clock().date(), count=count))
    page = read(web.get("/"))
    assert "Trending now" in page
    assert page.index("40 upvotes") < page.index("3 upvotes")


def test_the_front_page_is_light_and_stands_alone(app, web, clock):
    announce(app, clock().date())
    page = web.get("/")
    (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)
    sheet = web.get(style)
    assert "immutable" in sheet.headers["cache-control"]
    assert len(page.content) + len(sheet.content) < 100_000
    assert not re.search(r'(src|href)="(https?:)?//(?!digest\.test)', page.text)


def test_days_have_neighbours(app, web, clock):
    for back in (0, 1, 5):
        announce(app, clock().date() - timedelta(days=back))
    page = web.get("/papers?day=2026-11-17").text
    assert 'rel="prev" href="/papers?day=2026-11-13"' in page
    assert 'rel="next" href="/papers?day=2026-11-18"' in page
    assert read(web.get("/papers")).startswith("Papers of Wednesday, 18 November 2026")


def test_a_category_narrows_the_day(app, web, clock):
    announce(app, clock().date())
    page = read(web.get("/papers?category=astro-ph.GA"))
    assert "Galaxy surveys" in page
    assert "denoising" not in page
    assert "Nothing in cs on this day" in read(web.get("/papers?category=cs"))


@pytest.mark.postgres
def test_search_finds_all_words_in_titles_abstracts_and_authors(app, web, clock):
    announce(app, clock().date())
    for query in ("hexagonal lattice", "LATTICE hexagonal", "hexagonal ångström", "lattice cases"):
        page = read(web.get("/papers", params={"q": query}))
        assert "on the hexagonal lattice" in page
        assert "denoising" not in page
    for query in ("hexagonal galaxies", "100%", "hex_gonal", "'; drop table paper; --", '"'):
        assert "Nothing found" in read(web.get("/papers", params={"q": query}))


@pytest.mark.postgres
def test_long_lists_come_in_pages(app, web, clock):
    announce(app, clock().date(), [f"Tides of moon number {n}" for n in range(90)])
    seen = []
    for number in (1, 2, 3):
        page = web.get("/papers", params={"q": "tides", "page": number}).text
        seen += re.findall(r"moon number (\d+)<", page)
    assert sorted(map(int, seen)) == list(range(90))
    assert web.get("/papers?q=tides&page=99999999999").status_code == 200


@pytest.mark.parametrize(
    "query, said",
    [
        ("day=yesterday", "2026-11-18"),
        ("day=2026-13-45", "2026-11-18"),
        ("page=two", "page: expected a number"),
        ("page=0", "page: expected a number"),
        ("sort=hot", "sort: expected newest or trending"),
        ("sort=best", "sort: expected newest or trending"),
        ("q=moon&sort=trending", "sort: expected newest or best"),
    ],
)
def test_what_cannot_be_asked_is_a_page_that_says_so(web, query, said):
    answer = web.get(f"/papers?{query}")
    assert (answer.status_code, said in read(answer)) == (400, True)


def test_a_listing_keeps_what_was_chosen(app, web, clock):
    announce(app, clock().date(), [f"Tides of moon number {n}" for n in range(50)])
    page = web.get("/papers?category=cs.CV&sort=trending")
    assert "50 papers" in read(page)
    assert "Page 1 of 2" in read(page)
    assert '<input type="hidden" name="category" value="cs.CV">' in page.text
    links = [unescape(link) for link in re.findall(r'href="(/papers[?][^"]+)"', page.text)]
    assert "/papers?day=2026-11-18&category=cs.CV&sort=trending&page=2" in links
    assert "/papers?day=2026-11-18&category=cs.CV" in links
    (canonical,) = re.findall(r'rel="canonical" href="([^"]+)"', page.text)
    assert unescape(canonical) == f"{BASE}/papers?day=2026-11-18&category=cs.CV"
    found = web.get("/papers?q=tides&category=cs.CV&sort=best")
    assert 'name="robots" content="noindex"' in found.text
    assert "/papers?q=tides&category=cs.CV" in unescape(found.text)


def test_an_id_that_is_searched_leads_to_its_paper(app, web, clock):
    announce(app, clock().date())
    for asked in ("2611.18001v2", "https://arxiv.org/abs/2611.18001"):
        answer = web.get("/papers", params={"q": asked})
        there = (answer.status_code, answer.headers.get("location"))
        assert there == (302, "/papers/arxiv:2611.18001")


@pytest.mark.postgres
def test_a_papers_page_shows_its_like_and_who_liked_it_in_round_numbers(app, web, clock):
    ids = announce(app, clock().date())
    with app.db.write() as session:
        session.add(Upvotes(paper_id=ids[0], source="hub", day=clock().date(), count=3))
        for n in range(6):
            reader = Subscriber(email=f"{n}@r.test", email_key=f"{n}@r.test", created_at=app.now())
            session.add(reader)
            session.flush()
            feedback.record(session, reader.id, ids[0], "up", source="mail", now=app.now())
            if n < 4:
                feedback.record(session, reader.id, ids[1], "up", source="mail", now=app.now())
    page = web.get("/papers/arxiv:2611.18001")
    assert "3 upvotes on Hugging Face, liked by 5 readers here or more" in read(page)
    assert "Papers like this one" in read(page)
    assert "Guided diffusion sampling" in read(page)
    assert '<meta name="description" content="We study diffusion models' in page.text
    assert "liked by" not in read(web.get("/papers/arxiv:2611.18002"))


@pytest.mark.postgres
def test_a_record_that_became_part_of_another_has_no_page(app, web, clock):
    first, second = announce(app, clock().date())[:2]
    with app.db.write() as session:
        merging.absorb(session, first, second, app.now())
    assert web.get(f"/papers/merged:{second}").status_code == 404
    assert web.get("/papers/arxiv:2611.18002").status_code == 200


def test_an_empty_day_and_an_empty_service_are_normal(web):
    assert "No papers have come in yet" in read(web.get("/"))
    assert "No papers have come in yet" in read(web.get("/papers"))
    assert "arXiv rests" in read(web.get("/papers?day=2026-11-15"))


@pytest.mark.parametrize(
    "key", ["arxiv:hep-th/9901001", "doi:10.1000/a(b)c;d", "url:https://x.test/a?b=c&d=é"]
)
def test_a_paper_of_any_id_has_a_page(app, web, clock, key):
    announce(app, clock().date(), ["Tides of the moon"])
    with app.db.write() as session:
        paper = session.exec(select(Paper)).one()
        paper.key = key
        session.add(paper)
    (link,) = re.findall(r'<h3><a href="([^"]+)"', web.get("/papers").text)
    page = web.get(unescape(link))
    assert page.status_code == 200
    assert f'<link rel="canonical" href="{BASE}{link}">' in page.text


def test_another_id_of_a_paper_leads_to_the_same_page(app, web, clock):
    announce(app, clock().date())
    page = web.get("/papers/2611.18001v2").text
    assert f'<link rel="canonical" href="{BASE}/papers/arxiv:2611.18001">' in page


@pytest.mark.parametrize("path", ["/papers/arxiv:2611.99999", "/papers/nonsense", "/nowhere/x"])
def test_what_is_not_there_is_a_page(web, path):
    answer = web.get(path)
    assert (answer.status_code, "There is no such page" in read(answer)) == (404, True)


def test_the_digest_in_the_browser_gives_none_of_its_readers_rights(app, web, ada, links, clock):
    announce(app, clock().date())
    deliver(app)
    with app.db.read() as session:
        kept = session.exec(select(Digest)).one()
    page = web.get(links.view(bearer(app, ada, kept.id)))
    assert "Guided diffusion sampling" in read(page)
    assert not re.search("/(vote|preferences|unsubscribe|one-click|digests)/", page.text)
    assert ada.email not in page.text
    assert ada.name not in page.text
