"""vLLM's own OpenAI-compatible server with the packaged world model, as others would start it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from curio_ray.model_paths import locate_model

KEY_VARIABLE, KEY = "CURIO_TEST_KEY", "sesame-open-4711"
START_DEADLINE_S = 480
STOP_DEADLINE_S = 60


def free_port() -> int:
    """A port of the loopback interface that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class VllmServe:
    """`vllm serve` in processes of its own, which end with `stop`."""

    def __init__(self, log: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        self._health = f"http://127.0.0.1:{port}/health"
        self._log = log
        # The module that the command runs: it also works where the distribution has another name.
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server",
            *("--model", locate_model("pocket:world"), "--served-model-name", "world"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--dtype", "float32", "--max-model-len", "512", "--block-size", "32"),
            *("--kv-cache-memory-bytes", str(2**26), "--enforce-eager"),
            *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096"),
        ]  # fmt: skip
        environment = {
            "OMP_NUM_THREADS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "TORCHDYNAMO_DISABLE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_API_KEY": KEY,
        }
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env=os.environ | environment,
            )  # fmt: skip

    def wait_ready(self) -> None:
        """Wait until it answers."""
        give_up = time.monotonic() + START_DEADLINE_S
        while not self._is_healthy():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > give_up:
                self.stop()
                raise AssertionError(f"vllm serve did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.5)

    def stop(self) -> None:
        """End all its processes."""
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(self._health, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False
