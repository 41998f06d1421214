"""Commands with a file of their own, and what the commands share. `curio_ray/cli.py` names all."""
