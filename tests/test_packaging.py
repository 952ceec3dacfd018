"""What a fresh machine gets: locks that cover what we import, and a README whose commands hold."""

import json
import os
import re
import subprocess
import time
import tomllib
from pathlib import Path

import pytest
import yaml

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


COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_a_container_without_a_port_is_healthy_while_it_touches_its_file(
    name: str, tmp_path: Path
) -> None:
    service = COMPOSE["services"][name]
    file = service["environment"]["DIGEST_ENGINE__BEAT_FILE"]
    assert str(Path(file).parent) in service["tmpfs"]
    shell, command = service["healthcheck"]["test"]
    assert shell == "CMD-SHELL" and command.count(file) == 1
    beat = tmp_path / "beat"

    def healthy() -> bool:
        done = subprocess.run(
            ["sh", "-c", command.replace(file, str(beat))], check=False, capture_output=True
        )
        return done.returncode == 0

    assert not healthy()
    beat.touch()
    assert healthy()
    os.utime(beat, (0, time.time() - 400))
    assert not healthy()


def test_all_containers_say_how_they_are() -> None:
    """Or `docker compose up --wait` fails; and soon, or it waits for long."""
    for name, service in COMPOSE["services"].items():
        check = service["healthcheck"]
        assert int(check["interval"].removesuffix("s")) <= 10, name
        assert "disable" not in check, name


def test_the_pages_are_asked_where_they_are() -> None:
    """By the image's own check, at the port that is published, whatever `.env` says of another."""
    web = COMPOSE["services"]["web"]
    _, *command = web["healthcheck"]["test"]
    assert json.dumps(command) in (ROOT / "Dockerfile").read_text("utf-8")
    port = web["environment"]["DIGEST_WEB__PORT"]
    assert f":{port}/healthz" in command[-1]
    assert [mapping.split(":")[-1] for mapping in web["ports"]] == [str(port)]
