"""Which tests are slow, which process runs which, and in what order."""

from pathlib import Path
from typing import Any

import pytest

# Tests with these are slow, and of other things than the database.
ELSEWHERE = {"browser", "mta"}
SLOW_FIXTURES = ELSEWHERE | {"postgres_server"}
# Files whose tests take the longest, together some two thirds of the time of all.
SLOW = {
    *("backup", "bearing", "bounds", "bursts", "cli", "cli_feeds", "cli_rules", "cli_subscribers"),
    *("clock", "death", "demo", "disk", "doctor_mistakes", "doctor_pages", "engine_postgres"),
    *("faults", "feeds_turns", "guard", "hostile_feeds", "injection", "life", "mail_clients"),
    *("migrations", "mta", "sending", "service", "storms", "trust", "two_weeks"),
}
# Each with something that is made once for all of its tests, or that goes on from test to test.
TOGETHER = {"demo", "mail_clients", "mta", "trust"}
# With tests, or as a whole, of many seconds. They come first, then what else is slow: at the end
# no process is left with a long one while the others have nothing to do.
FIRST = ("trust", "two_weeks", "engine_postgres", "life", "demo", "mta", "mail_clients", "service")


def subject(file: Path) -> str:
    """What a file of tests is about, by its name."""
    return file.stem.removeprefix("test_")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups by file, for pytest 9.2 no longer lets pytest-xdist 3.8 write a test's group behind
    its name, so that marks of groups put nothing together."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if subject(Path(file)) in TOGETHER else nodeid

    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if subject(item.path) in SLOW or SLOW_FIXTURES & names:
            item.add_marker("slow")
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, bool]:
    named = subject(item.path)
    first = FIRST.index(named) if named in FIRST else len(FIRST)
    return first, item.get_closest_marker("slow") is None
