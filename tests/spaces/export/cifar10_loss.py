"""The mean cross-entropy of an ONNX file on images of CIFAR-10, normalised as flowdarts does.

    cifar10_loss.py MODEL BATCH

BATCH: a binary batch file. Prints one JSON object: "loss" (nats), "accuracy", "metadata". Exits with 77 where a package
is missing.
"""
import json
import sys

try:
    import numpy
    import onnxruntime
except ImportError as missing:
    print(missing)
    sys.exit(77)

records = numpy.fromfile(sys.argv[2], numpy.uint8).reshape(-1, 1 + 3 * 32 * 32)
labels = records[:, 0].astype(int)
mean = numpy.array([0.49139968, 0.48215827, 0.44653124], numpy.float32).reshape(3, 1, 1)
std = numpy.array([0.24703233, 0.24348505, 0.26158768], numpy.float32).reshape(3, 1, 1)
images = (records[:, 1:].reshape(-1, 3, 32, 32).astype(numpy.float32) / 255 - mean) / std

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
logits, = session.run(["logits"], {"images": images})
logits = logits.astype(float)
largest = logits.max(axis=1, keepdims=True)
log_sums = largest[:, 0] + numpy.log(numpy.exp(logits - largest).sum(axis=1))
print(json.dumps({"loss": float((log_sums - logits[numpy.arange(len(labels)), labels]).mean()),
                  "accuracy": float((logits.argmax(axis=1) == labels).mean()),
                  "metadata": session.get_modelmeta().custom_metadata_map}))
