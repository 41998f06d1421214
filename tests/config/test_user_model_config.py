"""User models and attributions that cannot work are refused with what to write instead."""

from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.plan import check_plan, make_plan, read_machine

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
SECOND = "servers.second={model: 'pocket:policy'}"
OWN = "roles.user_model={server: policy, reads: policy_context}"
EDUCATION = ("task={name: education}", "servers.frozen.max_model_len=2048")

REFUSED = {
    "policy as a reader of transcripts": (
        ("roles.user_model.server=policy",),
        "roles.user_model.server: 'policy' serves the policy, whose weights change; write the name "
        "of another server, or roles.user_model.reads: policy_context",
    ),
    "policy as another reader of transcripts": (
        ("roles.user_model.others=[policy]",),
        "roles.user_model.others: 'policy' serves the policy",
    ),
    "another reader without a server": (
        ("roles.user_model.others=[third]",),
        "roles.user_model.others: there is no server 'third'; write one of: frozen, policy",
    ),
    "the same reader twice": (
        ("roles.user_model.others=[frozen]",),
        "roles.user_model.others: 'frozen' is named twice",
    ),
    "the policy's context without the policy's words": (
        ("roles.user_model={server: policy, reads: policy_context, hears: user_words}",),
        "roles.user_model.hears: the policy's context holds its own words",
    ),
    "label orders of the policy's context": (
        ("roles.user_model={server: policy, reads: policy_context, label_orders: 2}",),
        "roles.user_model.label_orders: the policy's context lists no labels",
    ),
    "label orders of a task that lists none": (
        ("roles.user_model.label_orders=2",),
        "roles.user_model.label_orders: the task 'exercise' does not list its labels",
    ),
    "more label orders than there are": (
        (*EDUCATION, "roles.user_model.label_orders=3"),
        "roles.user_model.label_orders: 2 labels have 2 orders",
    ),
    "temperature zero": (
        ("roles.user_model.temperature=0",),
        "roles.user_model.temperature: 0 does not work; write more than 0",
    ),
    "replies of a user who alone is heard": (
        ("rewards.intrinsic.attribution=reply", "roles.user_model.hears=user_words"),
        "rewards.intrinsic.attribution: the policy's own words do not move",
    ),
    "replies with a final potential of zero": (
        ("rewards.intrinsic={attribution: reply, final_potential: zero}",),
        "rewards.intrinsic.attribution: the gains of replies are no differences",
    ),
    "a server too small for another reader": (
        (SECOND, "servers.second.max_model_len=64", OWN, "roles.user_model.others=[second]"),
        "servers.second.max_model_len: the user model's longest context can take",
    ),
}


def check(overrides) -> None:
    check_plan(make_plan(load_config(POCKET, overrides)), read_machine())


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_field_and_what_to_write(case):
    overrides, message = REFUSED[case]
    with pytest.raises(ConfigError) as refused:
        check(overrides)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "overrides",
    [
        (OWN,),
        (SECOND, "roles.user_model={server: second, reads: policy_context}"),
        (SECOND, OWN, "roles.user_model.others=[second]"),
        ("roles.user_model.hears=user_words",),
        ("rewards.intrinsic.attribution=reply",),
    ],
)
def test_works(overrides):
    check((*overrides, "cluster.address=auto"))
