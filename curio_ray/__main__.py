"""`python -m curio_ray` is the `curio` command."""

from curio_ray.commands.main import main

main()
