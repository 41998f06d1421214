"""Dialogues: one, many in a process, many processes, and the batches that training learns from."""
