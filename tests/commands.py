"""Commands run in a folder of their own: what they print, their exit codes, a service to run on."""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Mailbox

from digest.__main__ import main

DAY = "2025-11-18"
TOPIC = "diffusion models for image generation"
TITLES = {
    "2511.10001": "Image Generation by Diffusion Models with Fewer Steps",
    "2511.10002": "Guidance for Diffusion Models of Images",
    "2511.10003": "Weak Lensing in a Galaxy Survey",
    "2511.10004": "Galaxy Clusters and their Gas",
    "2511.10005": "Chains of Thought in Language Models",
    "2511.10006": "Proof Search with Language Models",
}
ITEM = """
<item><title>{title}</title><link>https://arxiv.org/abs/{id}</link>
<description>arXiv:{id}v1 Announce Type: new
Abstract: We study {title} at length, and report what we found.</description>
<guid isPermaLink="false">oai:arXiv.org:{id}v1</guid><category>cs.LG</category>
<pubDate>Tue, 18 Nov 2025 00:00:00 -0500</pubDate>
<arxiv:announce_type>new</arxiv:announce_type><dc:creator>Ann Author, Bo Writer</dc:creator></item>
"""
FEED = """<?xml version="1.0" encoding="UTF-8"?>
<rss xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:dc="http://purl.org/dc/elements/1.1/"
 version="2.0"><channel><title>cs.LG updates on arXiv.org</title><link>x</link>
<description>x</description><pubDate>Tue, 18 Nov 2025 00:00:00 -0500</pubDate>{items}
</channel></rss>"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Digest = Callable[..., Result]


@pytest.fixture
def digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Digest:
    """Runs a command in a folder of its own and gives what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["digest", *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a service with six papers of one day and one reader of some of them."""
    folder = tmp_path_factory.mktemp("begun")
    items = "".join(ITEM.format(id=id_, title=title) for id_, title in TITLES.items())
    (folder / "feed.xml").write_text(FEED.format(items=items))
    reader = ["subscribers", "add", "ada@reader.test", "--topic", TOPIC]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arguments in (["ingest", "feed.xml"], reader):
            patch.setattr(sys, "argv", ["digest", *arguments])
            with suppress(SystemExit):
                main()
    return folder


@pytest.fixture
def service(digest: Digest, begun: Path, mailbox: Mailbox, tmp_path: Path) -> Digest:
    """That service, copied and configured."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.toml").write_text(f'[smtp]\nhost = "127.0.0.1"\nport = {mailbox.port}\n')
    return digest
