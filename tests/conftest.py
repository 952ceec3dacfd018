"""What all tests share: an application on a fresh database, a clock moved by hand, a real mailbox,
and three people: one confirmed, one paused, one a stranger."""

import gc
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import httpx2
import hypothesis
import postgres
import pytest
import structlog
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from order import ELSEWHERE, pytest_collection_modifyitems, pytest_xdist_make_scheduler
from sqlalchemy import Connection, Engine, event
from web_door import Door, bearer, open_door

from digest.app import App, open_app
from digest.db import Db, upgrade
from digest.mail.links import Links
from digest.models import Digest, Paper, Pick, Subscriber
from digest.settings import Settings
from digest.web import create

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]  # hooks

# Processes that tests start find the checkout, which nobody need have installed.
CHECKOUT = str(Path(__file__).parent.parent)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (CHECKOUT, os.environ.get("PYTHONPATH"))))
# They keep what they compile: a command of ours would else spend most of its time on that.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


hypothesis.settings.register_profile("quick", max_examples=20)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgres", "both"),
        default="both",
        help="where the tests that keep something run",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "sqlite: runs on SQLite alone, being about its file, or slow and of other things",
    )
    config.addinivalue_line("markers", "postgres: runs on PostgreSQL alone; with both, on both")
    config.addinivalue_line("markers", "bare: the database has no schema yet")
    config.addinivalue_line("markers", "slow: none of the everyday tests (`make quick`)")


def pytest_collection_finish() -> None:
    """What is there for the whole run is not looked through again at each collection of garbage;
    a delivery, which gives back what it has set aside, would give that back as well."""
    gc.collect()
    gc.freeze()
    gc.unfreeze = lambda: None


def pytest_unconfigure() -> None:
    gc.freeze()  # nor is what is left, at the end


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an `app` or a `database` of its own runs on each of the databases."""
    names = metafunc.fixturenames
    asked = "app" in names or ("database" in names and "settings" not in names)
    if not asked:
        return
    kinds = ["sqlite", "postgres"]
    if ELSEWHERE & set(names):
        kinds = kinds[:1]
    only = [kind for kind in kinds if metafunc.definition.get_closest_marker(kind)]
    chosen = metafunc.config.getoption("database")
    wanted = [kind for kind in only or kinds if chosen in (kind, "both")]
    metafunc.parametrize("database", wanted, indirect=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With REQUIRE_ALL set, as in CI, a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("REQUIRE_ALL") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


MORNING = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)  # a Wednesday


@dataclass
class Clock:
    """Stands still until a test moves it."""

    moment: datetime = MORNING

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **by: float) -> datetime:
        self.moment += timedelta(**by)
        return self.moment


@dataclass
class Mailbox:
    """A real SMTP server on loopback that keeps what it is given."""

    envelopes: list[Envelope] = field(default_factory=list)
    port: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 2.0.0 kept"

    @property
    def messages(self) -> list[EmailMessage]:
        return [
            message_from_bytes(bytes(envelope.content or b""), policy=policy.default)  # type: ignore[misc]
            for envelope in self.envelopes
        ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A command sets the log up for its own stderr, which is closed when its test ends."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def post_office() -> Iterator[Controller]:
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller
    controller.stop()


@pytest.fixture
def mailbox(post_office: Controller) -> Mailbox:
    """A fresh one, at the server that all tests have together."""
    box = Mailbox(port=post_office.port)
    post_office.handler = box
    return box


@event.listens_for(Engine, "engine_connect")
def _statements_made_once(connection: Connection) -> None:
    """Each test has engines of its own, which would each make the SQL of all statements anew, for a
    third of the tests' time: all of a kind of database take what the first has made."""
    engine = connection.engine
    first = _FIRST.setdefault(engine.dialect.name, engine)
    engine.dialect = connection.dialect = first.dialect
    engine._compiled_cache = first._compiled_cache


_FIRST: dict[str, Engine] = {}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema, made once: each test starts from a copy."""
    file = tmp_path_factory.mktemp("schema") / "digest.db"
    db = Db(f"sqlite:///{file}")
    upgrade(db)
    db.close()
    return file


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres.serving())
        except postgres.Unavailable as why:
            pytest.skip(str(why))
        yield server


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh database with its schema, on SQLite or on PostgreSQL."""
    bare = request.node.get_closest_marker("bare") is not None
    if getattr(request, "param", "sqlite") == "sqlite":
        file = tmp_path / "digest.db"
        if not bare:
            shutil.copy(request.getfixturevalue("empty_database"), file)
        yield f"sqlite:///{file}"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.new(migrated=not bare)
    yield url
    if bare:
        server.drop(url)
    else:
        server.empty(url)


@pytest.fixture
def settings(database: str, mailbox: Mailbox) -> Settings:
    return Settings.model_validate(
        {
            "database": {"url": database},
            "web": {"secret": "s" * 40, "base_url": "http://digest.test"},
            "smtp": {"host": "127.0.0.1", "port": mailbox.port, "connections": 2, "timeout": 5},
            "mail": {
                "sender": "Paper Digest <digest@digest.test>",
                "postal_address": "1 Library Lane, Bookham",
            },
        }
    )


@pytest.fixture
def app(settings: Settings, clock: Clock) -> Iterator[App]:
    with open_app(settings, clock) as opened:
        yield opened


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with open_door() as door:
        yield door


@pytest.fixture
def web(app: App, door: Door) -> httpx2.Client:
    door.pages = create(app)
    return door.client


@pytest.fixture
def links(app: App) -> Links:
    """Links without the service's address, to be asked of the test's server."""
    return Links("", app.tokens)


def _person(app: App, email: str, **values: object) -> Subscriber:
    now = app.now()
    person = Subscriber(
        email=email,
        email_key=email.casefold(),
        created_at=now,
        **values,
    )
    with app.db.write() as session:
        session.add(person)
    return person


@pytest.fixture
def ada(app: App) -> Subscriber:
    """Confirmed, interested in generating images, due since an hour ago."""
    return _person(
        app,
        "ada@reader.test",
        name="Ada",
        status="active",
        topics=[["diffusion models for image generation", 1.0]],
        categories=[["cs.CV", 1.0]],
        confirmed_at=app.now(),
        next_digest_at=app.now() - timedelta(hours=1),
    )


@pytest.fixture
def pia(app: App) -> Subscriber:
    """Paused: confirmed once, but wants no mail now."""
    return _person(
        app,
        "pia@reader.test",
        name="Pia",
        status="paused",
        topics=[["galaxy surveys", 1.0]],
        confirmed_at=app.now(),
    )


STRANGER = "sam@stranger.test"

IMAGES = [
    "Diffusion models for image generation with fewer denoising steps",
    "Guided diffusion sampling improves image generation from text",
    "Latent diffusion for image editing and image generation",
    "A noise schedule for diffusion models of images",
    "Image generation by diffusion on the hexagonal lattice",
]
GALAXIES = [
    "Galaxy surveys and the clustering of dwarf galaxies",
    "Redshift errors in galaxy surveys of the southern sky",
    "Spiral arms in galaxy surveys at low surface brightness",
    "Satellites around isolated galaxies in deep surveys",
    "Stellar streams traced by galaxy surveys with narrow bands",
]


def announce(app: App, day: date, titles: Sequence[str] = (*IMAGES, *GALAXIES)) -> list[int]:
    """Puts papers of these titles into the database as new on `day`; gives their ids."""
    with app.db.write() as session:
        papers = [
            Paper(
                key=f"arxiv:{day:%y%m.%d}{at:03}",
                title=title,
                abstract=f"We study {title.lower()}. The results hold for most cases we tried.",
                authors=[f"Author {at}", "Zoë Ångström"],
                categories=["astro-ph.GA" if "alax" in title else "cs.CV"],
                url=f"https://arxiv.org/abs/{day:%y%m.%d}{at:03}",
                announced_day=day,
                announced_at=app.now(),
                updated_at=app.now(),
            )
            for at, title in enumerate(titles, start=1)
        ]
        session.add_all(papers)
        session.flush()
        return [paper.id for paper in papers if paper.id is not None]


@pytest.fixture
def digest(app, ada, clock):
    """Ada's digest of today: three picks, not sent."""
    papers = announce(app, clock().date())
    with app.db.write() as session:
        kept = Digest(
            subscriber_id=ada.id,
            day=clock().date(),
            since=clock().date(),
            candidates=10,
            created_at=clock(),
        )
        session.add(kept)
        session.flush()
        session.add_all(
            Pick(
                digest_id=kept.id,
                position=position,
                subscriber_id=ada.id,
                paper_id=paper,
                score=1.0,
            )
            for position, paper in enumerate(papers[:3], 1)
        )
    return kept


@pytest.fixture
def vote_link(app, ada, digest, links):
    return links.votes(bearer(app, ada, digest.id))
