"""vLLM's control plane for senders on GPUs, over the servers' Ray actors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray


class RayControl:
    """Calls every replica and waits for all; answers vLLM's `VLLMWeightSyncClient` protocol.

    `version` is stamped by the next `finish_weight_update` that names none.
    """

    def __init__(self, servers: Sequence[Any], deadline_s: float) -> None:
        self._servers = servers
        self._deadline_s = deadline_s
        self.version = 0

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Connect every replica. Replicas of an NCCL group follow each other in rank."""
        offset = init_info.get("rank_offset")
        calls = []
        for number, server in enumerate(self._servers):
            info = dict(init_info)
            if offset is not None:
                workers = (init_info["world_size"] - offset) // len(self._servers)
                info["rank_offset"] = offset + number * workers
            calls.append(server.init_weight_transfer.remote(info))
        ray.get(calls, timeout=self._deadline_s)

    def start_weight_update(self) -> None:
        """Pause every replica."""
        self._call("start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Let every replica receive one chunk."""
        self._call("update_weights", update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Let every replica go on with the new weights."""
        version = self.version if weight_version is None else int(weight_version)
        self._call("finish_weight_update", version)

    def _call(self, method: str, *arguments: Any) -> None:
        calls = [getattr(server, method).remote(*arguments) for server in self._servers]
        ray.get(calls, timeout=self._deadline_s)
