"""Using what a run left behind: prediction and scores."""

from bertmod.inference.trained import TrainedRun, load_run

__all__ = ["TrainedRun", "load_run"]
