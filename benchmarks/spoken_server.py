"""A model server whose utterances have the lengths of real conversations."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from spoken_lengths import BY_SERVER

from curio_ray.serving.requests import GenerateRequest, GenerateResult
from curio_ray.serving.server import ModelServer


class SpokenServer(ModelServer):
    """What it samples has the length that follows from the seed, and no stop token ends it."""

    def _generate(self, request: GenerateRequest) -> Awaitable[GenerateResult]:
        if request.seed is not None:
            length = BY_SERVER[self.name].draw(request.seed)
            request = replace(request, max_tokens=length, stop_token_ids=())
        return super()._generate(request)
