"""Checks an ONNX file with onnx.checker and compares what onnxruntime makes of it with what is expected.

    check_onnx.py MODEL EXPECTED

EXPECTED is a safetensors file of inputs "CASE.images" and outputs "CASE.logits". Prints one JSON object: the nodes by
operator, the axes of inputs and outputs, and for each case the largest difference of the logits, their spread, the shapes
of all outputs and, where the last feature map alone gives the logits, the difference to those. Exits with 77 where a Python package is missing.
"""
import collections
import json
import sys

try:
    import numpy
    import onnx
    import onnxruntime
    import safetensors.numpy
except ImportError as missing:
    print(missing)
    sys.exit(77)


def axes(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
expected = safetensors.numpy.load_file(sys.argv[2])
classifier = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

cases = {}
for name in sorted({key.split(".")[0] for key in expected}):
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {"images": expected[name + ".images"]})))
    logits = expected[name + ".logits"]
    case = {"difference": float(numpy.abs(outputs["logits"] - logits).max()),
            "spread": float(logits.max() - logits.min()),
            "shapes": {key: list(value.shape) for key, value in outputs.items()}}
    features = [key for key in names if key.startswith("stride_")]
    if features:
        # Where nothing but the classifier follows the last feature map, it alone gives the logits.
        last = outputs[features[-1]].mean(axis=(2, 3))
        weight, bias = classifier["backbone.classifier.weight"], classifier["backbone.classifier.bias"]
        if weight.shape[1] == last.shape[1]:
            case["from_features"] = float(numpy.abs(last @ weight.T + bias - logits).max())
    cases[name] = case

print(json.dumps({
    "opset": model.opset_import[0].version,
    "metadata": {entry.key: entry.value for entry in model.metadata_props},
    "nodes": collections.Counter(node.op_type for node in model.graph.node),
    "inputs": {value.name: axes(value) for value in model.graph.input},
    "outputs": {value.name: axes(value) for value in model.graph.output},
    "cases": cases,
}))
