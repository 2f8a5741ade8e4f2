"""KServe's REST client against a running server: ``kserve_check.py URL ENDPOINT MEMBER PIXELS_JSON EXPECTED_JSON``.

Run by ``make check-clients`` in an environment of its own, which has kserve and not Quorate.
"""

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
from kserve import InferInput, InferRequest, InferResponse, RESTConfig
from kserve.inference_client import InferenceRESTClient
from kserve.protocol.infer_type import RequestedOutput

url, endpoint, member, pixels_file, expected_file = sys.argv[1:]
pixels = np.array(json.loads(Path(pixels_file).read_text()), np.uint8)
expected = json.loads(Path(expected_file).read_text())
client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=10))
done = 0


def check(what: str, true: bool) -> None:
    global done
    print("ok  " if true else "FAIL", "kserve:", what)
    if not true:
        sys.exit(1)
    done += 1


async def infer(model: str, binary: bool) -> InferResponse:
    image = InferInput("image", list(pixels.shape), "UINT8")
    image.set_data_from_numpy(pixels, binary_data=binary)
    outputs = [RequestedOutput("probabilities", {"binary_data": True})] if binary else None
    request = InferRequest(model_name=model, infer_inputs=[image], request_id="r1", request_outputs=outputs)
    return await client.infer(url, request, model_name=model)


async def main() -> None:
    check("live", await client.is_server_live(url))
    check("ready", await client.is_server_ready(url))
    for model in (endpoint, member):
        check(f"{model} ready", await client.is_model_ready(url, model))
        for binary in (True, False):
            response = await infer(model, binary)
            outputs = {output.name: output for output in response.outputs}
            got = outputs["probabilities"].as_numpy()
            np.testing.assert_allclose(got, expected[model], atol=1e-5)
            check(f"{model} {'binary' if binary else 'JSON'}", got.shape == (len(pixels), 10) and response.id == "r1")
    print(f"{done} checks of kserve passed")


asyncio.run(main())
