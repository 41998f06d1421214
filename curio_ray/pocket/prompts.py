"""How the world model is asked to read a transcript."""

from __future__ import annotations

from curio_ray.pocket import words
from curio_ray.pocket.world import STRATEGIES
from curio_ray.tasks.base import ReadingPrompt

USER_MODEL_PROMPT = ReadingPrompt(
    instruction=words.READING_INSTRUCTION,
    policy_name=words.POLICY_NAME,
    user_name=words.USER_NAME,
    question=words.USER_MODEL_QUESTION,
    labels=STRATEGIES,
)


def reward_model_prompt(ideal: str) -> ReadingPrompt:
    """The judge's prompt for a user whose ideal strategy is known."""
    return ReadingPrompt(
        instruction=words.READING_INSTRUCTION,
        policy_name=words.POLICY_NAME,
        user_name=words.USER_NAME,
        question=words.reward_model_question(ideal),
        labels=words.REWARD_MODEL_LABELS,
    )
