"""How the user is sampled reaches servers and endpoints; nobody else's sampling is cut."""

from typing import Any

import pytest

from curio_ray.config.servers import EnvironmentRole, PolicyRole
from curio_ray.roles.environment import EnvironmentModel
from curio_ray.serving.openai_api import chat_body, completion_body
from curio_ray.serving.requests import ChatRequest, GenerateRequest, sampling_parameters

CUT = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.1}
NEUTRAL = {"top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}


def environment(**fields: Any) -> dict[str, Any]:
    role = EnvironmentRole(server="frozen", **fields)
    return EnvironmentModel(None, None, role).sampling  # type: ignore[arg-type]


def test_a_server_samples_the_user_as_the_role_says() -> None:
    parameters = sampling_parameters(GenerateRequest([1], seed=3, **environment(**CUT)))
    assert {name: getattr(parameters, name) for name in CUT} == CUT


def test_a_server_samples_whole_distributions_by_default() -> None:
    for request in (GenerateRequest([1]), GenerateRequest([1], **environment(temperature=1.0))):
        parameters = sampling_parameters(request)
        assert {name: getattr(parameters, name) for name in NEUTRAL} == NEUTRAL


def test_completions_name_every_field_so_that_no_default_of_the_endpoint_holds() -> None:
    assert completion_body(GenerateRequest([1], **environment(**CUT))).items() >= CUT.items()
    assert completion_body(GenerateRequest([1])).items() >= NEUTRAL.items()


def test_chat_names_what_openais_api_has_and_the_rest_where_it_is_asked_for() -> None:
    assert chat_body(ChatRequest([], **environment(**CUT))).items() >= CUT.items()
    plain = chat_body(ChatRequest([], **environment(temperature=1.0)))
    assert plain["top_p"] == 1.0
    assert not {"top_k", "repetition_penalty"} & plain.keys()
    greedy = chat_body(ChatRequest([], **environment()))
    assert not {"top_p", "top_k", "repetition_penalty"} & greedy.keys()


@pytest.mark.parametrize("field", ["top_p", "top_k", "repetition_penalty"])
def test_the_policys_distribution_cannot_be_cut(field: str) -> None:
    assert field not in PolicyRole.model_fields
    assert "whole distribution" in PolicyRole.elsewhere[field]
