"""Prompts for a model that reads a growing transcript and answers with one label.

The stable part comes first, new utterances next and the short question last, so that each
question finds everything before the new words in the prefix cache.
"""

from __future__ import annotations

from curio_ray.dialogue import Speaker
from curio_ray.errors import TemplateError
from curio_ray.models.chat import ChatFormat
from curio_ray.tasks.base import ReadingPrompt


class ReadingFormat:
    """A `ReadingPrompt` in the token ids of one model.

    Raises:
        TemplateError: two labels begin with the same token.
    """

    def __init__(self, chat: ChatFormat, prompt: ReadingPrompt) -> None:
        self._chat = chat
        self._names = {"policy": prompt.policy_name, "user": prompt.user_name}
        before, after = chat.single_message_parts()
        self.start_ids = [*before, *chat.encode(f"{prompt.instruction}\n")]
        self.question_ids = [*chat.encode(prompt.question), *after]
        self.label_ids = tuple(chat.encode(label)[0] for label in prompt.labels)
        if len(set(self.label_ids)) < len(self.label_ids):
            raise TemplateError(
                f"{chat.model}: two of the labels {list(prompt.labels)} begin with the same "
                "token; give the task labels that differ in their first token"
            )

    def utterance(self, speaker: Speaker, text: str) -> list[int]:
        """The ids that one utterance adds to the transcript."""
        return self._chat.encode(f"{self._names[speaker]}: {text}\n")
