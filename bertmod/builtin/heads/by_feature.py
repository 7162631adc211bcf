"""What heads give of rows or tokens, feature by feature, on the host.

Shape letters: T tokens of a batch, R rows.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bertmod import Batch


def row_by_feature(values_R: Tensor, batch: Batch) -> list[np.ndarray]:
    """The value of each feature's only row, in the order of the features."""
    features = batch.feature_of_row_R.cpu().numpy()
    rows = values_R.cpu().numpy()
    return [rows[row] for row in np.argsort(features, kind="stable")]


def rows_by_feature(values_R: Tensor, batch: Batch) -> list[np.ndarray]:
    """The values of each feature's rows, (rows of the feature, ...)."""
    return _split(values_R.cpu().numpy(), np.bincount(batch.feature_of_row_R.cpu().numpy()))


def tokens_by_feature(values_T: Tensor, batch: Batch) -> list[np.ndarray]:
    """The values of each feature's real tokens, (tokens of the feature, ...).

    Packed batches have padding too, a little of it.
    """
    features = batch.feature_of_row_R.cpu().numpy()
    counts = np.bincount(features, batch.context.lengths_R.cpu().numpy()).astype(np.int64)
    return _split(values_T[real_tokens(batch)].cpu().numpy(), counts)


def real_tokens(batch: Batch) -> Tensor:
    """Which tokens of a batch are no padding, (tokens,), bool."""
    context = batch.context
    return context.position_of_token_T < context.lengths_R[context.row_of_token_T]


def _split(values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    return list(np.split(values, np.cumsum(lengths)[:-1]))
