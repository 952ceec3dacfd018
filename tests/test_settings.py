"""Settings: the file, the environment over it, and errors that name what is wrong."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from digest.errors import SettingsError
from digest.settings import Settings, load

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "config.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_stand() -> None:
    settings = load()
    assert settings.database.url == "sqlite:///data/digest.db"
    assert settings.web.base_url == "http://localhost:8000"


def test_the_file_is_looked_for_in_the_promised_order(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[web]\nport = 1001\n")
    assert load().web.port == 1001
    monkeypatch.setenv("DIGEST_CONFIG", str(write("[web]\nport = 1002\n", "other.toml")))
    assert load().web.port == 1002
    assert load(write("[web]\nport = 1003\n", "third.toml")).web.port == 1003


def test_the_environment_overrides_single_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write('[smtp]\nhost = "mail.example.org"\nport = 25\n')
    monkeypatch.setenv("DIGEST_SMTP__PORT", "2525")
    settings = load(path)
    assert (settings.smtp.host, settings.smtp.port) == ("mail.example.org", 2525)


def test_a_misspelt_section_of_the_environment_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIGEST_SMPT__PORT", "2525")
    with pytest.raises(SettingsError, match=r"DIGEST_SMPT__PORT.*no such setting.*mean smtp\?"):
        load()


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("[smtp]\nport = 99999\n", "smtp.port", "65535"),
        ('[smtp]\nsecurity = "ssl"\n', "smtp.security", "'starttls'"),
        ("[smtp]\nhots = 1\n", "smtp.hots", "there is no such setting; did you mean host?"),
        ("[smpt]\nhost = 1\n", "smpt", "there is no such setting; did you mean smtp?"),
        ("[smtp]\nzzz = 1\n", "smtp.zzz", "there is no such setting"),
        ("zzz = 1\n", "zzz", "there is no such setting"),
        ('[web]\nbase_url = "digest.example.org"\n', "web.base_url", "http://"),
        ('[web]\nsecret = "short"\n', "web.secret", "32 characters"),
        ('[mail]\nbounce_address = "b+x@example.org"\n', "mail.bounce_address", "no +"),
        ('[mail]\nbounce_address = "nobody"\n', "mail.bounce_address", "digest@example.org"),
        ('[bounces]\nimap_folder = "In\\"box"\n', "bounces.imap_folder", "without quotes"),
        (
            '[bounces]\nimap_host = "mx.example.org"\nimap_security = "none"\n',
            "bounces.imap_security",
            "unencrypted",
        ),
        ('[web]\nstatus_token = "short"\n', "web.status_token", "16 characters"),
        ('[web]\ntrusted_proxies = ["proxy"]\n', "web.trusted_proxies", "10.0.0.0/8"),
        ('[alerts]\nwebhook_url = "hooks"\n', "alerts.webhook_url", "http://"),
        ('[alerts]\nfinished_by = "noon"\n', "alerts.finished_by", "HH:MM"),
        ('[mail]\nsender = "nobody"\n', "mail.sender", "digest@example.org"),
        ('[mail]\ndkim_domain = "example.org"\n', "mail.dkim_selector", "all three or none"),
        ('[engine]\nkind = "postgres"\n', "engine.kind", "a PostgreSQL"),
        ('[smtp]\nhost = "mx.example.org"\nusername = "u"\n', "smtp.security", "unencrypted"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(
    text: str, name: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(text))
    assert name in str(caught.value)
    assert expected in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_every_wrong_setting_has_a_line() -> None:
    with pytest.raises(SettingsError) as caught:
        load(write('[smtp]\nport = 0\nconnections = "many"\n'))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "smtp.port",
        "smtp.connections",
    ]


def test_a_wrong_value_of_the_environment_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIGEST_SMTP__PORT", "many")
    with pytest.raises(SettingsError, match=r"DIGEST_SMTP__PORT: smtp\.port"):
        load()


def test_no_secret_shows_in_an_error() -> None:
    with pytest.raises(SettingsError) as caught:
        load(write('[web]\nsecret = "hunter2"\nstatus_token = "hunter3"\n'))
    assert "hunter" not in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        load(write('[alerts]\nwebhook_url = "hunter2"\n'))
    assert "hunter" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load(Path("absent.toml"))
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(write("[web\n"))


def plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else value


def defaults() -> dict[str, Any]:
    """All settings by their dotted names, as the program has them built in."""
    found = {}
    for section, part in Settings():
        assert isinstance(part, BaseModel)
        found.update({f"{section}.{key}": plain(value) for key, value in part})
    return found


def test_the_example_holds_every_setting_with_its_default() -> None:
    given = {
        f"{section}.{key}": value
        for section, part in tomllib.loads(EXAMPLE.read_text("utf-8")).items()
        for key, value in part.items()
    }
    assert given == {name: value for name, value in defaults().items() if value is not None}


def test_the_example_explains_each_setting_in_a_line_before_it() -> None:
    section, before, explained = "", "", set()
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif setting := re.fullmatch(r"(?:# )?(\w+) = .*", line):
            assert re.fullmatch(r"# [A-Z\w].*[.:]", before), f"{section}.{setting[1]}"
            explained.add(f"{section}.{setting[1]}")
        before = line
    assert explained == set(defaults())


def test_the_example_loads_even_with_its_optional_lines() -> None:
    text = re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE.read_text("utf-8"))
    text = re.sub(r'dkim_(domain|selector) = ""', r'dkim_\1 = "x"', text)
    assert load(write(text)).mail.dkim_key_file == Path("/etc/paper-digest/dkim.pem")
