"""A process of its own that asks arXiv's hosts, which are the test's server, each once.

`python arxiv_reader.py DATABASE PORT PAUSE`
"""

import socket
import sys
from dataclasses import replace

from digest.app import open_app
from digest.feeds.fetch import Limiter
from digest.feeds.turns import fetcher
from digest.settings import Settings

HOSTS = ("rss.arxiv.org", "export.arxiv.org", "oaipmh.arxiv.org")


def main(database: str, port: str, pause: str) -> None:
    lookup = socket.getaddrinfo
    socket.getaddrinfo = lambda _host, *rest, **more: lookup("127.0.0.1", *rest, **more)
    settings = Settings.model_validate({"database": {"url": database}, "web": {"secret": "s" * 40}})
    with open_app(settings) as app:
        limiter = Limiter(arxiv_seconds=float(pause))
        asking = replace(fetcher(app), limiter=limiter, private_hosts=frozenset(HOSTS))
        for host in HOSTS:
            asking.fetch(f"http://{host}:{port}/rss")


if __name__ == "__main__":
    main(*sys.argv[1:])
