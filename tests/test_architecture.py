"""Imports run one way, and the pure part knows neither database, network nor clock."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "digest"

# The first pattern that fits a module names its group.
GROUPS = [
    ("values", "digest digest.errors digest.settings digest.papers"),
    ("pure", "digest.latex digest.schedule digest.tokens digest.changes digest.ranking.*"),
    ("pure", "digest.categories digest.citations digest.atom digest.mailing_lists digest.charts"),
    ("pure", "digest.reading_lists"),
    ("io", "digest.sanity digest.zotero digest.authorities"),
    ("work", "digest.searching digest.similar digest.liked"),
    ("work", "digest.bounds digest.figures digest.mail.storms"),
    ("io", "digest.logs"),
    ("work", "digest.bursts digest.seeds digest.preference digest.hindsight"),
    ("work", "digest.mail.compose digest.mail.writer digest.mail.queue digest.mail.sending"),
    ("work", "digest.mail.outbox digest.mail.bounces digest.feeds.ingest digest.feeds.opml"),
    ("work", "digest.feeds.store digest.suppressions digest.mail.drafts"),
    ("work", "digest.feeds.batches digest.feeds.fill digest.feeds.leases digest.feeds.replay"),
    ("work", "digest.feeds.turns digest.feeds.visit digest.feeds.named"),
    ("io", "digest.mail.inbox digest.mail.domains digest.prepared"),
    ("io", "digest.feeds.fetch digest.feeds.wire"),
    ("io", "digest.mail.smtp digest.db digest.dumps digest.models digest.migrations.*"),
    ("pure", "digest.mail.* digest.feeds.*"),
    ("wiring", "digest.app"),
    ("work", "digest.training digest.candidates digest.choosing digest.picking digest.editions"),
    ("work", "digest.calibrating digest.clock digest.fitting digest.samples digest.paper_rows"),
    ("work", "digest.backup digest.hold digest.delivery digest.keeping digest.retention"),
    ("work", "digest.feedback digest.failing digest.admission"),
    ("pure", "digest.ties"),
    ("work", "digest.merging digest.news digest.outcomes digest.quiet digest.alerts"),
    ("work", "digest.subscribers digest.roster digest.library digest.stats digest.doctor.*"),
    ("work", "digest.evaluation digest.shelf digest.moving digest.dossier digest.learned"),
    ("work", "digest.summaries digest.handing digest.weeks digest.drawing digest.signup"),
    ("jobs", "digest.jobs"),
    ("engine", "digest.engine.*"),
    ("web", "digest.web.*"),
    ("demo", "digest.demo.*"),
    ("cli", "digest.cli.* digest.__main__"),
]
MAY_IMPORT = {
    "values": "values",
    "pure": "values pure",
    "io": "values pure io",
    "wiring": "values pure io",
    "work": "values pure io wiring work",
    "jobs": "values pure io wiring work",
    "engine": "values pure io wiring work jobs engine",
    "web": "values pure io wiring work web",
    "demo": "values pure io wiring work web demo",
    "cli": "values pure io wiring work jobs engine web demo cli",
}
IMPURE = {"sqlalchemy", "sqlmodel", "alembic", "httpx2", "aiosmtplib", "socket", "starlette"}
CLOCK = {"datetime.now", "datetime.today", "datetime.utcnow", "date.today", "time.time"}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def group_of(module: str) -> str | None:
    for group, patterns in GROUPS:
        for pattern in patterns.split():
            if fnmatchcase(module, pattern) or module == pattern.removesuffix(".*"):
                return group
    return None


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_its_group_may(module: str) -> None:
    group = group_of(module)
    if group is None:
        pytest.fail(f"{module} belongs to no group: add it to the table")
    allowed = MAY_IMPORT[group].split()
    wrong = {
        name
        for name in imports(MODULES[module])
        if name.split(".")[0] == "digest" and group_of(name) not in allowed
    }
    assert not wrong, f"{module} ({group}) may not import {sorted(wrong)}"


@pytest.mark.parametrize("module", sorted(m for m in MODULES if group_of(m) == "pure"))
def test_a_pure_module_knows_neither_database_network_nor_clock(module: str) -> None:
    names = set(imports(MODULES[module]))
    assert not {name for name in names if name.split(".")[0] in IMPURE}
    assert "digest.settings" not in names
    calls = {ast.unparse(n.func) for n in ast.walk(MODULES[module]) if isinstance(n, ast.Call)}
    assert not calls & CLOCK


def test_a_door_may_read_but_changes_rows_only_through_work() -> None:
    doors = [m for m in MODULES if group_of(m) in {"cli", "web", "demo", "jobs"}]
    statements = {
        f"{library}.{name}"
        for library in ("sqlmodel", "sqlalchemy")
        for name in ("insert", "update", "delete", "text")
    }
    for module in doors:
        named = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(MODULES[module])
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not named & statements, module


def test_every_module_says_in_a_line_what_it_is() -> None:
    bare = {m for m, tree in MODULES.items() if tree.body and not ast.get_docstring(tree)}
    assert not bare
