"""`python -m curio_ray` is the `curio` command."""

from curio_ray.cli import main

main()
