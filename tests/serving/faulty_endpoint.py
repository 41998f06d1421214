"""An endpoint that makes faults: a small HTTP server that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

HANG_UP = -1
"""In place of a status: the connection is closed without an answer."""


@dataclass
class Reply:
    """One answer; `slow_s` is waited before it."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    slow_s: float = 0.0


def completion(request: dict[str, Any]) -> Reply:
    """What vLLM's server would answer at /completions: one token, or even log-probs of labels."""
    labels = request.get("logprob_token_ids")
    choice: dict[str, Any] = {"index": 0, "text": "yes", "token_ids": [33]}
    if labels:
        choice["logprobs"] = {"top_logprobs": [{f"token_id:{label}": -1.0 for label in labels}]}
    return Reply(body={"choices": [choice]})


def chat(content: str, top: dict[str, float] | None = None) -> Reply:
    """An answer at /chat/completions, with the log-probs of its first token's alternatives."""
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": content}}
    if top is not None:
        listed = [{"token": token, "logprob": log_prob} for token, log_prob in top.items()]
        choice["logprobs"] = {"content": [{"token": content, "top_logprobs": listed}]}
    return Reply(body={"choices": [choice]})


class FaultyEndpoint:
    """Serves the model `world` on a loopback port, within a `with` block.

    `answer` is given the number of a POST, from 0 on, and its body. `seen` holds what was asked.
    """

    def __init__(self, answer: Callable[[int, dict[str, Any]], Reply]) -> None:
        self._answer = answer
        self.models = Reply(body={"data": [{"id": "world"}]})
        self.seen: list[dict[str, Any]] = []
        self.authorizations: set[str | None] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                endpoint._send(self, endpoint.models)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.authorizations.add(self.headers["Authorization"])
                endpoint._post(self, body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _post(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self._lock:
            number = len(self.seen)
            self.seen.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._send(handler, self._answer(number, body))
        finally:
            with self._lock:
                self._at_once -= 1

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        time.sleep(reply.slow_s)
        if reply.status == HANG_UP:
            handler.close_connection = True
            handler.connection.close()
            return
        body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body or {})
        handler.send_response(reply.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body.encode())))
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body.encode())
