"""Settings from a TOML file, overridden by DIGEST_SECTION__KEY from the environment."""

import os
import re
import tomllib
from difflib import get_close_matches
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from digest.errors import SettingsError

SECRETS = ("secret", "password", "token", "webhook", "heartbeat", "key")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Database(Section):
    url: str = "sqlite:///data/digest.db"


class Web(Section):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    base_url: str = "http://localhost:8000"
    secret: SecretStr = SecretStr("")
    previous_secrets: tuple[SecretStr, ...] = ()
    status_token: SecretStr = SecretStr("")
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in value:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ValueError(
                    "expected addresses or networks, such as 10.0.0.2 or 10.0.0.0/8"
                ) from error
        return value

    @field_validator("status_token")
    @classmethod
    def _unguessable(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16 or not value.get_secret_value().isascii():
            raise ValueError("expected at least 16 characters, of ASCII alone")
        return value

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with http:// or https://")
        return value.rstrip("/")

    @field_validator("secret")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 32:
            raise ValueError("expected at least 32 characters (`digest init` writes a fresh one)")
        return value


class Smtp(Section):
    host: str = "localhost"
    port: int = Field(25, ge=1, le=65535)
    security: Literal["none", "starttls", "tls"] = "none"
    username: str = ""
    password: SecretStr = SecretStr("")
    connections: int = Field(4, ge=1, le=100)
    per_minute: int = Field(0, ge=0)
    timeout: float = Field(60, gt=0)
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if self.username and self.security == "none" and self.host not in LOOPBACK:
            raise ValueError(
                "smtp.security: expected starttls or tls, since smtp.username is set and"
                f" {self.host} is not this machine: the password would travel unencrypted"
            )
        return self


class Mail(Section):
    sender: str = "Paper Digest <digest@localhost>"
    reply_to: str = ""
    postal_address: str = ""
    dkim_domain: str = ""
    dkim_selector: str = ""
    dkim_key_file: Path | None = None
    bounce_address: str = ""
    alert_to: str = ""
    letters_per_hour: int = Field(500, ge=1)

    @field_validator("sender", "reply_to", "bounce_address", "alert_to")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and "@" not in parseaddr(value)[1]:
            raise ValueError("expected an address such as 'Paper Digest <digest@example.org>'")
        return value

    @field_validator("bounce_address")
    @classmethod
    def _leaves_room(cls, value: str) -> str:
        local = parseaddr(value)[1].rpartition("@")[0]
        if "+" in local or len(local) > 16:
            raise ValueError(
                "expected at most 16 characters and no + before the @,"
                " since each mail's own mark is put there"
            )
        return value

    @model_validator(mode="after")
    def _dkim_whole(self) -> Self:
        given = [bool(self.dkim_domain), bool(self.dkim_selector), self.dkim_key_file is not None]
        if any(given) and not all(given):
            raise ValueError(
                "mail.dkim_domain, mail.dkim_selector and mail.dkim_key_file:"
                " expected all three or none"
            )
        return self


class Bounces(Section):
    maildir: Path | None = None
    imap_host: str = ""
    imap_port: int = Field(993, ge=1, le=65535)
    imap_security: Literal["tls", "none"] = "tls"
    imap_username: str = ""
    imap_password: SecretStr = SecretStr("")
    imap_folder: str = "INBOX"
    imap_ca_file: Path | None = None
    imap_timeout: float = Field(30, gt=0)

    @field_validator("imap_folder")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable() or '"' in value or "\\" in value:
            raise ValueError("expected a folder's name in plain ASCII, without quotes")
        return value

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if self.imap_host and self.imap_security == "none" and self.imap_host not in LOOPBACK:
            raise ValueError(
                f"bounces.imap_security: expected tls, since {self.imap_host} is not this machine:"
                " the password would travel unencrypted"
            )
        return self


class Feeds(Section):
    contact: str = ""
    interval_minutes: int = Field(30, ge=5, le=1440)
    timeout: float = Field(60, gt=0)
    private_hosts: tuple[str, ...] = ()
    max_megabytes: float = Field(20, gt=0)
    keep_raw_days: int = Field(14, ge=0, le=3650)


class Papers(Section):
    keep_days: int = Field(0, ge=0, le=36_500)

    @field_validator("keep_days")
    @classmethod
    def _long(cls, value: int) -> int:
        if 0 < value < 30:
            raise ValueError("expected 0 (for ever), or at least 30 days")
        return value


class Ranking(Section):
    solver: Literal["newton", "sklearn"] = "newton"
    fold: float = Field(0.85, ge=0, le=1)
    variety: float = Field(0.1, ge=0, le=1)
    explore: int = Field(1, ge=0, le=10)
    topics: bool = True


class Challenger(Section):
    fold: float | None = Field(None, ge=0, le=1)
    variety: float | None = Field(None, ge=0, le=1)
    explore: int | None = Field(None, ge=0, le=10)
    topics: bool | None = None


class Alerts(Section):
    webhook_url: SecretStr = SecretStr("")
    heartbeat_url: SecretStr = SecretStr("")
    finished_by: str = ""

    @field_validator("webhook_url", "heartbeat_url")
    @classmethod
    def _http(cls, value: SecretStr) -> SecretStr:
        if value and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with http:// or https://")
        return value

    @field_validator("finished_by")
    @classmethod
    def _hour(cls, value: str) -> str:
        if value and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
            raise ValueError("expected HH:MM in UTC, such as 12:00")
        return value


class Summaries(Section):
    url: str = ""
    model: str = ""
    key: SecretStr = SecretStr("")
    per_day: int = Field(200, ge=1)
    timeout: float = Field(30, gt=0, le=300)

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.url and not self.model:
            raise ValueError("summaries.model: expected a model's name, since summaries.url is set")
        host = urlsplit(self.url).hostname
        if self.key and self.url.startswith("http://") and host not in LOOPBACK:
            raise ValueError(
                f"summaries.url: expected https, since summaries.key is set and {host} is not this"
                " machine: the key would travel unencrypted"
            )
        return self


class Logs(Section):
    format: Literal["plain", "json"] = "plain"


class Engine(Section):
    kind: Literal["local", "postgres"] = "local"
    beat_file: Path | None = None


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DIGEST_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    database: Database = Database()
    web: Web = Web()
    smtp: Smtp = Smtp()
    mail: Mail = Mail()
    bounces: Bounces = Bounces()
    feeds: Feeds = Feeds()
    papers: Papers = Papers()
    ranking: Ranking = Ranking()
    challenger: Challenger = Challenger()
    alerts: Alerts = Alerts()
    summaries: Summaries = Summaries()
    logs: Logs = Logs()
    engine: Engine = Engine()

    @model_validator(mode="after")
    def _engine_has_its_database(self) -> Self:
        driver = self.database.url.partition(":")[0]
        if self.engine.kind == "postgres" and driver not in ("postgresql", "postgresql+psycopg"):
            raise ValueError(
                "engine.kind: expected local, since the engine postgres keeps its jobs in a"
                " PostgreSQL and database.url is none (postgresql+psycopg://…)"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load(path: Path | None = None) -> Settings:
    """Reads `path`, else $DIGEST_CONFIG, else ./config.toml, else the built-in defaults.

    Raises SettingsError with the name of each wrong setting and what was expected.
    """
    source = path or _default_path()
    values: dict[str, Any] = {}
    if source is not None:
        try:
            values = tomllib.loads(source.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read {source}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{source} is not valid TOML: {error}") from error
    wrong = _misspelt()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        where = str(source) if source else "environment"
        raise SettingsError("\n".join([*wrong, *_problems(error, where)])) from error
    if wrong:
        raise SettingsError("\n".join(wrong))
    return settings


def _misspelt() -> list[str]:
    """Of the environment, what names no section: it would be passed over without a word."""
    prefix = "DIGEST_"
    given = [name for name in os.environ if name.startswith(prefix) and "__" in name]
    sections = {name: name.removeprefix(prefix).partition("__")[0].lower() for name in given}
    return [
        f"{name}: {section}: there is no such setting{_meant(section, Settings)}"
        for name, section in sections.items()
        if section not in Settings.model_fields
    ]


def _meant(name: str, among: Any) -> str:
    """The name that is most like a misspelt one, as a question."""
    like = get_close_matches(name, among.model_fields, n=1)
    return f"; did you mean {like[0]}?" if like else ""


def _default_path() -> Path | None:
    named = os.environ.get("DIGEST_CONFIG")
    if named:
        return Path(named)
    here = Path("config.toml")
    return here if here.exists() else None


def _problems(error: ValidationError, where: str) -> list[str]:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        env = f"DIGEST_{name.replace('.', '__').upper()}"
        place = env if env in os.environ else where
        if problem["type"] == "extra_forbidden":
            section, _, key = name.rpartition(".")
            among = Settings.model_fields[section].annotation if section else Settings
            lines.append(f"{place}: {name}: there is no such setting{_meant(key, among)}")
            continue
        message = problem["msg"].removeprefix("Value error, ")
        given = problem["input"]
        shown = f" (got {given!r})" if isinstance(given, int | float | str) else ""
        if any(word in name for word in SECRETS):
            shown = ""
        lines.append(f"{place}: {name}: {message}{shown}")
    return lines
