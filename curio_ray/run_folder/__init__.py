"""Everything that a run leaves on disk, in one folder."""

from curio_ray.run_folder.existing_runs import find_checkpoint
from curio_ray.run_folder.folder import RunFolder, Summary

__all__ = ["RunFolder", "Summary", "find_checkpoint"]
