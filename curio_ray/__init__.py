"""CURIO on Ray: train language models to get to know the person they talk with."""

__version__ = "0.1.0"
