"""The stock Triton HTTP client against a server: ``triton_check.py URL ENDPOINT MEMBER PIXELS_JSON EXPECTED_JSON``.

Run by ``make check-clients`` in an environment of its own, which has tritonclient and not Quorate.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton

url, endpoint, member, pixels_file, expected_file = sys.argv[1:]
pixels = np.array(json.loads(Path(pixels_file).read_text()), np.uint8)
expected = json.loads(Path(expected_file).read_text())
client = triton.InferenceServerClient(url.removeprefix("http://"))
done = 0


def check(what: str, true: bool) -> None:
    global done
    print("ok  " if true else "FAIL", "tritonclient:", what)
    if not true:
        sys.exit(1)
    done += 1


def infer(model: str, binary: bool, encoded: bool = False) -> triton.InferResult:
    if encoded:
        image = triton.InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(np.array([Path(expected["png"]).read_bytes()], object), binary_data=binary)
    else:
        image = triton.InferInput("image", list(pixels.shape), "UINT8")
        image.set_data_from_numpy(pixels, binary_data=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]
    return client.infer(model, [image], outputs=outputs, request_id="r1")


check("live", client.is_server_live())
check("ready", client.is_server_ready())
check("server metadata", client.get_server_metadata()["name"] == "quorate")
check("repository index", {m["name"] for m in client.get_model_repository_index()} >= {endpoint, member})
for model in (endpoint, member):
    check(f"{model} ready", client.is_model_ready(model))
    metadata = client.get_model_metadata(model)
    check(f"{model} metadata", metadata["inputs"][0]["name"] == "image" and len(metadata["outputs"]) == 3)
    for binary in (True, False):
        result = infer(model, binary)
        got = result.as_numpy("probabilities")
        form = "binary" if binary else "JSON"
        check(f"{model} {form} shape", got.shape == (len(pixels), 10) and result.get_response()["id"] == "r1")
        np.testing.assert_allclose(got, expected[model], atol=1e-5)
        labels = [v.decode() if isinstance(v, bytes) else v for v in result.as_numpy("label").tolist()]
        check(f"{model} {form} labels", labels == expected["labels"][model])
    check(f"{model} encoded image", infer(model, True, encoded=True).as_numpy("label").shape == (1,))
default = triton.InferInput("image", list(pixels.shape), "UINT8")
default.set_data_from_numpy(pixels)
check("all outputs by default", client.infer(endpoint, [default]).as_numpy("confidence").shape == (len(pixels),))
compressed = client.infer(endpoint, [default], request_compression_algorithm="gzip")
check("gzip request", compressed.as_numpy("confidence") is not None)
try:
    client.infer("nobody", [default])
    check("an unknown model is an error", False)
except triton.InferenceServerException as error:
    check("an unknown model is an error", "nobody" in str(error))
print(f"{done} checks of tritonclient passed")
