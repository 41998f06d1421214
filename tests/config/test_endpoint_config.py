"""A server with a url is an endpoint: what it may hold, and who may be behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from curio_ray.config import dump_config, load_config
from curio_ray.config.servers import EndpointConfig
from curio_ray.errors import ConfigError
from curio_ray.run_folder.existing_runs import resume_config

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
HIDDEN = "sk-notakeyatall"


def frozen(fields: str = "") -> str:
    return f"servers.frozen={{url: 'http://judge:8000/v1/', model: judge, {fields}}}"


def problem(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(POCKET, overrides)
    return str(caught.value)


def test_a_server_with_a_url_is_an_endpoint_and_no_server_of_the_run():
    config = load_config(POCKET, (frozen("api: completions, tokenizer: 'pocket:world'"),))
    assert isinstance(config.servers["frozen"], EndpointConfig)
    assert config.servers["frozen"].url == "http://judge:8000/v1"
    assert list(config.own_servers) == ["policy"]


def test_the_tokenizers_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judge").mkdir()
    config = load_config(POCKET, (frozen("api: completions, tokenizer: judge"),))
    assert config.endpoints["frozen"].tokenizer == str(tmp_path / "judge")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((frozen("engine: async"),), "servers.frozen.engine: belongs to a server that this run"),
        ((frozen("gpus: 1"),), "servers.frozen.gpus: belongs to a server that this run starts"),
        (("servers.frozen.max_in_flight=9",), "servers.frozen.max_in_flight: belongs to an endp"),
        ((frozen("api: completions"),), "servers.frozen.tokenizer: api: completions asks in tok"),
        ((frozen("tokenizer: judge"),), "servers.frozen.tokenizer: api: chat asks in messages"),
        ((frozen("api: messages"),), "servers.frozen.api: 'messages' does not work; write one of"),
        ((frozen("urls: x"),), "servers.frozen.urls: there is no such field; did you mean url?"),
        (("servers.frozen={url: 'judge:8000', model: m}",), "servers.frozen.url: write an address"),
        (
            ("servers.frozen={url: 'http://h/v1/chat/completions', model: m}",),
            "servers.frozen.url: write the address up to /v1",
        ),
        (
            ("servers.policy={url: 'http://h/v1', model: m}",),
            "roles.policy.server: 'policy' is behind a URL",
        ),
        (
            (frozen(), "roles.user_model={server: frozen, reads: policy_context}"),
            "roles.user_model.reads: 'frozen' is behind a URL",
        ),
        (
            (frozen(), "evaluation.second_user_model={server: frozen, reads: policy_context}"),
            "evaluation.second_user_model.reads: 'frozen' is behind a URL",
        ),
        (
            (frozen(), "learner.placement.beside=frozen"),
            "there is no server 'frozen' that this run starts",
        ),
    ],
    ids=lambda each: each[0][:60] if isinstance(each, tuple) else "",
)
def test_what_cannot_work_names_the_field(overrides, message):
    assert message in problem(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        (frozen(f"api_key_env: {HIDDEN}"),),
        (frozen(f"api_key: {HIDDEN}"),),
        (f"servers.frozen={{url: 'http://user:{HIDDEN}@h/v1', model: m}}",),
        (f"servers.frozen={{url: 'http://h/v1?key={HIDDEN}', model: m}}",),
    ],
)
def test_a_key_in_a_config_is_an_error_that_does_not_show_it(overrides):
    assert HIDDEN not in problem(*overrides)


def test_a_resumed_run_may_ask_at_another_address(tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(load_config(POCKET, (frozen(),))))
    (tmp_path / "checkpoints" / "iteration-000001").mkdir(parents=True)
    changes = ["servers.frozen.url=http://other:8000/v1"]
    assert resume_config(tmp_path, changes).endpoints["frozen"].url == "http://other:8000/v1"


def test_a_resumed_run_may_not_ask_another_model(tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(load_config(POCKET, (frozen(),))))
    with pytest.raises(ConfigError, match="a resumed run keeps its config"):
        resume_config(tmp_path, ["servers.frozen.model=other"])
