"""Education Dialogue: the recorded conversations and the task."""
