"""The supervised start: models of the four roles, learned from a task's recorded conversations."""
