"""The learner: packing, losses, value head, DeepSpeed engine and the Ray actors around it.

Below `actor.py` and `group.py` nothing here needs Ray or vLLM.
"""
