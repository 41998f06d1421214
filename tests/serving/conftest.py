"""Started servers of the packaged models, for every test of this folder that asks for them."""

from running_servers import changed, make_running, reference

__all__ = ["changed", "make_running", "reference"]
