"""A supervised start from a folder: its files stay as they are, and its weights must be whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError, TemplateError
from curio_ray.roles.chat import ChatFormat
from curio_ray.supervised.fresh import CHAT_TEMPLATE
from curio_ray.supervised.start import train_role
from curio_ray.tasks.base import Message
from curio_ray.tasks.registry import make_task

EDUCATION = Path(__file__).parents[2] / "configs" / "education_pocket.yaml"
SAMPLING = '{"eos_token_id": 2, "temperature": 0.9, "top_p": 0.6}'


def config(start: str) -> RunConfig:
    return load_config(
        EDUCATION,
        [
            "task.options.turns=3",
            "supervised.fresh={layers: 1, width: 64, heads: 2, vocabulary: 700}",
            "supervised.policy.epochs=1",
            f"supervised.policy.start={start}",
        ],
    )


def quietly(_: str) -> None:
    """Says nothing."""


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A model that learned for one epoch, with the sampling defaults of older models."""
    made = config("fresh")
    train_role(made, make_task(made.task, made.seed), "policy", tmp_path, quietly)
    folder = (tmp_path / "policy").rename(tmp_path / "start")
    (folder / "generation_config.json").write_text(SAMPLING)
    return folder


def test_what_is_learned_from_a_folder_keeps_its_files_byte_for_byte(
    start: Path, tmp_path: Path
) -> None:
    again = config(str(start))
    train_role(again, make_task(again.task, again.seed), "policy", tmp_path, quietly)
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "policy" / name).read_bytes() == (start / name).read_bytes()
    assert json.loads((tmp_path / "policy" / "supervised.json").read_text())["start"] == str(start)


def test_a_start_whose_template_no_dialogue_can_use_is_refused_before_training(
    start: Path, tmp_path: Path
) -> None:
    template = (start / "chat_template.jinja").read_text()
    words = template.replace("'<|assistant|>' }}{% endif %}", "'<|assistant|>Well, ' }}{% endif %}")
    assert words != template
    (start / "chat_template.jinja").write_text(words)
    refused = config(str(start))
    with pytest.raises(TemplateError, match=r"policy\.start: servers\.policy: .* token"):
        train_role(refused, make_task(refused.task, refused.seed), "policy", tmp_path, quietly)
    assert not (tmp_path / "policy").exists()


def test_what_is_learned_carries_the_template_of_the_server_that_will_serve_it(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{% if calm is defined and calm %}<|system|><|end|>{% endif %}" + CHAT_TEMPLATE)
    values = {"chat_template": str(own), "chat_template_kwargs": {"calm": True}}
    made = config("fresh")
    server = made.servers["policy"].model_copy(update=values)
    made = made.model_copy(update={"servers": {**made.servers, "policy": server}})
    train_role(made, make_task(made.task, made.seed), "policy", tmp_path, quietly)
    chat = ChatFormat.load(str(tmp_path / "policy"))
    start = [Message("user", "Hello.")]
    assert chat.tokenizer.decode(chat.open(start)[:2]) == "<|system|><|end|>"


def test_a_start_whose_weights_lack_a_tensor_is_refused(start: Path, tmp_path: Path) -> None:
    values = json.loads((start / "config.json").read_text())
    layers = values["num_hidden_layers"] + 1
    (start / "config.json").write_text(json.dumps(values | {"num_hidden_layers": layers}))
    refused = config(str(start))
    with pytest.raises(ConfigError, match=r"supervised.policy.start: .*the weights lack model"):
        train_role(refused, make_task(refused.task, refused.seed), "policy", tmp_path, quietly)
