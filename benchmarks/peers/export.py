"""From a Quorate project to plain files that its peers read, so that all of them run the same models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.peers.pool import PoolFiles, open_session
from quorate.codecs import sample, snapshot
from quorate.home import Home
from quorate.registry.blobs import BlobStore

POOL = "pool.json"
BODIES = "bodies.jsonl"
Rows = list[list[list[int]]]


def export(home: Home, folder: Path) -> tuple[PoolFiles, Rows]:
    """Write the pool that Quorate serves into ``folder``, fused graph included, and return it with its held-out rows.

    ``pool.json`` describes it, ``bodies.jsonl`` has one request body a row.
    """
    pool = snapshot.read(home.snapshot).pools[0]
    blobs = BlobStore(home.registry)
    if pool.graph is None or len(getattr(pool.graph, "order", pool.graph.outputs)) != len(pool.members):
        raise SystemExit("The digits pool has no fused graph of all its members; peers would run another model.")
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, digest: str) -> str:
        path = folder / f"{name}.onnx"
        path.write_bytes(blobs.read(digest))
        return str(path.resolve())

    members = {write(m.name, next(iter(m.files.values()))): m.output_name for m in pool.members}
    scale = next(step["scale"] for step in pool.members[0].preprocess if step["kind"] == "normalise")
    fused = write("fused", pool.graph.digest)
    outputs = tuple(output.name for output in open_session(fused).get_outputs())
    files = PoolFiles(pool.signature.output.classes, pool.graph.input_name, scale, members, fused, outputs)
    assert pool.members[0].sample is not None
    raw, _ = sample.decode(blobs.read(pool.members[0].sample))
    files.save(folder / POOL)
    rows = [np.asarray(pixels).tolist() for pixels in raw["image"]]
    (folder / BODIES).write_bytes(b"".join(body([row]) + b"\n" for row in rows))
    return files, rows


def body(instances: Sequence[Any]) -> bytes:
    """Rows as Quorate and the programs take them."""
    return msgspec.json.encode({"instances": instances})


def oip_body(instances: Sequence[Any]) -> bytes:
    """Rows as the Open Inference Protocol has them, in JSON."""
    pixels = np.asarray(instances)
    tensor = {"name": "image", "shape": list(pixels.shape), "datatype": "UINT8", "data": pixels.ravel().tolist()}
    return msgspec.json.encode({"inputs": [tensor], "outputs": [{"name": "probabilities"}]})
