"""A feed's server on loopback that does as a test says: delays, lies, refusals."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"<rss/>"
    headers: dict[str, str] = field(default_factory=dict)
    lie: int | None = None  # a Content-Length that is not the body's
    before: Callable[[], object] = lambda: None  # runs between the first bytes and the rest


@dataclass
class Source:
    """Answers as `answers` says by path, else as `otherwise`; remembers what it was asked."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    otherwise: Callable[[str], Answer] = lambda path: Answer(404, path.encode())
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Source]:
    plan = Source()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            plan.asked.append((self.path, headers))
            answer = plan.answers.get(self.path) or plan.otherwise(self.path)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.lie is None else answer.lie
            self.send_header("Content-Length", str(length))
            self.end_headers()
            with suppress(OSError):  # the client may have gone, as it should
                self.wfile.write(answer.body[:100])
                answer.before()
                self.wfile.write(answer.body[100:])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    plan.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield plan
    server.shutdown()
    thread.join()
    server.server_close()
