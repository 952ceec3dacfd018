"""Where sources are asked besides their feeds, and what their other addresses tell. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

API_PAGE = 200  # records that one request to arXiv's API asks for; ids make long addresses
DOIS_AT_ONCE = 20
NOTES_PAGE = 1000  # the most that OpenReview gives at once
WORKS = 100  # the newest of a journal
_JOURNAL = re.compile(
    r"(?:api\.crossref\.org/journals/|portal\.issn\.org/resource/issn/)"
    r"(\d{4}-\d{3}[\dx])(?:/works)?/?",
    re.IGNORECASE,
)
_PORTS = {"http": "80", "https": "443"}
_OWN_GROUPS = {"cs", "math", "stat", "eess", "econ", "q-bio", "q-fin"}


@dataclass(frozen=True, slots=True)
class Routes:
    """The addresses of the sources' other services; a test puts its own server here."""

    arxiv_list: str = "https://arxiv.org/list"
    arxiv_api: str = "https://export.arxiv.org/api/query"
    arxiv_oai: str = "https://oaipmh.arxiv.org/oai"
    biorxiv: str = "https://api.biorxiv.org/details"
    huggingface: str = "https://huggingface.co/api/daily_papers"
    crossref: str = "https://api.crossref.org/works"

    def list_page(self, category: str) -> str:
        return f"{self.arxiv_list}/{category}/new"

    def by_ids(self, ids: Iterable[str]) -> str:
        query = {"id_list": ",".join(ids), "max_results": API_PAGE}
        return f"{self.arxiv_api}?{urlencode(query, safe=',/')}"

    def by_dois(self, dois: Iterable[str]) -> str:
        """Works by their DOIs, as many as there are."""
        query = {"filter": ",".join(f"doi:{doi}" for doi in dois), "rows": DOIS_AT_ONCE}
        return f"{self.crossref}?{urlencode(query, safe=',:/')}"

    def submitted(self, category: str, first: date, last: date, start: int) -> str:
        """Papers of a category by the day of their first version, in UTC, oldest first."""
        within = f"[{first:%Y%m%d}0000 TO {last:%Y%m%d}2359]"
        code = category if "." in category else f"{category}*"
        query = {
            "search_query": f"cat:{code} AND submittedDate:{within}",
            "start": start,
            "max_results": API_PAGE,
            "sortBy": "submittedDate",
            "sortOrder": "ascending",
        }
        return f"{self.arxiv_api}?{urlencode(query)}"

    def records(self, category: str, since: date) -> str:
        """All records of a category that changed since a day: `until` would hide what changed
        again later."""
        query = {
            "verb": "ListRecords",
            "metadataPrefix": "arXiv",
            "set": oai_set(category),
            "from": since.isoformat(),
        }
        return f"{self.arxiv_oai}?{urlencode(query, safe=':')}"

    def daily(self, day: date) -> str:
        return f"{self.huggingface}?date={day}&limit=100"

    def preprints(self, feed_url: str, first: date, last: date, cursor: int | str) -> str:
        """What bioRxiv or medRxiv posted on these days, of the subject that a feed is of."""
        subject = preprint_subject(feed_url)
        category = f"?category={quote(subject)}" if subject else ""
        return f"{self.biorxiv}/{preprint_server(feed_url)}/{first}/{last}/{cursor}/json{category}"


def oai_set(category: str) -> str:
    """`cs.AI` as cs:cs:AI, `hep-th` as physics:hep-th, `math` as math."""
    archive, dot, subject = category.partition(".")
    if not dot:
        return archive if archive in _OWN_GROUPS else f"physics:{archive}"
    group = archive if archive in _OWN_GROUPS else "physics"
    return f"{group}:{archive}:{subject}"


def arxiv_categories(url: str) -> tuple[str, ...]:
    """What an arXiv feed's address asks for: `…/rss/cs.LG+math` gives cs.LG and math; an address
    that names no categories gives one empty one, which stands for all that it shows."""
    folder, _, last = urlsplit(url).path.rstrip("/").rpartition("/")
    if not folder.endswith(("/rss", "/atom")):
        return ("",)
    return tuple(dict.fromkeys(filter(None, map(_code, last.split("+"))))) or ("",)


def _code(text: str) -> str:
    """A category in arXiv's own spelling, since addresses may be in any: `CS.lg` is cs.LG."""
    archive, dot, subject = text.lower().partition(".")
    return archive + dot + (subject.upper() if len(subject) == 2 else subject)


def preprint_server(url: str) -> str:
    return "medrxiv" if "medrxiv" in url.lower() else "biorxiv"


def preprint_subject(url: str) -> str:
    """The subject that a bioRxiv or medRxiv address asks for, as its API names it, or none."""
    query = parse_qs(urlsplit(url).query)
    named = (query.get("subject") or query.get("category") or [""])[0].lower()
    return "" if named == "all" else named.replace(" ", "_")


def source_address(url: str) -> str:
    """Where the papers of a page that people know are asked for: of a venue at OpenReview, of a
    journal by its ISSN at Crossref or the ISSN portal. Any other address as it is."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.hostname == "openreview.net" and parts.path == "/group" and query.get("id"):
        asked = urlencode({"content.venueid": query["id"][0], "limit": NOTES_PAGE})
        return f"https://api2.openreview.net/notes?{asked}"
    named = _JOURNAL.fullmatch(f"{parts.hostname}{parts.path}")
    if named and not parts.query:
        newest = urlencode({"sort": "created", "order": "desc", "rows": WORKS})
        return f"https://api.crossref.org/journals/{named[1].upper()}/works?{newest}"
    return url


def plain_address(url: str) -> str:
    """One form for what RFC 3986 (6.2.2.1, 6.2.3) says is one address: scheme and host in small
    letters, no port where it is the scheme's own, `/` for an empty path. `url` is a web address."""
    parts = urlsplit(url.strip())
    name, at, place = parts.netloc.rpartition("@")
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    if not colon:
        host = place
    elif port and port != _PORTS[parts.scheme]:
        host += f":{port}"
    place = f"{name}{at}{host.lower()}"
    return urlunsplit((parts.scheme, place, parts.path or "/", parts.query, parts.fragment))


def has_an_end(url: str) -> bool:
    """Whether an address asks for days, whose pages are to be read to the last; a search would
    lead back to the beginnings of its source."""
    parts = urlsplit(url)
    if "verb=ListRecords" in parts.query or "/details/" in parts.path:
        return True
    return parts.path.endswith("/notes") and "content.venueid=" in parts.query


def following(url: str, next_page: str) -> str:
    """The address of a listing's next page, by the form of the first's; empty where there is no
    way to ask on."""
    parts = urlsplit(url)
    if "verb=ListRecords" in parts.query:
        query = f"verb=ListRecords&resumptionToken={quote(next_page, safe='')}"
        return urlunsplit(parts._replace(query=query))
    if "/details/" in parts.path:
        folder, _, rest = parts.path.partition("/details/")
        names = [name for name in rest.split("/") if name]
        kept = names[: 3 if len(names) > 2 and "-" in names[1] else 2]
        path = "/".join([f"{folder}/details", *kept, next_page, "json"])
        return urlunsplit(parts._replace(path=path))
    if "search_query=" in parts.query:
        query = urlencode(parse_qs(parts.query) | {"start": [next_page]}, doseq=True)
        return urlunsplit(parts._replace(query=query))
    if parts.path.endswith("/notes"):
        asked = parse_qs(parts.query)
        start = (asked.get("offset") or ["0"])[0]
        if start.isdigit() and next_page.isdigit():
            offset = str(int(start) + int(next_page))
            query = urlencode(asked | {"offset": [offset]}, doseq=True)
            return urlunsplit(parts._replace(query=query))
    return ""
