"""A tiny language model, random sequences, and learners on one rank in this process.

Where there is a GPU the learners are on it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curio_ray.config import RunConfig, parse_config
from curio_ray.config.learner import LearnerConfig
from curio_ray.learner.sequences import TrainingSequence

VOCABULARY = 64
ON_GPU = torch.cuda.is_available()


def build_model(folder: Path, **options: Any) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    values: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "initializer_range": 0.3,
    }
    LlamaForCausalLM(LlamaConfig(**(values | options))).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """A word for every id."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = {f"w{token}": token for token in range(VOCABULARY)}
    Tokenizer(WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_model(tmp_path_factory.mktemp("policy")))


@pytest.fixture(scope="session")
def untied_model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_model(tmp_path_factory.mktemp("untied"), tie_word_embeddings=False))


@pytest.fixture(scope="session")
def wide_model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With some matrices large enough for ZeRO-3 to divide them; it keeps small ones whole."""
    return str(build_model(tmp_path_factory.mktemp("wide"), intermediate_size=3200))


@pytest.fixture(scope="session")
def make_sequences() -> Callable[..., list[TrainingSequence]]:
    """Random dialogues of two or three policy turns, with credit."""

    def make(count: int, seed: int = 0) -> list[TrainingSequence]:
        rng = np.random.default_rng(seed)
        return [_random_sequence(rng) for _ in range(count)]

    return make


def _random_sequence(rng: np.random.Generator) -> TrainingSequence:
    parts = [(rng.integers(2, 8), False)]
    for _ in range(rng.integers(2, 4)):
        parts += [(rng.integers(1, 5), True), (rng.integers(1, 5), False)]
    mask = np.concatenate([np.full(length, sampled) for length, sampled in parts])
    length = len(mask)
    starts = np.flatnonzero(mask & ~np.concatenate([[False], mask[:-1]]))

    def on_actions(values: np.ndarray) -> np.ndarray:
        return np.where(mask, values, 0).astype(np.float32)

    return TrainingSequence(
        token_ids=rng.integers(0, VOCABULARY, length).astype(np.int32),
        action_mask=mask,
        behaviour_log_probs=on_actions(rng.normal(-4, 0.3, length)),
        value_positions=starts - 1,
        advantages=on_actions(rng.normal(size=length)),
        value_targets=rng.normal(size=len(starts)).astype(np.float32),
    )


@pytest.fixture(scope="session")
def hugging_face_log_probs() -> Callable[..., np.ndarray]:
    """Log-probabilities [L] of a sequence alone, from the plain model; 0 at the first token."""

    def log_probs(model: Any, token_ids: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        ids = torch.from_numpy(token_ids.astype(np.int64))
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0].float() / temperature
        chosen = logits.log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0]
        return np.concatenate([[0], chosen.numpy()]).astype(np.float32)

    return log_probs


@pytest.fixture(scope="module", autouse=True)
def local_rank() -> Iterator[None]:
    """The variable that DeepSpeed reads whenever it makes an engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_RANK", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def process_group() -> Iterator[None]:
    from curio_ray.learner.deepspeed_setup import join_process_group

    torch.set_num_threads(1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = dict(os.environ)
    join_process_group(0, 1, "127.0.0.1", port, "nccl" if ON_GPU else "gloo", 60)
    # What later tests start from this process would otherwise try to join this group.
    os.environ.clear()
    os.environ.update(before)
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="session")
def make_engine(process_group: None, model_folder: str) -> Callable[..., Any]:
    from curio_ray.learner.engine import LearnerEngine

    def make(
        model: str = model_folder,
        temperature: float = 1.0,
        unknown: Any = (),
        iterations: int = 1,
        learns_value: bool = True,
        **fields: Any,
    ) -> LearnerEngine:
        # made-up dialogues were sampled by no policy, so that every update would go too far
        made_up = {"max_update_kl": None}
        given = {"tokens_per_pack": 64, "gpus_per_rank": int(ON_GPU)} | made_up | fields
        config = LearnerConfig(**given)
        return LearnerEngine(model, config, temperature, 0, unknown, iterations, learns_value)

    return make


@pytest.fixture(scope="session")
def policy_weights() -> Callable[[Any], dict[str, np.ndarray]]:
    def weights(engine: Any) -> dict[str, np.ndarray]:
        return {
            name: tensor.to("cpu", copy=True).numpy()
            for name, tensor in engine.policy_weights.named_tensors(torch.float32)
        }

    return weights


@pytest.fixture(scope="session")
def make_run_config(model_folder: str) -> Callable[..., RunConfig]:
    def make(model: str = model_folder, **learner: Any) -> RunConfig:
        return parse_config(
            {
                "output": "unused",
                "task": {"name": "unused"},
                "servers": {"policy": {"model": model}, "frozen": {"model": model}},
                "roles": {
                    "policy": {"server": "policy"},
                    "environment": {"server": "frozen"},
                    "user_model": {"server": "frozen"},
                    "reward_model": {"server": "frozen"},
                },
                "learner": {"threads": 1, "tokens_per_pack": 64, "max_update_kl": None} | learner,
                "training": {"iterations": 1, "dialogues_per_iteration": 8},
            }
        )

    return make
