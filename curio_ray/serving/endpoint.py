"""The client of an OpenAI-compatible endpoint: deadlines, another try after a pause, a bound."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from curio_ray.config.servers import EndpointConfig
from curio_ray.errors import (
    ContextError,
    DeadlineError,
    NotServingError,
    PreflightError,
    ServerError,
)
from curio_ray.serving.openai_api import (
    chat_body,
    chat_result,
    completion_body,
    completion_result,
    error_detail,
)
from curio_ray.serving.outage import OutageClock
from curio_ray.serving.requests import ChatRequest, ChatResult, GenerateRequest, GenerateResult

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
CHECK_DEADLINE_S = 10.0
# Shorter than the five seconds after which vLLM's server closes an idle connection.
KEEP_ALIVE_S = 2.0
TOO_MANY_REQUESTS = 429
MOST_NAMES = 10
# in the words of vLLM and OpenAI: "maximum context length", "context_length_exceeded"
TOO_LONG = re.compile(r"context.length|maximum model length", re.IGNORECASE)


class _BusyError(Exception):
    """The endpoint cannot answer now.

    `status` is None where it cannot be reached; `retry_after_s` is what it asks to wait, if any.
    """

    def __init__(
        self, problem: str, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(problem)
        self.status = status
        self.retry_after_s = retry_after_s


class EndpointClient:
    """Asks an endpoint. All calls must come from one event loop.

    Args:
        name: the server's in the config.
        config: its endpoint.
        max_in_flight: most requests of this client at once.

    Raises:
        ServerError: the environment does not hold the key.
    """

    def __init__(self, name: str, config: EndpointConfig, max_in_flight: int) -> None:
        self.name = name
        self._config = config
        self._field = f"servers.{name}"
        self._label = f"server '{name}' at {config.url}"
        self._key = _key(name, config)
        self._in_flight = max_in_flight
        self._slots = asyncio.Semaphore(max_in_flight)
        self._session: aiohttp.ClientSession | None = None
        self._outages = OutageClock()

    @property
    def outage_s(self) -> float:
        """Seconds until now during which the endpoint answered nobody."""
        return self._outages.seconds

    async def generate(self, request: GenerateRequest, routing_key: str) -> GenerateResult:
        """Answer one request in token ids.

        Raises:
            ServerError: the endpoint refused it, or could not answer for `retry_for_s`.
            DeadlineError: one try took longer than `request_deadline_s`.
        """
        answer = await self._post("/completions", completion_body(request))
        try:
            return completion_result(request, answer)
        except ServerError as error:
            raise ServerError(f"{self._label} {error}") from error

    async def chat(self, request: ChatRequest) -> ChatResult:
        """Answer one request in messages; errors are those of `generate`."""
        answer = await self._post("/chat/completions", chat_body(request))
        try:
            return chat_result(request, answer)
        except ServerError as error:
            raise ServerError(f"{self._label} {error}") from error

    async def served_models(self, deadline_s: float) -> list[str] | None:
        """The names of the models there, or None where the endpoint does not tell.

        Raises:
            ServerError: it is down, busy, or refuses the key.
            DeadlineError: it did not answer in time.
        """
        try:
            status, answer, retry_after_s = await self._send("GET", "/models", None, deadline_s)
            self._raise_if_busy(status, answer, retry_after_s)
        except _BusyError as problem:
            raise ServerError(f"{self._label} {problem}; {self._advice_if_down()}") from problem
        if status in (404, 405):
            return None
        found = self._accepted(status, answer, "/models")
        listed = found.get("data")
        return [each["id"] for each in listed] if isinstance(listed, list) else None

    async def close(self) -> None:
        """End the connections; what was not answered fails."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        fields = {"model": self._config.model, **body, **self._config.parameters}
        fields = {name: value for name, value in fields.items() if value is not None}
        async with self._slots:
            began, pause = time.monotonic(), FIRST_PAUSE_S
            while True:
                try:
                    return await self._try(path, fields)
                except _BusyError as problem:
                    since = min(began, self._outages.begin())
                    left = since + self._config.retry_for_s - time.monotonic()
                    if left <= 0:
                        raise self._given_up(problem) from problem
                    wait = min(self._pause(problem, pause), left)
                    logger.warning("%s %s; again in %.1f s", self._label, problem, wait)
                    await asyncio.sleep(wait)
                    pause *= 2

    async def _try(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        deadline_s = self._config.request_deadline_s
        status, answer, retry_after_s = await self._send("POST", path, fields, deadline_s)
        self._raise_if_busy(status, answer, retry_after_s)
        self._outages.end()
        return self._accepted(status, answer, path)

    async def _send(
        self, method: str, path: str, fields: dict[str, Any] | None, deadline_s: float
    ) -> tuple[int, str, float | None]:
        """Status, body and seconds to wait of one answer."""
        import aiohttp

        url = f"{self._config.url}{path}"
        try:
            async with (
                asyncio.timeout(deadline_s),
                self._connections().request(method, url, json=fields, proxy=_proxy(url)) as answer,
            ):
                return answer.status, await answer.text(), _retry_after_s(answer.headers)
        except TimeoutError as error:
            raise DeadlineError(
                f"{self._label} did not answer within {deadline_s:g} s; raise "
                f"{self._field}.request_deadline_s, lower {self._field}.max_in_flight, or look at "
                "the endpoint"
            ) from error
        except aiohttp.InvalidURL as error:
            raise ServerError(f"{self._label} is no address; correct {self._field}.url") from error
        except aiohttp.ClientError as error:
            reason = str(error) or type(error).__name__
            raise _BusyError(f"cannot be reached ({self._without_key(reason)})") from error

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            connector = aiohttp.TCPConnector(limit=self._in_flight, keepalive_timeout=KEEP_ALIVE_S)
            headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
            # The deadline of each try is ours, and covers the connection as well.
            unbounded = aiohttp.ClientTimeout(total=None, sock_connect=None)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=headers, timeout=unbounded
            )
        return self._session

    def _raise_if_busy(self, status: int, answer: str, retry_after_s: float | None) -> None:
        if status == TOO_MANY_REQUESTS or status >= 500:
            problem = f"answers HTTP {status}{self._detail(answer)}"
            raise _BusyError(problem, status, retry_after_s)

    def _accepted(self, status: int, answer: str, path: str) -> dict[str, Any]:
        if status != 200:
            too_long = status == 400 and TOO_LONG.search(answer)
            kind = ContextError if too_long else ServerError
            raise kind(f"{self._label} {self._refusal(status, answer, path)}")
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServerError(
                f"{self._label} answers {path} with something else than OpenAI's API; correct "
                f"{self._field}.url, which usually ends in /v1"
            )
        return found

    def _refusal(self, status: int, answer: str, path: str) -> str:
        if status in (401, 403):
            variable = self._config.api_key_env
            if variable is None:
                return (
                    f"asks for a key (HTTP {status}); write the name of the environment variable "
                    f"that holds it in {self._field}.api_key_env"
                )
            return (
                f"refuses the key (HTTP {status}); put a valid one into the environment variable "
                f"{variable}"
            )
        detail = self._detail(answer)
        if status == 404:
            return (
                f"has no model '{self._config.model}', or no {path}: HTTP 404{detail}; correct "
                f"{self._field}.model, or {self._field}.url, which usually ends in /v1"
            )
        return f"refused a request: HTTP {status}{detail}"

    def _pause(self, problem: _BusyError, pause: float) -> float:
        if problem.retry_after_s is not None:
            return problem.retry_after_s
        # full jitter would let some ask again at once
        return min(pause, self._config.longest_pause_s) * random.uniform(0.75, 1.25)

    def _given_up(self, problem: _BusyError) -> ServerError:
        field, seconds = self._field, self._config.retry_for_s
        if problem.status == TOO_MANY_REQUESTS:
            advice = (
                f"lower {field}.max_in_flight, raise {field}.retry_for_s, or ask for a higher limit"
            )
        else:
            advice = f"{self._advice_if_down()}, or raise {field}.retry_for_s"
        return NotServingError(f"{self._label} {problem} for {seconds:g} s; {advice}")

    def _advice_if_down(self) -> str:
        return f"start it, wait until it is ready, or correct {self._field}.url"

    def _detail(self, answer: str) -> str:
        detail = error_detail(self._without_key(answer))
        return f" ({detail})" if detail else ""

    def _without_key(self, text: str) -> str:
        return text if self._key is None else text.replace(self._key, "***")


def check_endpoints(endpoints: Mapping[str, EndpointConfig]) -> None:
    """Ask every endpoint which models it has, before anything starts.

    Raises:
        PreflightError: one is down, refuses the key or lacks the model; one line for each.
    """

    async def check_all() -> list[str | None]:
        checks = (_problem(name, config) for name, config in endpoints.items())
        return list(await asyncio.gather(*checks))

    if endpoints and (problems := [each for each in asyncio.run(check_all()) if each]):
        raise PreflightError("an endpoint cannot be used:\n  " + "\n  ".join(problems))


async def _problem(name: str, config: EndpointConfig) -> str | None:
    try:
        client = EndpointClient(name, config, max_in_flight=1)
    except ServerError as error:
        return str(error)
    try:
        known = await client.served_models(min(CHECK_DEADLINE_S, config.request_deadline_s))
    except (ServerError, DeadlineError) as error:
        return str(error)
    finally:
        await client.close()
    if known is None or config.model in known:
        return None
    others = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return (
        f"servers.{name}.model: {config.url} has no model '{config.model}'; write one of: "
        f"{', '.join(known[:MOST_NAMES])}{others}"
    )


def _key(name: str, config: EndpointConfig) -> str | None:
    variable = config.api_key_env
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ServerError(
            f"servers.{name}.api_key_env: the environment variable {variable} is not set; set it "
            "to the key where the command and its dialogue runners run"
        )
    return key


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The header in seconds; its other form, a date, is not used by such services."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None
