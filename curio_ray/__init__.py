"""CURIO on Ray: train language models to get to know the person they talk with."""

from curio_ray.heavy_imports import hide_foreign_torch_libraries

__version__ = "0.1.0"

hide_foreign_torch_libraries()
