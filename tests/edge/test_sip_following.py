"""Following a URL over HTTP: what the virtual phone asks for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from era_ap.sip.following import follow


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str]]]:
    """A server without files: its port, and what it is asked for."""
    targets: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            targets.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1], targets
        server.shutdown()
        thread.join()


def test_a_model_with_a_blank_is_asked_for_like_any(asked: tuple[int, list[str]]) -> None:
    port, targets = asked
    fetches = follow(f"http://127.0.0.1:{port}/p/T/", "0c383e000001", "fanvil", "VOIP PHONE")
    assert {fetch.code for fetch in fetches} == {404}
    assert any("VOIP%20PHONE" in target for target in targets)
    assert all(target.startswith("/p/T/") for target in targets)
