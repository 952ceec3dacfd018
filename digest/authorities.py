"""Whose word about a server's name this machine takes."""

import ssl
from functools import cache


@cache
def authorities() -> ssl.SSLContext:
    """Read once in a process: that takes longer than many a request."""
    import httpx2  # noqa: PLC0415  (slow, and rarely needed)

    return httpx2.create_ssl_context()
