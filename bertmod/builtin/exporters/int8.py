"""Models as ONNX files with weights in 8 bits.

The quantization is onnxruntime's: it is maintained, and the file runs wherever onnxruntime does.
Torch's own dynamic quantization is deprecated in favour of torchao, whose models need torch and
torchao to run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertmod import ExportContext, Exported
from bertmod.builtin.exporters.onnx import FILE, USE, Session, write
from bertmod.builtin.exporters.program import size


def export(
    context: ExportContext, folder: Path, *, opset: int, per_channel: bool, reduce_range: bool
) -> Exported:
    """Write ``model.onnx`` with the matrices of its linear layers and embeddings in 8 bits.

    Activations are quantized as they come (dynamically), so no rows are needed for calibration.

    Args:
        context: The model.
        folder: Where the file goes.
        opset: Version of ONNX's operators.
        per_channel: Whether each output of a layer has a scale of its own.
        reduce_range: Whether weights have 7 bits.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / FILE
    with tempfile.TemporaryDirectory(prefix="bertmod-export-") as name:
        plain = Path(name) / FILE
        write(context, plain, opset=opset)
        quantize_dynamic(
            _products(plain),
            path,
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
        )
        before = size(plain)
    note = f"{FILE}: {size(path)}, weights in 8 bits; in fp32 {before}"
    return Exported(Session(path).run, (note,), USE)


def _products(path: Path) -> Any:
    """The model in a file with each Gemm as a MatMul and an Add: products are what is quantized.

    The quantizer's own conversion transposes a matrix once for each layer that shares it; tasks
    share those of the encoder here. Shapes of values in between are left for it to find.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    matrices = {tensor.name: tensor for tensor in graph.initializer}
    turned: dict[str, Any] = {}
    nodes = [
        part
        for node in graph.node
        for part in (_split(node, matrices, turned) if _is_layer(node, matrices) else [node])
    ]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(turned.values())
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def _is_layer(node: Any, matrices: dict[str, Any]) -> bool:
    """Whether a node is ``x W^T + b``, as torch's linear layers become."""
    options = {option.name: option for option in node.attribute}
    return (
        node.op_type == "Gemm"
        and node.input[1] in matrices
        and options.keys() <= {"alpha", "beta", "transA", "transB"}
        and all(options[name].f == 1.0 for name in ("alpha", "beta") if name in options)
        and "transB" in options
        and options["transB"].i == 1
        and ("transA" not in options or options["transA"].i == 0)
    )


def _split(node: Any, matrices: dict[str, Any], turned: dict[str, Any]) -> Iterator[Any]:
    """What a layer becomes; its matrix is transposed once, whoever shares it."""
    from onnx import helper, numpy_helper

    x, weight, *bias = node.input  # a bias of zeros was left out
    if weight not in turned:
        array = numpy_helper.to_array(matrices[weight]).T.copy()
        turned[weight] = numpy_helper.from_array(array, f"{weight}_transposed")
    (y,) = node.output
    product = f"{y}_product" if bias else y
    yield helper.make_node("MatMul", [x, turned[weight].name], [product], name=f"{y}_MatMul")
    if bias:
        yield helper.make_node("Add", [product, *bias], [y], name=f"{y}_Add")
