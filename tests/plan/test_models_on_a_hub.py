"""What a plan learns of a model that is on a hub and not on this machine."""

import http.server
import json
import threading

import pytest

from curio_ray.errors import ConfigError
from curio_ray.plan.model_size import known_models
from curio_ray.plan.models import Source, find_model

SHAPE = known_models()["Qwen/Qwen2.5-1.5B-Instruct"]


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers for org/open with a config.json, for org/gated with 401, else with 404."""

    def do_GET(self) -> None:
        name = "/".join(self.path.split("/")[1:3])
        known = name in ("org/gated", "google/gemma-2-2b-it")
        self.send_response(200 if name == "org/open" else 401 if known else 404)
        self.end_headers()
        if name == "org/open":
            shape = {key: value for key, value in SHAPE.items() if key != "parameters"}
            self.wfile.write(json.dumps(shape).encode())

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture(autouse=True)
def _hub(monkeypatch, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    yield
    server.shutdown()
    server.server_close()


def test_the_size_is_estimated_from_the_hubs_config():
    model = find_model("servers.policy.model", "org/open")
    assert model.source is Source.HUB
    assert model.size.estimated
    assert model.size.parameters == pytest.approx(SHAPE["parameters"], rel=2e-3)


def test_a_gated_model_on_the_list_has_its_known_size():
    model = find_model("servers.policy.model", "google/gemma-2-2b-it")
    assert model.source is Source.HUB
    assert model.size.parameters == known_models()["google/gemma-2-2b-it"]["parameters"]


def test_a_gated_model_off_the_list_has_no_size():
    model = find_model("servers.policy.model", "org/gated")
    assert (model.source, model.size) == (Source.HUB, None)


def test_a_model_that_the_hub_does_not_know_is_refused():
    with pytest.raises(ConfigError, match=r"servers\.policy\.model: .* knows no such model"):
        find_model("servers.policy.model", "org/nothing")
