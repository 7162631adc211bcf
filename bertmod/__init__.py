"""BERT multi-task learning with small per-task adapters on one shared encoder.

This module re-exports what a plugin needs; importing it does not import torch.
"""

from bertmod.contracts.adapter import (
    Adapter,
    AdapterContext,
    GroupableAdapter,
    MergeableAdapter,
    Projection,
    TokenWiseAdapter,
)
from bertmod.contracts.batch import Arrays, Batch, BatchContext, Span
from bertmod.contracts.checkpoint import (
    CheckpointContent,
    CheckpointDescription,
    CheckpointWriter,
    LoadReport,
    StoredTensor,
    TensorName,
)
from bertmod.contracts.config import ComponentConfig
from bertmod.contracts.encoder import (
    Encoder,
    EncoderContext,
    EncoderOutput,
    EncoderShape,
    Part,
    Site,
    SiteCalls,
    SiteKind,
)
from bertmod.contracts.exporter import ExportContext, Exported
from bertmod.contracts.head import Head, HeadContext, HeadOutput, TaskInfo
from bertmod.contracts.metric import Metric
from bertmod.contracts.optimizer import ParameterGroup
from bertmod.contracts.sampler import Sampler, SamplerContext, ScoreInfo
from bertmod.contracts.schedule import Schedule
from bertmod.contracts.state import Stateful
from bertmod.contracts.task import (
    Example,
    Feature,
    FileTask,
    Outputs,
    Prediction,
    ResampledTask,
    Role,
    Task,
    TaskContext,
)
from bertmod.contracts.tokenizer import PieceTable, RowTable, Tokenizer
from bertmod.contracts.tracker import Tracker, TrackerContext
from bertmod.errors import (
    BertmodError,
    CheckpointError,
    DataError,
    PluginError,
    Problem,
    RecipeError,
    RunFolderError,
    TrainingError,
)
from bertmod.hookspecs import CONTRACT, hookimpl
from bertmod.specs import (
    AdapterSpec,
    CommandSpec,
    EmptyConfig,
    EncoderSpec,
    ExporterSpec,
    HeadSpec,
    LoaderSpec,
    MetricSpec,
    OptimizerSpec,
    SamplerSpec,
    ScheduleSpec,
    TaskSpec,
    TokenizerSpec,
    TrackerSpec,
)

__version__ = "0.1.0"

__all__ = [
    "CONTRACT",
    "Adapter",
    "AdapterContext",
    "AdapterSpec",
    "Arrays",
    "Batch",
    "BatchContext",
    "BertmodError",
    "CheckpointContent",
    "CheckpointDescription",
    "CheckpointError",
    "CheckpointWriter",
    "CommandSpec",
    "ComponentConfig",
    "DataError",
    "EmptyConfig",
    "Encoder",
    "EncoderContext",
    "EncoderOutput",
    "EncoderShape",
    "EncoderSpec",
    "Example",
    "ExportContext",
    "Exported",
    "ExporterSpec",
    "Feature",
    "FileTask",
    "GroupableAdapter",
    "Head",
    "HeadContext",
    "HeadOutput",
    "HeadSpec",
    "LoadReport",
    "LoaderSpec",
    "MergeableAdapter",
    "Metric",
    "MetricSpec",
    "OptimizerSpec",
    "Outputs",
    "ParameterGroup",
    "Part",
    "PieceTable",
    "PluginError",
    "Prediction",
    "Problem",
    "Projection",
    "RecipeError",
    "ResampledTask",
    "Role",
    "RowTable",
    "RunFolderError",
    "Sampler",
    "SamplerContext",
    "SamplerSpec",
    "Schedule",
    "ScheduleSpec",
    "ScoreInfo",
    "Site",
    "SiteCalls",
    "SiteKind",
    "Span",
    "Stateful",
    "StoredTensor",
    "Task",
    "TaskContext",
    "TaskInfo",
    "TaskSpec",
    "TensorName",
    "TokenWiseAdapter",
    "Tokenizer",
    "TokenizerSpec",
    "Tracker",
    "TrackerContext",
    "TrackerSpec",
    "TrainingError",
    "__version__",
    "hookimpl",
]
