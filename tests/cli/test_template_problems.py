"""`curio plan` finds the chat templates that cannot work, by the server that has them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from curio_ray.model_paths import locate_model

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
BODY = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ALTERNATING = (
    "{% set chat = messages[1:] if messages[0].role == 'system' else messages %}"
    "{% for m in chat %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('take turns') }}{% endif %}<|{{ m.role }}|>"
    "{% if loop.first and messages[0].role == 'system' %}{{ messages[0].content }} . {% endif %}"
    "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
REFUSED = {
    "words in the model's mouth": (
        BODY.replace("<|assistant|>", "<|assistant|>sleep good ."),
        "token 2 is ['sleep'] when appended",
    ),
    "a broken expression": (BODY.replace("}}<|end|>", "}<|end|>"), "fails in line 1: TemplateSy"),
    "a closing tag too few": (BODY.replace("{% endfor %}", ""), "fails in line 1: TemplateSyn"),
    "an unknown filter": (BODY.replace("m.content", "m.content | tidy"), "No filter named 'tidy'"),
    "a refusal of everything": ("{{ raise_exception('no') }}", "TemplateError: no"),
    "contents that are left out": (BODY.replace("{{ m.content }}", ""), "does not keep the mess"),
    "messages without an end": (BODY.replace("<|end|>", " over "), "not with a special token"),
    "earlier words that change": (
        BODY.replace("m.content", "m.content if loop.index0 + 2 > messages | length else 'diet'"),
        "does not keep the messages' contents",
    ),
    "thoughts that are dropped": (
        BODY.replace("m.content", "m.content.split('</think>')[-1].lstrip()"),
        "leaves <think> ... </think> out of earlier messages",
    ),
    "a thought that is opened": (BODY.replace("<|assistant|>", "<|assistant|><think>\n"), "<think"),
    "thinking that is on": (
        BODY.replace("<|assistant|>", "<|assistant|>{% if not enable_thinking | default(true) %}"
                     "<think>\n\n</think>\n\n{% endif %}"),
        "write chat_template_kwargs: {enable_thinking: false}",
    ),
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path):
    def make(template: str) -> str:
        folder = tmp_path / "model"
        shutil.copytree(locate_model("pocket:world"), folder)
        (folder / "chat_template.jinja").write_text(template)
        return str(folder)

    return make


@pytest.mark.parametrize("server", ["policy", "frozen"])
@pytest.mark.parametrize("kind", list(REFUSED))
def test_a_template_that_cannot_work_is_found_by_its_server(curio, model, server, kind):
    template, problem = REFUSED[kind]
    ended = curio("plan", str(POCKET), "--set", f"servers.{server}.model={model(template)}")
    assert ended.code == 2
    assert "Traceback" not in ended.error
    line = next(line for line in ended.error.splitlines() if problem in line)
    role = "roles.policy.server" if server == "policy" else "roles.environment.server"
    assert line.strip().startswith(role)
    assert f"servers.{server}: " in line


def test_a_fault_of_a_server_is_told_once_with_all_its_roles(curio, model):
    template = REFUSED["a broken expression"][0]
    ended = curio("plan", str(POCKET), "--set", f"servers.frozen.model={model(template)}")
    found = [line for line in ended.error.splitlines() if "its chat template fails" in line]
    assert [line.partition(": ")[0].strip() for line in found] == [
        "roles.environment.server, roles.user_model, roles.reward_model.server"
    ]


def test_a_template_that_raises_where_roles_do_not_alternate_is_cast_so_that_they_do(curio, model):
    ended = curio("plan", str(POCKET), "--set", f"servers.frozen.model={model(ALTERNATING)}")
    assert ended.code == 0, ended.error


def test_a_file_that_is_not_there_is_named_by_its_field(curio):
    ended = curio("plan", str(POCKET), "--set", "servers.frozen.chat_template=none.jinja")
    assert ended.code == 2
    assert "servers.frozen.chat_template: " in ended.error
    assert "none.jinja cannot be read" in ended.error


def test_the_value_that_the_error_names_mends_it(curio, model):
    folder = model(REFUSED["thinking that is on"][0])
    mended = "servers.frozen.chat_template_kwargs={enable_thinking: false}"
    ended = curio("plan", str(POCKET), "--set", f"servers.frozen.model={folder}", "--set", mended)
    assert ended.code == 0, ended.error


def test_the_models_of_an_evaluation_are_looked_at_as_well(curio, model):
    folder = model(REFUSED["words in the model's mouth"][0])
    other = f"servers.other={{model: {folder}}}"
    short = "task.options.questions=3"
    for role in ("judge", "second_user_model"):
        chosen = f"evaluation.{role}={{server: other}}"
        ended = curio("plan", str(POCKET), "--set", other, "--set", chosen, "--set", short)
        assert ended.code == 2
        assert f"evaluation.{role}" in ended.error
        assert "servers.other: " in ended.error
