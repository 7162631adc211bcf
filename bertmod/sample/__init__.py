"""The built-in sample: eight small synthetic tasks in GLUE's own files.

A grammar generates the data, the same bytes everywhere. It is simpler than real text: it is there
so that a recipe runs without a download, and fails when training is broken.
"""

from bertmod.sample.folder import SAMPLE_VERSION, sample_folder, write_sample

__all__ = ["SAMPLE_VERSION", "sample_folder", "write_sample"]
