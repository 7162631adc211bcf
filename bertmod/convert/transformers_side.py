"""A checkpoint run by the library transformers, to compare with.

Shape letters: R rows, L length of the padded rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertmod.contracts.tokenizer import RowTable
from bertmod.convert.sides import UNLIMITED, Sizes, States, Text
from bertmod.data.features import FeatureTable
from bertmod.data.ragged import bounds_of
from bertmod.engine.precision import resolve_device
from bertmod.errors import CheckpointError
from bertmod.wording import listed

PREFIX = "transformers:"
"""Put before the path or hub name of a checkpoint that transformers shall run."""

CHOICE = "MultipleChoice"
SPAN = {"start_logits": "start", "end_logits": "end"}
"""Outputs of a span head to the names of the logits here."""

ONE_OUTPUT = (
    "SequenceClassification",
    "TokenClassification",
    CHOICE,
    "MaskedLM",
    "NextSentencePrediction",
)
"""Ends of the names of architectures whose head gives ``logits``."""

PRE_TRAINING = {"masked_lm": "prediction_logits", "next_sentence": "seq_relationship_logits"}
"""Task to its output where the architecture, ``BertForPreTraining``, has both heads."""


class TransformersSide:
    """A BERT run by transformers.

    Args:
        name: ``transformers:`` and a folder or a name on the hub.
        task: Whether the head is run too, by whatever id; None for the encoder alone.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CheckpointError: If transformers is not installed or cannot load it, if it is no BERT, or
            lacks tensors or the head.
        RecipeError: If this machine lacks the device.
    """

    def __init__(self, name: str, *, task: str | None, device: str) -> None:
        self.title = name
        self._library = _library(name)
        path = _path(name)
        config = _loaded(name, self._library.AutoConfig.from_pretrained, path)
        if config.model_type != "bert":
            raise CheckpointError(f'{name}: a "{config.model_type}" model; "bert" can be compared')
        self._kind, self._outputs = ("", {}) if task is None else _head(name, config, task)
        auto = getattr(self._library, _auto(self._kind))
        with _quiet(self._library):
            model, info = _loaded(name, auto.from_pretrained, path, output_loading_info=True)
        self._has_pooler = _is_complete(name, info)
        self._device = resolve_device(device)
        self._model = model.float().to(self._device).eval()
        self._tokenizer = self._load_tokenizer(path)
        self.labels = _labels(config) if task is not None else None
        self.report = f"run by transformers {self._library.__version__} as {type(model).__name__}"
        self.notes: Sequence[str] = () if self._tokenizer else ("it has no tokenizer",)
        self.sizes = Sizes(
            num_hidden_layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            max_length=config.max_position_embeddings,
            vocab_size=config.vocab_size,
            type_vocab_size=config.type_vocab_size,
        )

    def rows(self, texts: Sequence[Text], *, max_length: int = UNLIMITED) -> RowTable | None:
        """Rows of its AutoTokenizer; None if it has none."""
        if self._tokenizer is None:
            return None
        ids: list[list[int]] = []
        types: list[list[int]] = []
        for text, pair in texts:
            limit = (
                {} if max_length == UNLIMITED else {"truncation": True, "max_length": max_length}
            )
            with _quiet(self._library):  # it warns of rows that are longer than the model's
                row = self._tokenizer(text, pair, return_token_type_ids=True, **limit)
            ids.append(row["input_ids"])
            types.append(row["token_type_ids"])
        bounds = bounds_of([len(row) for row in ids])
        return RowTable(
            input_ids=np.concatenate(ids).astype(np.int32),
            token_type_ids=np.concatenate(types).astype(np.uint8),
            bounds=bounds,
            truncated=np.zeros(len(ids), bool),
        )

    def pieces(self, ids: Sequence[int]) -> Sequence[str]:
        """Vocabulary entries of ids."""
        assert self._tokenizer is not None
        found: list[str] = self._tokenizer.convert_ids_to_tokens(list(ids))
        return found

    def vocabulary(self) -> Sequence[str]:
        """Every entry of its vocabulary; empty if it has no tokenizer."""
        return () if self._tokenizer is None else self.pieces(range(len(self._tokenizer)))

    @torch.inference_mode()
    def states(self, table: FeatureTable) -> States:
        """Hidden states of rows, and the logits of the head if that was asked for."""
        lengths = table.row_lengths
        mask_RL = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None]).to(self._device)
        inputs = {
            "input_ids": self._padded(table.tokens["input_ids"], mask_RL),
            "token_type_ids": self._padded(table.tokens["token_type_ids"], mask_RL),
            "attention_mask": mask_RL.long(),
        }
        if self._kind == CHOICE:  # each row is a question with one choice
            inputs = {key: value[:, None] for key, value in inputs.items()}
        output = self._model(**inputs, output_hidden_states=True)
        pooler = getattr(self._model.base_model, "pooler", None) if self._has_pooler else None
        return States(
            [layer_RLH[mask_RL] for layer_RLH in output.hidden_states],
            None if pooler is None else pooler(output.hidden_states[-1]),
            {
                here: output[there][mask_RL] if _is_of_tokens(there, output) else output[there]
                for there, here in self._outputs.items()
            },
        )

    def _padded(self, values: np.ndarray, mask_RL: Tensor) -> Tensor:
        rows_RL = torch.zeros(mask_RL.shape, dtype=torch.int64, device=self._device)
        rows_RL[mask_RL] = torch.from_numpy(values.astype(np.int64)).to(self._device)
        return rows_RL

    def _load_tokenizer(self, path: str) -> Any:
        folder = Path(path)
        files = ("vocab.txt", "tokenizer.json")
        if folder.is_dir() and not any((folder / file).is_file() for file in files):
            return None
        with _quiet(self._library):
            return _loaded(self.title, self._library.AutoTokenizer.from_pretrained, path)


def _library(name: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise CheckpointError(
            f"{name}: the library transformers is not installed\n  pip install transformers"
        ) from None
    return transformers


def _path(name: str) -> str:
    """The folder or the hub's name; a path that can be nothing but a folder must be there.

    Raises:
        CheckpointError: If it is not, or is not in the layout of the hub.
    """
    path = name.removeprefix(PREFIX)
    folder = Path(path).expanduser()
    if path and folder.exists():
        if not (folder / "config.json").is_file():
            raise CheckpointError(
                f"{name}: no config.json there, so it is nothing that transformers loads\n"
                f"  bertmod convert {path} FOLDER --to huggingface writes a folder that is"
            )
        return str(folder)
    if not path or folder.is_absolute() or path.startswith("."):
        raise CheckpointError(
            f"{name}: there is no such folder\n"
            f"  accepted: {PREFIX}FOLDER, or {PREFIX} and a name on the hub"
        )
    return path


def _loaded(name: str, load: Callable[..., Any], path: str, **options: Any) -> Any:
    try:
        return load(path, **options)
    except Exception as error:  # which classes it raises changes from version to version
        first = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{name}: transformers cannot load it: {first}") from error


def _head(name: str, config: Any, task: str) -> tuple[str, Mapping[str, str]]:
    """What follows ``BertFor`` in the name of the architecture, and its outputs to compare."""
    architectures = config.architectures or ()
    for each in architectures:
        kind = str(each).partition("For")[2]
        if kind == "PreTraining" and task in PRE_TRAINING:
            return kind, {PRE_TRAINING[task]: "logits"}
        if kind == "QuestionAnswering":
            return kind, SPAN
        if kind in ONE_OUTPUT:
            return kind, {"logits": "logits"}
    raise CheckpointError(
        f'{name}: no head for task "{task}" that can be compared: its architecture is '
        f"{listed(architectures)}\n"
        f"  accepted: {listed(f'BertFor{kind}' for kind in (*ONE_OUTPUT, 'QuestionAnswering'))}, "
        f"and BertForPreTraining for {' and '.join(PRE_TRAINING)}"
    )


def _auto(kind: str) -> str:
    """The library's class that loads models with a head, or those without one."""
    return f"AutoModelFor{kind}" if kind else "AutoModel"


def _is_complete(name: str, info: Mapping[str, Any]) -> bool:
    """Whether the file has the pooler too.

    Raises:
        CheckpointError: If it lacks anything else, which transformers draws at random.
    """
    lacking = {str(key) for key in info["missing_keys"]}
    # Each is a name, or a name with two shapes.
    mismatched = {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    pooler = {key for key in lacking if "pooler." in key}
    if wrong := sorted((lacking - pooler) | mismatched):
        raise CheckpointError(
            f"{name}: not in the file, or of another shape: {listed(wrong)}\n"
            "  transformers would give them random values"
        )
    return not pooler


def _labels(config: Any) -> tuple[str, ...] | None:
    """Label names in the order of the logits; None for the ones that the library makes up."""
    names = tuple(str(config.id2label[number]) for number in sorted(config.id2label))
    made_up = tuple(f"LABEL_{number}" for number in range(len(names)))
    return None if names == made_up else names


def _is_of_tokens(name: str, output: Mapping[str, Tensor]) -> bool:
    """Whether an output has logits of each token: a number of each, or several."""
    return name in SPAN or output[name].dim() == 3


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Keep the library's bars and hints from the terminal; errors are raised as ever."""
    logging = library.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
