"""What a fresh machine gets: locks that cover what we import, and a README whose commands hold."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", line)[0].lower() for line in requirements}


def locked(file: str) -> dict[str, str]:
    """The versions that a lock names, by package."""
    text = (ROOT / file).read_text("utf-8")
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text))


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        (
            "requirements-dev.lock",
            PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"],
        ),
    ],
)
def test_a_lock_covers_what_the_project_names(file: str, wanted: list[str]) -> None:
    assert names(wanted) <= set(locked(file)), "run `make lock`"


def test_both_locks_agree_on_what_they_share() -> None:
    assert locked("requirements.lock").items() <= locked("requirements-dev.lock").items()


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_holds_names_versions_and_hashes_alone(file: str) -> None:
    for line in (ROOT / file).read_text("utf-8").splitlines():
        pinned = re.fullmatch(r"[a-z0-9._-]+==[\w.+!]+(?: ; [^\\:]+)? \\", line)
        assert pinned or re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line), line


def test_each_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    wanted = names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
    assert {name for name in wanted if name not in reasons} == set()


def test_the_readme_has_the_two_commands_that_do_all_their_set_up() -> None:
    commands = re.findall(r"(?m)^python3 -m venv .*$", README)
    setting_up = "python3 -m venv .venv && .venv/bin/pip install -q -r requirements"
    assert commands == [
        f"{setting_up}.lock && .venv/bin/python -m digest demo",
        f"{setting_up}-dev.lock && .venv/bin/python -m pytest -n auto --dist loadgroup",
    ]


def test_what_the_readme_links_to_is_there() -> None:
    linked = re.findall(r"\]\(([^):#]+)\)", README)
    assert [path for path in linked if not (ROOT / path).exists()] == []
