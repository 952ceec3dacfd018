"""arXiv in small, on loopback: feeds, list pages, OAI-PMH and the API, all of one script of papers,
with the faults that a test plays into them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from feed_server import Answer

from digest.feeds.calendar import listing_day
from digest.feeds.routes import Routes, arxiv_categories, oai_set

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Scripted:
    """A paper as the script has it: announced on `day`, as each version in `kinds` by day."""

    id: str
    categories: tuple[str, ...]
    day: date
    replaced: date | None = None

    @property
    def key(self) -> str:
        return f"arxiv:{self.id}"

    @property
    def title(self) -> str:
        return f"On the case of {self.id}"

    def version(self, day: date) -> int:
        return 2 if self.replaced and day >= self.replaced else 1

    def kind(self, categories: tuple[str, ...], day: date) -> str | None:
        """As what a feed of these categories shows the paper on a day, if it does."""
        if not set(categories) & set(self.categories):
            return None
        primary = self.categories[0] in categories
        if day == self.day:
            return "new" if primary else "cross"
        if day == self.replaced:
            return "replace" if primary else "replace-cross"
        return None


@dataclass
class Arxiv:
    """Answers as `papers` and the clock say. `shown` may bend what a feed shows: it takes the
    path, the moment and the day, and gives the day whose items to show, or an answer of its own.
    `late` hides papers from the feed until a moment."""

    papers: list[Scripted]
    now: Callable[[], datetime]
    url: str = ""
    shown: Callable[[str, datetime, date], date | Answer] = lambda _path, _now, day: day
    late: dict[str, datetime] = field(default_factory=dict)
    guid: Callable[[Scripted, datetime], str] = lambda paper, _now: f"oai:arXiv.org:{paper.id}"
    broken: set[str] = field(default_factory=set)  # of list, oai, api
    page: int = 3  # records on a page of OAI

    @property
    def routes(self) -> Routes:
        return Routes(
            f"{self.url}/list",
            f"{self.url}/api/query",
            f"{self.url}/oai",
            f"{self.url}/details",
            f"{self.url}/daily",
            f"{self.url}/works",
        )

    def answer(self, path: str) -> Answer:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        service = parts.path.split("/")[1]
        if service in self.broken:
            return Answer(503)
        if service == "list":
            return Answer(body=self._list(parts.path.split("/")[2]))
        if service == "oai":
            return Answer(body=self._oai(query))
        if service == "api":
            return Answer(body=self._api(query))
        return self._feed(parts.path)

    def _today(self) -> date:
        return listing_day(self.now())

    def _feed(self, path: str) -> Answer:
        now, today = self.now(), self._today()
        shown = self.shown(path, now, today)
        if isinstance(shown, Answer):
            return shown
        return Answer(body=self.feed_body(arxiv_categories(path), shown, today))

    def feed_body(self, categories: tuple[str, ...], shown: date, dated: date) -> bytes:
        """The feed of `dated` with the items of the day `shown`."""
        now = self.now()
        items = [
            self._item(paper, kind, shown, dated)
            for paper in self.papers
            if (kind := paper.kind(categories, shown)) and self.late.get(paper.id, now) <= now
        ]
        rss = (
            '<rss xmlns:arxiv="http://arxiv.org/schemas/atom" version="2.0"'
            ' xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>{} updates on arXiv.org'
            "</title><lastBuildDate>{:%a, %d %b %Y %H:%M:%S} +0000</lastBuildDate><pubDate>{}"
            "</pubDate><skipDays><day>Saturday</day><day>Sunday</day></skipDays>{}</channel></rss>"
        )
        name = "+".join(categories)
        return rss.format(name, now, _midnight(dated), "".join(items)).encode()

    def _item(self, paper: Scripted, kind: str, shown: date, dated: date) -> str:
        version = paper.version(shown)
        codes = "".join(f"<category>{code}</category>" for code in paper.categories)
        return (
            f"<item><title>{escape(paper.title)}</title>"
            f"<link>https://arxiv.org/abs/{paper.id}</link>"
            f"<description>arXiv:{paper.id}v{version} Announce Type: {kind} \nAbstract: We look"
            f" at {paper.id}.</description>"
            f'<guid isPermaLink="false">{escape(self.guid(paper, self.now()))}v{version}</guid>'
            f"{codes}<pubDate>{_midnight(dated)}</pubDate>"
            f"<arxiv:announce_type>{kind}</arxiv:announce_type>"
            "<dc:creator>Ann Able</dc:creator></item>"
        )

    def _list(self, category: str) -> bytes:
        day = listing_day(self.now() + timedelta(hours=4))  # the list is ahead of the feeds
        while day.weekday() > 4 or not any(paper.day == day for paper in self.papers):
            day -= DAY
        page = [f"<h3>Showing new listings for {day:%A, %-d %B %Y}</h3>"]
        names = {"new": "New", "cross": "Cross", "replace": "Replacement"}
        for section, name in names.items():
            found = [
                paper.id
                for paper in self.papers
                if (kind := paper.kind((category,), day)) and kind.split("-")[0] == section
            ]
            page.append(
                f"<h3>{name} submissions (showing {len(found)} of {len(found)} entries)</h3>"
            )
            page += [f'<dt><a href ="/abs/{one}">arXiv:{one}</a></dt>' for one in found]
        return "\n".join(page).encode()

    def _oai(self, query: dict[str, str]) -> bytes:
        since, name, start = query.get("from", ""), query.get("set", ""), 0
        if token := query.get("resumptionToken"):
            since, name, at = token.split("|")
            start = int(at)
        changed = [
            paper
            for paper in self.papers
            if any(oai_set(code) == name for code in paper.categories)
            and self._stamp(paper)
            and str(self._stamp(paper)) >= since
        ]
        records = "".join(map(self._record, changed[start : start + self.page]))
        more = start + self.page < len(changed)
        token = f"{since}|{name}|{start + self.page}" if more else ""
        content = (
            f"<ListRecords>{records}<resumptionToken>{token}</resumptionToken></ListRecords>"
            if records
            else '<error code="noRecordsMatch">none</error>'
        )
        return f'<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">{content}</OAI-PMH>'.encode()

    def _stamp(self, paper: Scripted) -> date | None:
        days = [paper.day, *([paper.replaced] if paper.replaced else [])]
        past = [day for day in days if day <= self._today()]
        return max(past, default=None)

    def _updated(self, paper: Scripted) -> datetime:
        if paper.replaced and paper.replaced <= self._today():
            return datetime.combine(paper.replaced - DAY, time(12), UTC)
        return _submitted(paper)

    def _record(self, paper: Scripted) -> str:
        stamp = self._stamp(paper)
        updated = (
            f"<updated>{paper.replaced - DAY}</updated>"
            if paper.replaced and stamp == paper.replaced
            else ""
        )
        return (
            f"<record><header><identifier>oai:arXiv.org:{paper.id}</identifier>"
            f"<datestamp>{stamp}</datestamp></header><metadata>"
            f'<arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>{paper.id}</id>'
            f"<created>{_submitted(paper):%Y-%m-%d}</created>{updated}<authors><author>"
            "<keyname>Able</keyname><forenames>Ann</forenames></author></authors>"
            f"<title>{paper.title}</title><categories>{' '.join(paper.categories)}</categories>"
            f"<abstract>We look at {paper.id}.</abstract></arXiv></metadata></record>"
        )

    def _api(self, query: dict[str, str]) -> bytes:
        if "id_list" in query:
            found = [paper for paper in self.papers if paper.id in query["id_list"].split(",")]
        else:
            code = query["search_query"].split()[0].removeprefix("cat:")
            found = [p for p in self.papers if code in p.categories and p.day <= self._today()]
        entries = "".join(
            f"<entry><id>http://arxiv.org/abs/{paper.id}v{paper.version(self._today())}</id>"
            f"<published>{_submitted(paper):%Y-%m-%dT%H:%M:%SZ}</published>"
            f"<updated>{self._updated(paper):%Y-%m-%dT%H:%M:%SZ}</updated>"
            f"<title>{paper.title}</title><summary>We look at {paper.id}.</summary>"
            "<author><name>Ann Able</name></author>"
            + "".join(f'<category term="{code}"/>' for code in paper.categories)
            + "</entry>"
            for paper in found
        )
        return (
            '<feed xmlns="http://www.w3.org/2005/Atom"><id>http://arxiv.org/api/x</id>'
            '<opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">'
            f"{len(found)}</opensearch:totalResults><title>ArXiv Query</title>{entries}</feed>"
        ).encode()


def _submitted(paper: Scripted) -> datetime:
    """The day before its announcement, in time for it: 12:00 UTC is before 14:00 Eastern."""
    day = paper.day - DAY
    while day.weekday() > 4:
        day -= DAY
    return datetime.combine(day, time(12), UTC)


def _midnight(day: date) -> str:
    return f"{day:%a, %d %b %Y} 00:00:00 -0500"
