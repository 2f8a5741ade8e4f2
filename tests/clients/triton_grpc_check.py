"""The stock Triton gRPC client against a server: ``triton_grpc_check.py ADDRESS ENDPOINT MEMBER PIXELS EXPECTED PAGE``.

Run by ``make check-clients`` in an environment of its own, with tritonclient and without Quorate. PAGE is docs/grpc.md,
whose example for this client runs too.
"""

import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

address, endpoint, member, pixels_file, expected_file, page = sys.argv[1:]
pixels = np.array(json.loads(Path(pixels_file).read_text()), np.uint8)
expected = json.loads(Path(expected_file).read_text())
client = triton.InferenceServerClient(address)
done = 0


def check(what: str, true: bool) -> None:
    global done
    print("ok  " if true else "FAIL", "tritonclient.grpc:", what)
    if not true:
        sys.exit(1)
    done += 1


def refused(what: str, status: str, call) -> None:
    try:
        call()
    except triton.InferenceServerException as error:
        check(f"{what} is {status}", error.status() == f"StatusCode.{status}")
    else:
        check(what, False)


def tensor(encoded: bool = False) -> triton.InferInput:
    if encoded:
        image = triton.InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(np.array([Path(expected["png"]).read_bytes()], object))
    else:
        image = triton.InferInput("image", list(pixels.shape), "UINT8")
        image.set_data_from_numpy(pixels)
    return image


check("live", client.is_server_live())
check("ready", client.is_server_ready())
check("server metadata", client.get_server_metadata().name == "quorate")
index = {model.name for model in client.get_model_repository_index().models}
check("repository index", index >= {endpoint, member})
for model in (endpoint, member):
    check(f"{model} ready", client.is_model_ready(model))
    metadata = client.get_model_metadata(model)
    check(f"{model} metadata", metadata.inputs[0].name == "image" and len(metadata.outputs) == 3)
    outputs = [triton.InferRequestedOutput(name) for name in ("probabilities", "label")]
    result = client.infer(model, [tensor()], outputs=outputs, request_id="r1", client_timeout=10)
    got = result.as_numpy("probabilities")
    check(f"{model} shape", got.shape == (len(pixels), 10) and result.get_response().id == "r1")
    np.testing.assert_allclose(got, expected[model], atol=1e-5)
    check(f"{model} labels", [v.decode() for v in result.as_numpy("label").tolist()] == expected["labels"][model])
    check(f"{model} encoded image", client.infer(model, [tensor(encoded=True)]).as_numpy("label").shape == (1,))
every = client.infer(endpoint, [tensor()], timeout=5_000_000, headers={"idempotency-key": "k"})
check("all outputs by default", every.as_numpy("confidence").shape == (len(pixels),))
again = client.infer(endpoint, [tensor()], timeout=5_000_000, headers={"idempotency-key": "k"})
decisions = {one.get_response().parameters["decision_id"].string_param for one in (every, again)}
check("a retry is one decision", len(decisions) == 1)
compressed = client.infer(endpoint, [tensor()], compression_algorithm="gzip")
check("gzip request", compressed.as_numpy("confidence") is not None)
(stats,) = client.get_inference_statistics(endpoint).model_stats
check("statistics", stats.inference_stats.success.count > 0)
refused("an unknown model", "NOT_FOUND", lambda: client.infer("nobody", [tensor()]))
client.unload_model(member)
check("a model is unloaded", not client.is_model_ready(member))
client.load_model(member)
check("and loaded", client.is_model_ready(member))
refused("an unknown model to load", "NOT_FOUND", lambda: client.load_model("nobody"))
refused("an unknown parameter", "INVALID_ARGUMENT", lambda: client.infer(endpoint, [tensor()], parameters={"x": 1}))

example, _own = re.findall(r"^```python\n(.*?)^```", Path(page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
example = example.replace("127.0.0.1:8003", address).replace("client_timeout=1.0", "client_timeout=10.0")
out = io.StringIO()
with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(out):
    shutil.copy(expected["png"], "7.png")
    exec(example, {})  # noqa: S102
check("the example in the documentation", bool(re.fullmatch(r"7 [0-9a-f-]{36}\n", out.getvalue())))
print(f"{done} checks of tritonclient.grpc passed")
