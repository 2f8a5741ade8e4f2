"""Start a server on a trained digits project and let stock clients talk to it: ``run.py clients`` or ``run.py api``.

Run by the make targets ``check-clients`` and ``check-api`` with Quorate's own environment; the clients live in
``.venvs``, one environment each.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venvs"
ENDPOINT, MEMBER = "digits", "mlp"
STRATEGY = "soft-vote"
READY_WITHIN = 90
FREE_PORTS = ["--port", "0", "--control-port", "0", "--grpc-port", "0"]


class Server:
    """``quorate serve`` on a copy of the digits example, trained in a temporary folder; its policy is one strategy."""

    def __init__(self, folder: Path) -> None:
        project = folder / "digits"
        shutil.copytree(ROOT / "examples" / "digits", project, ignore=shutil.ignore_patterns(".quorate", "__pycache__"))
        self.samples = project / "samples"
        quorate = [sys.executable, "-P", "-c", "from quorate.cli import main; main()"]
        subprocess.run([*quorate, "train", str(project)], check=True, stdout=subprocess.DEVNULL)
        config = project / "quorate.yaml"
        config.write_text(re.sub(r"policy: \{kind: split.*\}\}", f"policy: {STRATEGY}", config.read_text()))
        self._log = folder / "serve.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*quorate, "serve", str(project), *FREE_PORTS, "--no-console"],
                stderr=log,
                stdout=log,
            )
        self.url, self.control, self.grpc = self._ready()

    def _ready(self) -> list[str]:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.findall(r"^  (?:inference|control) +(http://\S+)", self._log.read_text(), re.M)
            if len(found) == 2:
                return [*found, *re.findall(r"^  grpc +(\S+)", self._log.read_text(), re.M)]
            time.sleep(0.1)
        sys.exit(f"The server did not start:\n{self._log.read_text()}")

    def predict(self, path: str, body: Any) -> Any:
        """POST JSON and read the JSON answer."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def stop(self) -> None:
        """Drain; then show what went wrong in its processes, if anything."""
        self._process.terminate()
        self._process.wait(30)
        errors = [line for line in self._log.read_text().splitlines() if "Traceback" in line or "failed (" in line]
        if errors:
            sys.exit(f"The server's log has errors:\n{self._log.read_text()}")


def clients(server: Server, folder: Path) -> None:
    """tritonclient and kserve, each in its own environment."""
    pixels = [[[(x * 37 + y * 11 + row * 53) % 256 for x in range(8)] for y in range(8)] for row in range(3)]
    expected: dict[str, Any] = {"labels": {}, "png": str(server.samples / "7.png")}
    answer = server.predict(f"/v1/endpoints/{ENDPOINT}/predict", {"instances": pixels})
    classes = sorted(answer["predictions"][0]["probabilities"])
    expected[ENDPOINT] = [[p["probabilities"][c] for c in classes] for p in answer["predictions"]]
    expected["labels"][ENDPOINT] = [p["label"] for p in answer["predictions"]]
    alone = server.predict(
        f"/v1/endpoints/{ENDPOINT}/predict",
        {"instances": pixels, "options": {"strategy": "soft-vote"}},
    )
    assert alone["strategy"] == STRATEGY
    single = server.predict(
        f"/v2/models/{MEMBER}/infer",
        {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [3, 8, 8], "data": pixels}]},
    )
    outputs = {output["name"]: output["data"] for output in single["outputs"]}
    expected[MEMBER] = [outputs["probabilities"][i * 10 : i * 10 + 10] for i in range(3)]
    expected["labels"][MEMBER] = outputs["label"]
    (folder / "pixels.json").write_text(json.dumps(pixels))
    (folder / "expected.json").write_text(json.dumps(expected))
    for name in ("triton", "kserve"):
        python = ENVIRONMENTS / name / "bin" / "python"
        script = ROOT / "tests" / "clients" / f"{name}_check.py"
        arguments = [ENDPOINT, MEMBER, str(folder / "pixels.json"), str(folder / "expected.json")]
        subprocess.run([python, script, server.url, *arguments], check=True)
        if subprocess.run([python, "-c", "import grpc, google.protobuf"], capture_output=True, check=False).returncode:
            print(f"NOT RUN: the gRPC checks of {name}; requirements/clients-{name}.txt has no grpcio and protobuf")
            continue
        script = script.with_name(f"{name}_grpc_check.py")
        more = [str(ROOT / "docs" / "grpc.md")] if name == "triton" else []
        subprocess.run([python, script, server.grpc, *arguments, *more], check=True)


LEFT_OUT = "/unload$|/batch$|^/v1/jobs$"
"""Unloading would leave nothing to ask; bodies of NDJSON, Arrow and Parquet are not among what schemathesis can write.
Both have tests of their own."""


def api(server: Server, folder: Path) -> None:
    """schemathesis over the OpenAPI documents of both ports."""
    image = base64.b64encode((server.samples / "7.png").read_bytes()).decode()
    answer = server.predict(f"/v1/endpoints/{ENDPOINT}/predict", {"instances": [{"b64": image}]})
    config = (ROOT / "tests" / "clients" / "schemathesis.toml").read_text()
    filled = folder / "schemathesis.toml"
    filled.write_text(config.replace("DECISION", answer["id"]))
    binary = ENVIRONMENTS / "schemathesis" / "bin" / "schemathesis"
    for port in (server.url, server.control):
        command = [binary, "--config-file", str(filled), "run", f"{port}/openapi.json"]
        command += ["--exclude-path-regex", LEFT_OUT, *sys.argv[2:]]
        subprocess.run(command, check=True)
    # The checks may have applied a configuration without endpoints; the processes must still be well.
    with urllib.request.urlopen(f"{server.url}/v2/health/ready", timeout=10) as response:
        assert json.load(response) == {"ready": True}
    print("both documents hold")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name))
        try:
            {"clients": clients, "api": api}[sys.argv[1]](server, Path(name))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
