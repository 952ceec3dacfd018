"""Imports run one way, and the pure part knows neither database, network nor clock."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "digest"

# The first pattern that fits a module names its group.
GROUPS = [
    ("values", "digest digest.errors digest.settings digest.papers"),
    ("pure", "digest.schedule digest.tokens digest.ranking.* digest.mail.render"),
    ("pure", "digest.mail.message"),
    ("io", "digest.db digest.models digest.migrations.* digest.feeds.fetch digest.mail.smtp"),
    ("wiring", "digest.app"),
    ("work", "digest.feeds.ingest digest.feeds.opml digest.mail.outbox digest.mail.bounces"),
    ("pure", "digest.feeds.*"),
    ("work", "digest.training digest.delivery digest.subscribers digest.feedback digest.stats"),
    ("work", "digest.doctor digest.evaluation"),
    ("jobs", "digest.jobs"),
    ("engine", "digest.engine.*"),
    ("web", "digest.web.*"),
    ("demo", "digest.demo"),
    ("cli", "digest.cli.* digest.__main__"),
]
MAY_IMPORT = {
    "values": "values",
    "pure": "values pure",
    "io": "values pure io",
    "wiring": "values pure io",
    "work": "values pure io wiring work",
    "jobs": "values pure io wiring work",
    "engine": "values pure io wiring jobs",
    "web": "values pure io wiring work",
    "demo": "values pure io wiring work web",
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
            stem = pattern.removesuffix(".*")
            if module == stem or (pattern != stem and module.startswith(stem + ".")):
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


def is_mere_package(module: str) -> bool:
    return all(isinstance(node, ast.Expr | ast.Assign) for node in MODULES[module].body)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_its_group_may(module: str) -> None:
    group = group_of(module)
    if group is None:
        assert is_mere_package(module), f"{module} belongs to no group: add it to the table"
        return
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


def test_sql_is_written_only_in_work_and_below() -> None:
    doors = [m for m in MODULES if group_of(m) in {"cli", "web", "demo", "jobs"}]
    queries = {"select", "insert", "update", "delete", "text"}
    for module in doors:
        for node in ast.walk(MODULES[module]):
            if isinstance(node, ast.ImportFrom) and node.module in {"sqlmodel", "sqlalchemy"}:
                assert not queries & {alias.name for alias in node.names}, module


def test_every_module_says_in_a_line_what_it_is() -> None:
    bare = {m for m, tree in MODULES.items() if tree.body and not ast.get_docstring(tree)}
    assert not bare
