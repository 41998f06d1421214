"""The learner: packing, losses, value head, DeepSpeed engine and the Ray actors around it.

Below `group.py` nothing here needs Ray or vLLM.
"""
