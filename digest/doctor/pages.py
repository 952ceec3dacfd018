"""Who answers at an address: these pages, something else, or nobody."""

import http.client
import json
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

PATIENCE = 5.0
OURS = ""
NOBODY = "nobody answers"


def look(base_url: str, addresses: Sequence[str]) -> str:
    """What stands at `base_url` where its host has these addresses: OURS, NOBODY, or in words
    what is wrong with it."""
    parts = urlsplit(base_url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    if not addresses:
        return f"{host} has no address in DNS"
    try:
        with socket.create_connection((addresses[0], port), PATIENCE) as plain:
            wire = (
                ssl.create_default_context().wrap_socket(plain, server_hostname=host)
                if secure
                else plain
            )
            return _asked(wire, host, port, f"{parts.path}/healthz")
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not valid ({error.verify_message})"
    except ssl.SSLError as error:
        return f"it speaks no TLS ({error.reason})"
    except (ConnectionRefusedError, TimeoutError):
        return NOBODY
    except (OSError, http.client.HTTPException) as error:
        return f"it cannot be asked ({type(error).__name__})"


def _asked(wire: socket.socket, host: str, port: int, path: str) -> str:
    connection = http.client.HTTPConnection(host, port)
    connection.sock = wire
    connection.request("GET", path, headers={"Connection": "close"})
    answer = connection.getresponse()
    body = answer.read(2000)
    if 300 <= answer.status < 400:
        return f"{path} is answered with {answer.status}, a redirect"
    try:
        known = "last_delivery" in json.loads(body) or answer.status == 503
    except (ValueError, TypeError):
        known = False
    return OURS if known else f"{path} is answered with {answer.status}, by something else"
