"""Connections to sources: only to addresses that may be asked, and only for so long.

Whoever controls a source's name or its redirects must not reach the machines behind this one's
firewall: https://owasp.org/www-community/attacks/Server_Side_Request_Forgery
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from digest.errors import FeedError

MOST_ADDRESSES = 4  # of one name that are tried
# Ends of names that nobody but one's own network resolves.
OWN_DOMAINS = (".localhost", ".local", ".internal", ".lan", ".home.arpa")

_NAT64 = ip_network("64:ff9b::/96")
_V4_COMPATIBLE = ip_network("::/96")
# Where clouds keep their machines' metadata, of those that look public: Azure's and Oracle's.
_METADATA = (ip_address("168.63.129.16"), ip_address("192.0.0.192"))


class Overdue(Exception):
    """A request has taken all the time that it had."""


def is_public(address: str) -> bool:
    """Whether an address is one of the open Internet: not private, shared, loopback, link-local,
    multicast, reserved or a cloud's metadata, nor one that wraps such an IPv4 address."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (inner := _wrapped(ip)) is not None:
        return is_public(str(inner))
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip in _METADATA)


def _wrapped(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64 or ip in _V4_COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def is_own(host: str) -> bool:
    """Whether a host that the operator named is in the operator's own network by its name alone:
    an address, a name without a dot, or one that the public name service does not have."""
    host = host.rstrip(".").lower()
    if "." not in host or host.endswith(OWN_DOMAINS):
        return True
    with suppress(ValueError):
        return bool(ip_address(host))
    return False


def addresses(host: str, port: int, *, private: bool) -> list[str]:
    """The addresses of `host` that may be asked. Raises FeedError where there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FeedError(f"the host {host} cannot be found: {reason}", kind="no host") from error
    every = list(dict.fromkeys(str(address[4][0]) for address in found))
    allowed = [address for address in every if private or is_public(address)]
    if not allowed:
        raise FeedError(
            f"the host {host} is {every[0]}, which is no public address; if it is yours and a"
            " feed's own host, name it in feeds.private_hosts"
        )
    return allowed[:MOST_ADDRESSES]


class Wire(httpx2.BaseTransport):
    """Carries one fetch's requests, each over a connection of its own to an address that was
    looked at. `clock` is in seconds. Raises FeedError, Overdue and httpcore2's exceptions."""

    def __init__(self, certificates: ssl.SSLContext, clock: Callable[[], float]) -> None:
        self._certificates = certificates
        self._road = _Road(clock)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=certificates,
            max_keepalive_connections=0,  # what was allowed once is no leave for the next request
            network_backend=self._road,
        )
        self._proxies: dict[str, httpx2.HTTPTransport] = {}

    def allow(self, *, private: bool, until: float) -> None:
        """What holds for the next request: whether it may reach private addresses, and until
        which moment of the clock it may last."""
        self._road.private, self._road.until = private, until

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if proxy := _proxy(request.url):
            return self._by_proxy(proxy, request)
        url = request.url
        answer = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        body = _Body(answer.stream)  # type: ignore[arg-type]
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=body, extensions=answer.extensions
        )

    def _by_proxy(self, proxy: str, request: httpx2.Request) -> httpx2.Response:
        """Leaves the connection to the proxy of the environment, which may know names that we
        cannot look up, but does not ask it for an address that is known to be private."""
        if _known(request.url.host):
            addresses(request.url.host, request.url.port or 0, private=self._road.private)
        if proxy not in self._proxies:
            self._proxies[proxy] = httpx2.HTTPTransport(verify=self._certificates, proxy=proxy)
        return self._proxies[proxy].handle_request(request)

    def close(self) -> None:
        self._pool.close()
        for transport in self._proxies.values():
            transport.close()


def _proxy(url: httpx2.URL) -> str:
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all") or ""
    return "" if not proxy or proxy_bypass(url.host) else proxy


def _known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()  # type: ignore[attr-defined]


class _Road(httpcore2.NetworkBackend):
    """Looks a name up and connects to the address that it looked at, so that a name which leads
    elsewhere a moment later leads nowhere."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sockets = httpcore2.SyncBackend()
        self.private, self.until = False, 0.0

    def left(self, timeout: float | None) -> float:
        """The time that one step may take, in seconds."""
        rest = self.until - self._clock()
        if rest <= 0:
            raise Overdue
        return rest if timeout is None else min(timeout, rest)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        *others, last = addresses(host, port, private=self.private)
        for address in others:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return self._connected(address, port, timeout, local_address, socket_options)
        return self._connected(last, port, timeout, local_address, socket_options)

    def _connected(
        self, address: str, port: int, timeout: float | None, *options: Any
    ) -> httpcore2.NetworkStream:
        stream = self._sockets.connect_tcp(address, port, self.left(timeout), *options)
        return _Timed(stream, self.left)


class _Timed(httpcore2.NetworkStream):
    """A connection each of whose steps ends with the time of the whole request: a server that
    sends a byte a minute would never time out by its silence."""

    def __init__(
        self, stream: httpcore2.NetworkStream, left: Callable[[float | None], float]
    ) -> None:
        self._stream, self._left = stream, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Timed(secured, self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
