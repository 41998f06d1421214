"""The chat template that a server's config gives: its file, its values, and its clock."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from curio_ray.config import RunConfig, load_config
from curio_ray.config.servers import EndpointConfig, ServerConfig
from curio_ray.errors import ConfigError, TemplateError
from curio_ray.evaluation.served_policy import serving
from curio_ray.model_paths import locate_model
from curio_ray.roles.chat import ChatFormat, format_loader
from curio_ray.run_folder import RunFolder
from curio_ray.tasks.base import Message
from curio_ray.template_files import keep_template, with_defaults
from curio_ray.training.algorithm import CurioConfig

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
CHAT = [Message("system", "you advise"), Message("user", "hello")]
BODY = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TONED = "{% if tone is defined %}{{ tone }}{% endif %}" + BODY
# Differs from one minute to the next, as others do from day to day.
DATED = "{{ ['sleep', 'weather'][strftime_now('%M') | int % 2] }}" + BODY


def own(tmp_path: Path, template: str) -> str:
    path = tmp_path / "own.jinja"
    path.write_text(template)
    return str(path)


def form(server: ServerConfig | EndpointConfig, clock: datetime | None = None) -> ChatFormat:
    made = format_loader({"frozen": server}, clock)("frozen")
    assert isinstance(made, ChatFormat)
    return made


def served(template: str, **values: object) -> ServerConfig:
    return ServerConfig(model="pocket:policy", chat_template=template, chat_template_kwargs=values)


def test_the_file_of_a_server_stands_in_for_the_tokenizers_template(tmp_path):
    chat = form(served(own(tmp_path, "hello" + BODY)))
    assert chat.open(CHAT)[1:] == ChatFormat.load("pocket:policy").open(CHAT)


def test_the_values_of_a_server_reach_its_template(tmp_path):
    template = own(tmp_path, TONED)
    plain, toned = form(served(template)), form(served(template, tone="good"))
    assert toned.open(CHAT) == [*toned.encode("good"), *plain.open(CHAT)]


def test_an_endpoint_that_is_asked_in_token_ids_takes_them_too(tmp_path):
    endpoint = EndpointConfig(
        url="http://host/v1",
        model="x",
        api="completions",
        tokenizer="pocket:policy",
        chat_template=own(tmp_path, TONED),
        chat_template_kwargs={"tone": "good"},
    )
    assert form(endpoint).open(CHAT) == form(served(endpoint.chat_template, tone="good")).open(CHAT)


def test_a_value_that_the_template_does_not_read_is_refused_by_name(tmp_path):
    switched = "{% if enable_thinking %}{{ 'good' }}{% endif %}" + BODY
    with pytest.raises(
        TemplateError,
        match=r"servers\.frozen: chat_template_kwargs\.enable_thinkin: .* write enable_thinking,",
    ):
        form(served(own(tmp_path, switched), enable_thinkin=False))


@pytest.mark.parametrize(
    "field", [{"chat_template": "own.jinja"}, {"chat_template_kwargs": {"enable_thinking": False}}]
)
def test_an_endpoint_that_is_asked_in_messages_is_told_by_its_parameters(field):
    with pytest.raises(ValueError, match=r"renders; leave it out, and .* parameters: \{chat_temp"):
        EndpointConfig(url="http://host/v1", model="x", **field)


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "enable thinking"])
def test_a_value_that_no_template_reads_is_refused(name):
    with pytest.raises(ValueError, match="is no value of a chat template"):
        ServerConfig(model="x", chat_template_kwargs={name: True})


def test_a_file_that_is_not_there_is_named_by_its_field(tmp_path):
    with pytest.raises(ConfigError, match=r"servers\.frozen\.chat_template: .*none\.jinja cannot"):
        form(served(str(tmp_path / "none.jinja")))


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace("}}<|end|>", "}<|end|>"),
        BODY.replace("m.role", "m.role + 1"),
        "{{ 1 / 0 }}",
        "{% break %}" + BODY,
        "{% include 'other.jinja' %}" + BODY,
    ],
    ids=["syntax", "type", "division", "break", "include"],
)
def test_a_template_that_fails_is_named_by_its_server(tmp_path, body):
    with pytest.raises(TemplateError, match=r"servers\.frozen: pocket:policy: its chat template f"):
        form(served(own(tmp_path, body)))


def test_a_path_is_relative_to_the_folder_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(POCKET, ["servers.frozen.chat_template=own.jinja"])
    assert config.servers["frozen"].chat_template == str(tmp_path / "own.jinja")


def test_a_templates_clock_stands(tmp_path):
    server = served(own(tmp_path, DATED))
    even, odd = datetime(2026, 1, 31, 12, 0), datetime(2026, 1, 31, 12, 1)
    assert form(server, even).open(CHAT) == form(server, even).open(CHAT)
    assert form(server, even).open(CHAT) != form(server, odd).open(CHAT)


def test_a_run_keeps_its_clock_in_its_folder_and_when_it_goes_on(tmp_path):
    run = RunFolder.create(tmp_path / "run", load_config(POCKET))
    run.close()
    assert run.config.template_clock is not None
    with RunFolder.open(tmp_path / "run").checkpoint(0) as folder:
        kept = load_config(folder / "config.yaml")
    assert kept.template_clock == run.config.template_clock
    assert CurioConfig.from_run_config(kept).run_config.template_clock == kept.template_clock


def test_an_algorithm_has_one_clock_for_all_its_processes():
    config = CurioConfig.from_yaml(POCKET)
    assert config.run_config.template_clock is not None
    assert config.run_config == config.run_config


@pytest.mark.parametrize("body", [TONED, "\n" + TONED, "  {% if true %}" + TONED + "{% endif %}"])
def test_defaults_in_a_template_are_what_a_server_would_give_it(tmp_path, body):
    values = {"tone": "good 'sleep' \n", "depth": [1, None, True]}
    body += "{% if depth %}{% endif %}"
    given = form(served(own(tmp_path, body), **values)).open(CHAT)
    defaults = served(own(tmp_path, with_defaults(body, values)))
    assert form(defaults).open(CHAT) == given
    other = defaults.model_copy(update={"chat_template_kwargs": {"tone": "diet"}})
    assert form(other).open(CHAT) != given


@pytest.mark.parametrize("has_file", [True, False])
def test_a_policy_that_is_kept_carries_its_template(tmp_path, has_file):
    folder = tmp_path / "policy"
    shutil.copytree(locate_model("pocket:policy"), folder)
    if not has_file:
        (folder / "chat_template.jinja").write_text(TONED)
    template = own(tmp_path, TONED) if has_file else None
    server = ServerConfig(
        model=str(folder), chat_template=template, chat_template_kwargs={"tone": "good"}
    )
    trained = form(server).open(CHAT)
    keep_template(folder, server.chat_template, server.chat_template_kwargs)
    assert ChatFormat.load(str(folder)).open(CHAT) == trained
    assert form(_evaluated(server, folder).policy_server).open(CHAT) == trained


def _evaluated(server: ServerConfig, folder: Path) -> RunConfig:
    config = load_config(POCKET)
    servers = {**config.servers, config.roles.policy.server: server}
    return serving(config.model_copy(update={"servers": servers}), folder)
