"""A head with more rows than the tokenizer has tokens: those are never sampled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
import torch
from running_servers import Running, transformers_model
from safetensors.torch import load_file, save_file

from curio_ray.known_tokens import unknown_ids
from curio_ray.model_paths import locate_model
from curio_ray.serving.requests import GenerateRequest

pytestmark = pytest.mark.slow

WORDS, ROWS = 128, 160
PROMPT = [int(i) for i in torch.arange(20) * 7 % 50 + 5]


@pytest.fixture(scope="module")
def padded_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pocket policy with 32 more rows, each as likely as the question mark."""
    folder = tmp_path_factory.mktemp("padded") / "model"
    shutil.copytree(locate_model("pocket:policy"), folder)
    weights = load_file(folder / "model.safetensors")
    rows = weights["model.embed_tokens.weight"]
    more = rows[16:17].repeat(ROWS - WORDS, 1)
    weights["model.embed_tokens.weight"] = torch.cat([rows, more])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": ROWS}))
    return str(folder)


@pytest.fixture(
    scope="module",
    params=[
        ("servers.policy.engine=in_process",),
        ("servers.policy.engine=async",),
        ("weights.backend=adapters", "learner.lora={rank: 2, targets: [q_proj]}"),
    ],
    ids=["in_process", "async", "adapters"],
)
def running(
    request: pytest.FixtureRequest, make_running: Callable[..., Running], padded_model: str
) -> Running:
    return make_running(f"servers.policy.model={padded_model}", *request.param)


def test_unknown_ids_are_the_rows_behind_the_tokenizers_last_token(padded_model: str) -> None:
    assert unknown_ids(padded_model) == ((WORDS, ROWS),)
    assert unknown_ids("pocket:policy") == ()


@pytest.mark.parametrize("temperature", [1.0, 1.9])
def test_padded_ids_are_never_sampled_and_log_probs_are_without_them(
    running: Running, padded_model: str, temperature: float
) -> None:
    requests = [
        GenerateRequest(PROMPT, max_tokens=40, seed=seed, temperature=temperature)
        for seed in range(8)
    ]
    model = transformers_model(padded_model)
    for answer in running.ask(requests):
        assert not isinstance(answer, Exception), answer
        assert max(answer.token_ids) < WORDS
        with torch.no_grad():
            logits = model(torch.tensor([PROMPT + answer.token_ids])).logits[0]
        rows = (logits[len(PROMPT) - 1 : -1, :WORDS] / temperature).log_softmax(-1)
        expected = rows.gather(1, torch.tensor(answer.token_ids)[:, None])[:, 0].tolist()
        assert answer.log_probs == pytest.approx(expected, abs=1e-4)


def test_labels_are_read_without_padded_ids(running: Running, padded_model: str) -> None:
    with torch.no_grad():
        logits = transformers_model(padded_model)(torch.tensor([PROMPT])).logits[0, -1, :WORDS]
    [answer] = running.ask([GenerateRequest(PROMPT, label_ids=(16, 20))])
    assert answer.label_log_probs == pytest.approx(
        logits.log_softmax(-1)[[16, 20]].tolist(), abs=1e-4
    )
