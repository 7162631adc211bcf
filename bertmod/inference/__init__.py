"""Using what a run left behind: prediction, scores, exports, and adapters for an encoder in memory.

The records of a run are read without torch, so what needs it is imported at its first use.
"""

from typing import TYPE_CHECKING

from bertmod.lazy import lazy_names

if TYPE_CHECKING:
    from bertmod.inference.adapter_files import LoadedTask, load_adapter
    from bertmod.inference.answers import predict_mixed
    from bertmod.inference.export import export_run
    from bertmod.inference.export_plan import ExportPlan
    from bertmod.inference.features import FeatureOptions, LineFeatures, extract
    from bertmod.inference.merge import merge_adapters
    from bertmod.inference.resident import ResidentEncoder, load_encoder
    from bertmod.inference.trained import TrainedRun, load_run

__all__ = [
    "ExportPlan",
    "FeatureOptions",
    "LineFeatures",
    "LoadedTask",
    "ResidentEncoder",
    "TrainedRun",
    "export_run",
    "extract",
    "load_adapter",
    "load_encoder",
    "load_run",
    "merge_adapters",
    "predict_mixed",
]

_MODULES = {
    "ExportPlan": "export_plan",
    "FeatureOptions": "features",
    "LineFeatures": "features",
    "LoadedTask": "adapter_files",
    "ResidentEncoder": "resident",
    "TrainedRun": "trained",
    "export_run": "export",
    "extract": "features",
    "load_adapter": "adapter_files",
    "load_encoder": "resident",
    "load_run": "trained",
    "merge_adapters": "merge",
    "predict_mixed": "answers",
}

__getattr__ = lazy_names(__name__, _MODULES)
