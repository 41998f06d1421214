"""What the engine in the server's process does with answers that vLLM spoils."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from curio_ray.errors import ServerError
from curio_ray.serving import in_process_engine
from curio_ray.serving.in_process_engine import InProcessEngine
from curio_ray.serving.requests import GenerateRequest, GenerateResult

DEADLINE_S = 60.0


@dataclass
class FaultyEngine:
    """A fake in vLLM's place that samples one token, and makes a fault of the second request."""

    fault: str
    keys: list[str] = field(default_factory=list)
    engine_core: Any = field(default_factory=lambda: SimpleNamespace(shutdown=lambda: None))
    model_config: Any = field(default_factory=lambda: SimpleNamespace(get_vocab_size=lambda: 128))

    def add_request(self, key: str, prompt: Any, parameters: Any) -> None:
        if self.fault == "cannot be added" and key == "1":
            raise MemoryError
        self.keys.append(key)

    def has_unfinished_requests(self) -> bool:
        return bool(self.keys)

    def step(self) -> list[Any]:
        keys, self.keys = self.keys, []
        return [self._output(key) for key in keys]

    def set_weight_version(self, version: str) -> None:
        pass

    def _output(self, key: str) -> Any:
        spoilt = self.fault == "has no log-probs" and key == "1"
        completion = SimpleNamespace(
            token_ids=[7],
            logprobs=None if spoilt else [{7: SimpleNamespace(logprob=-1.0)}],
            weight_versions=[SimpleNamespace(version="0", start=0, end=1)],
            finish_reason="length",
        )
        return SimpleNamespace(request_id=key, outputs=[completion], num_cached_tokens=0)


def ask(
    monkeypatch: pytest.MonkeyPatch, fault: str, count: int = 3
) -> list[GenerateResult | BaseException]:
    monkeypatch.setattr(in_process_engine, "_load", lambda arguments: FaultyEngine(fault))

    async def converse() -> list[GenerateResult | BaseException]:
        engine = InProcessEngine("policy", {})
        await engine.start()
        answers = [engine.generate(GenerateRequest([5])) for _ in range(count)]
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.gather(*answers, return_exceptions=True)
        finally:
            await engine.shutdown()

    return asyncio.run(converse())


def test_an_answer_without_log_probs_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first, spoilt, last = ask(monkeypatch, "has no log-probs")
    assert isinstance(spoilt, ServerError)
    assert [answer.token_ids for answer in (first, last)] == [[7], [7]]


def test_an_engine_that_fails_while_requests_enter_fails_them_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for answer in ask(monkeypatch, "cannot be added"):
        assert isinstance(answer, ServerError)
