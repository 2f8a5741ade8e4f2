"""KServe's gRPC client against a server: ``kserve_grpc_check.py ADDRESS ENDPOINT MEMBER PIXELS_JSON EXPECTED_JSON``.

Run by ``make check-clients`` in an environment of its own, which has kserve and not Quorate.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

import grpc
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient

address, endpoint, member, pixels_file, expected_file = sys.argv[1:]
pixels = np.array(json.loads(Path(pixels_file).read_text()), np.uint8)
expected = json.loads(Path(expected_file).read_text())
done = 0


def check(what: str, true: bool) -> None:
    global done
    print("ok  " if true else "FAIL", "kserve grpc:", what)
    if not true:
        sys.exit(1)
    done += 1


async def main() -> None:
    client = InferenceGRPCClient(address, timeout=10)
    check("live", await client.is_server_live())
    check("ready", await client.is_server_ready())
    for model in (endpoint, member):
        check(f"{model} ready", await client.is_model_ready(model))
        for binary in (True, False):
            image = InferInput("image", list(pixels.shape), "UINT8")
            image.set_data_from_numpy(pixels, binary_data=binary)
            response = await client.infer(InferRequest(model_name=model, infer_inputs=[image], request_id="r1"))
            outputs = {output.name: output for output in response.outputs}
            got = outputs["probabilities"].as_numpy()
            np.testing.assert_allclose(got, expected[model], atol=1e-5)
            form = "raw" if binary else "typed"
            check(f"{model} {form}", got.shape == (len(pixels), 10) and response.id == "r1")
    logging.disable()  # the client logs the error that it then raises
    try:
        await client.is_model_ready("nobody")
    except grpc.RpcError as error:
        check("an unknown model is not found", error.code() is grpc.StatusCode.NOT_FOUND)
    else:
        check("an unknown model is not found", False)
    await client.close()
    print(f"{done} checks of kserve over gRPC passed")


asyncio.run(main())
