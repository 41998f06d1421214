"""The four roles: what each model is asked, in its own tokens, and what its answer means."""
