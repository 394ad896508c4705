"""Loads a safetensors file into a network of published_networks.py and compares its logits with those expected.

    load_published.py CLASS ARGUMENTS FILE [EXPECTED [MODEL]]

ARGUMENTS: JSON object of the class's arguments. EXPECTED: a safetensors file of "images" and "logits". MODEL: an ONNX file
of the same network with feature maps. Prints one JSON object. Where torch can be imported, the file is loaded with
load_state_dict(strict=True); "difference" is then the largest one of the logits, and "features" has those of the feature
maps of MODEL and what the last block of that resolution gives. Without torch names and shapes alone are compared. Exits
with 77 where a package is missing.
"""
import json
import sys

try:
    import safetensors.numpy
except ImportError as missing:
    print(missing)
    sys.exit(77)
import published_networks

network = getattr(published_networks, sys.argv[1])(**json.loads(sys.argv[2]))
tensors = safetensors.numpy.load_file(sys.argv[3])
found = {name: list(tensor.shape) for name, tensor in tensors.items()}
torch = published_networks.torch
difference, features = None, {}
if torch is None:
    wanted = network.shapes()
else:
    import safetensors.torch

    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    if found.keys() == wanted.keys():
        network.load_state_dict(safetensors.torch.load_file(sys.argv[3]), strict=True)
        if len(sys.argv) > 4:
            expected = safetensors.torch.load_file(sys.argv[4])
            # What the blocks give, the last one of each resolution.
            maps = {}
            for block in network.blocks_in_order():
                block.register_forward_hook(lambda _, __, output: maps.update({output.shape[-1]: output}))
            with torch.no_grad():
                difference = float((network.eval()(expected["images"]) - expected["logits"]).abs().max())
            if len(sys.argv) > 5:
                import onnxruntime

                session = onnxruntime.InferenceSession(sys.argv[5], providers=["CPUExecutionProvider"])
                names = [value.name for value in session.get_outputs() if value.name.startswith("stride_")]
                side = expected["images"].shape[-1]
                for name, given in zip(names, session.run(names, {"images": expected["images"].numpy()})):
                    wanted_map = maps[side // int(name.removeprefix("stride_"))]
                    features[name] = float((torch.from_numpy(given) - wanted_map).abs().max())
with safetensors.safe_open(sys.argv[3], framework="numpy") as file:
    metadata = file.metadata()
print(json.dumps({
    "torch": torch is not None,
    "tensors": len(found),
    "missing": sorted(set(wanted) - set(found)),
    "unexpected": sorted(set(found) - set(wanted)),
    "other_shapes": sorted(name for name in found if name in wanted and found[name] != wanted[name]),
    "difference": difference,
    "features": features,
    "metadata": metadata,
}))
