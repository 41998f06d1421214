"""What is said in the pocket world: prompts, questions, replies, recommendations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from curio_ray.tasks.base import ReadingPrompt
from curio_ray.tasks.exercise.rule import ATTRIBUTES, STRATEGIES, Persona

OPENING = "hello , what exercise fits me ?"
# Background attributes whose value a user may state as the context: the weather, the mood.
CONTEXTS = ("weather", "stress")
CLOSING = "okay , you recommend ?"
PUZZLED = "what ?"
THANKS = "thanks ."
MAX_QUESTIONS = 8

# Things to say that make no sense here: the user answers them with "what ?".
SMALL_TALK = (
    "hello , how is it today ?",
    "please tell me about you .",
    "nice , and more ?",
    "okay , maybe not .",
    "sorry , but which ?",
    "very well .",
)

POLICY_NAME = "adviser"
USER_NAME = "user"

READING_INSTRUCTION = "guess the ideal exercise ."
USER_MODEL_QUESTION = "which exercise fits ?"
REWARD_MODEL_LABELS = ("no", "yes")


def policy_instruction(questions: int) -> str:
    """The policy's system prompt; it says after how many questions to recommend."""
    return f"you advise on exercise . ask {questions} ."


def persona_instruction(persona: Persona) -> str:
    """The environment model's system prompt: every attribute with its value right behind it."""
    facts = " ".join(answer(attribute, value) for attribute, value in persona.items())
    return f"you are the user . {facts}"


def reward_model_question(ideal: str) -> str:
    """What the reward model is asked; the ideal stands close to the recommendation it judges."""
    return f"judge the exercise . ideal {ideal} : does it fit ?"


def question(attribute: str) -> str:
    """The policy's question about an attribute."""
    return f"your {attribute} ?"


def answer(attribute: str, value: str) -> str:
    """The user's statement of an attribute's value."""
    return f"{attribute} {value} ."


def opening(context: str = "") -> str:
    """The user's first words, with what the user says of the context behind them."""
    return f"{OPENING} {context}".rstrip()


def recommendation(strategy: str) -> str:
    """The policy's last words."""
    return f"i recommend {strategy} ."


def asked_attribute(utterance: str) -> str | None:
    """The first attribute that an utterance names, or None."""
    return next((word for word in utterance.split() if word in ATTRIBUTES), None)


def recommended_strategies(utterance: str) -> set[str]:
    """Every strategy that directly follows the word "recommend"."""
    pairs = pairwise(utterance.split())
    return {second for first, second in pairs if first == "recommend" and second in STRATEGIES}


def reply(persona: Persona, utterance: str) -> str:
    """What a user with this persona says to an utterance of the policy.

    A recommendation is thanked for; the first attribute named is answered with its value; all
    else, such as an attribute that the persona lacks, is met with "what ?".
    """
    if recommended_strategies(utterance):
        return THANKS
    attribute = asked_attribute(utterance)
    if attribute is None or attribute not in persona:
        return PUZZLED
    return answer(attribute, persona[attribute])


def known_facts(user_utterances: Iterable[str]) -> Mapping[str, str]:
    """The attributes that a user's own words reveal, each with its value."""
    facts: dict[str, str] = {}
    for utterance in user_utterances:
        for attribute, value in pairwise(utterance.split()):
            if value in ATTRIBUTES.get(attribute, ()):
                facts[attribute] = value
    return facts


USER_MODEL_PROMPT = ReadingPrompt(
    instruction=READING_INSTRUCTION,
    policy_name=POLICY_NAME,
    user_name=USER_NAME,
    question=USER_MODEL_QUESTION,
    labels=STRATEGIES,
)


def reward_model_prompt(ideal: str) -> ReadingPrompt:
    """The judge's prompt for a user whose ideal strategy is known."""
    return ReadingPrompt(
        instruction=READING_INSTRUCTION,
        policy_name=POLICY_NAME,
        user_name=USER_NAME,
        question=reward_model_question(ideal),
        labels=REWARD_MODEL_LABELS,
    )
