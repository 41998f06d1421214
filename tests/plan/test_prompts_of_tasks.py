"""What a task tells the roles is looked at before a run; what they could not use is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_tasks import TravelTask, raising, said, with_method

from curio_ray.dialogue import User
from curio_ray.tasks.base import Message, PolicyAnswer

NO_USER = User("a", 0, {})
PROMPT = TravelTask().user_model_prompt()
COMPARISON = TravelTask().comparison_prompts(NO_USER)["better"]
WRONG_METHODS = {
    "fewer labels than types": (
        ("user_model_prompt", replace(PROMPT, labels=("sea",))),
        "user_model_prompt().labels has 1; give 2, one for each of user_types",
    ),
    "more labels than types": (
        ("user_model_prompt", replace(PROMPT, labels=("sea", "hills", "town"))),
        "user_model_prompt().labels has 3; give 2",
    ),
    "labels that are alike": (
        ("user_model_prompt", replace(PROMPT, labels=("sea", "sea"))),
        "user_model_prompt().labels are 'sea', 'sea'; write each once",
    ),
    "labels in one text": (
        ("user_model_prompt", replace(PROMPT, labels="AB")),
        "user_model_prompt().labels is 'AB' (str); give a tuple of 2",
    ),
    "a label that is a truth": (
        ("user_model_prompt", replace(PROMPT, labels=(False, True))),
        "user_model_prompt().labels holds one that is False (bool); give text",
    ),
    "an empty label": (
        ("user_model_prompt", replace(PROMPT, labels=("sea", ""))),
        "user_model_prompt().labels holds one that is empty",
    ),
    "no prompt": (("user_model_prompt", None), "user_model_prompt() gives None; give curio_ray"),
    "an empty question": (
        ("user_model_prompt", replace(PROMPT, question="")),
        "user_model_prompt().question is empty",
    ),
    "one verdict": (
        ("reward_model_prompt", replace(PROMPT, labels=("yes",))),
        "reward_model_prompt(user).labels has 1; give 2 or more",
    ),
    "a judge that fails": (
        ("reward_model_prompt", raising(KeyError("ideal"))),
        "KeyError: 'ideal'",
    ),
    "other labels in another order": (
        ("user_model_prompt_in_order", replace(PROMPT, labels=("A", "B", "C"))),
        "user_model_prompt_in_order(order).labels has 3; give 2",
    ),
    "a quality term with one label": (
        ("quality_prompts", {"kind": replace(PROMPT, labels=("yes",))}),
        "quality_prompts()['kind'].labels has 1; give 2 or more",
    ),
    "quality terms in a list": (
        ("quality_prompts", [PROMPT]),
        "quality_prompts gives a list; give",
    ),
    "three labels to compare": (
        ("comparison_prompts", {"better": replace(COMPARISON, labels=("1", "2", "3"))}),
        "comparison_prompts(user)['better'].labels has 3; give 2, one for each dialogue",
    ),
    "an answer of other types": (
        ("policy_answer", PolicyAnswer("You like the", ("sea",))),
        "policy_answer().labels has 1; give 2",
    ),
    "an empty opening": (("opening", ""), "opening(user) is empty; give words"),
    "an opening that is none": (("opening", None), "opening(user) is None; give text"),
    "an empty chat": (("policy_prompt", []), "policy_prompt(user) is empty; end it with Message"),
    "a chat that is text": (
        ("policy_prompt", "Ask."),
        "policy_prompt(user) is 'Ask.' (str); give a",
    ),
    "a chat of dicts": (
        ("policy_prompt", [{"role": "user", "content": "Hi"}]),
        "policy_prompt(user) has {'role': 'user', 'content': 'Hi'} (dict) at 0; give",
    ),
    "a chat that the assistant ends": (
        ("policy_prompt", [Message("user", "Where shall I go?"), Message("assistant", "To sea.")]),
        "policy_prompt(user) ends with the role 'assistant'; end it with Message('user', opening",
    ),
    "a chat that ends with the system": (
        ("policy_prompt", [Message("system", "Ask.")]),
        "policy_prompt(user) ends with the role 'system'",
    ),
    "a chat that ends with other words": (
        ("policy_prompt", [Message("user", "Hello")]),
        "policy_prompt(user) ends with 'Hello'; end it with opening(user): 'Where shall I go?'",
    ),
    "a second system message": (
        (
            "policy_prompt",
            [Message("user", "Hi"), Message("system", "Ask."), Message("user", "Hi")],
        ),
        "policy_prompt(user) has a system message at 1; put it first",
    ),
    "a role of its own": (
        ("policy_prompt", [Message("agent", "Hi"), Message("user", "Where shall I go?")]),  # type: ignore[arg-type]
        "policy_prompt(user) has the role 'agent'; write one of: system, user, assistant",
    ),
    "a persona of no words": (("environment_prompt", "\n"), "environment_prompt(user) is empty"),
    "a persona that fails": (
        ("environment_prompt", raising(IndexError("list index out of range"))),
        "environment_prompt fails: IndexError: list index out of range",
    ),
    "an end that is text": (("is_over", "no"), "is_over(turns) gives 'no'; give True or False"),
    "an end that fails": (
        ("is_over", raising(AttributeError("x"))),
        "is_over fails: AttributeError",
    ),
    "a score above 1": (("rule_score", 7.0), "rule_score(user, turns) gives 7.0; give 0 to 1"),
    "a score of nan": (
        ("rule_score", float("nan")),
        "rule_score(user, turns) gives nan; give 0 to 1",
    ),
    "a score that is text": (("rule_score", "good"), "rule_score(user, turns) gives 'good'"),
    "closing words that are none": (
        ("closing_words", None),
        "closing_words() gives None; give text",
    ),
    "a measure that fails": (
        ("is_relevant", raising(ValueError("x"))),
        "is_relevant fails: Val",
    ),
    "a belief over other types": (
        ("exact_belief", [1.0]),
        "exact_belief(user, questions) has the shape (1,); give one probability for each of the",
    ),
}


@pytest.mark.parametrize("case", WRONG_METHODS)
def test_what_a_task_says_wrongly_is_named_with_what_to_say(case: str) -> None:
    (name, given), message = WRONG_METHODS[case]
    assert message in said(with_method(name, given))
