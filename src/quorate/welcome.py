"""What is said when a server is ready: its addresses, and a request that works."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate.home import Home

if TYPE_CHECKING:
    from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing


def shown(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def welcome(
    home: Home,
    routing: Routing,
    host: str,
    port: int,
    control_port: int,
    console_port: int | None,
    grpc_port: int | None,
) -> str:
    """What the supervisor prints when all processes are ready: addresses, endpoints, and a request to try."""
    near = shown(host)
    lines = [
        "",
        "Quorate is ready.",
        f"  inference  http://{near}:{port}    (documentation: /docs)",
        f"  control    http://{near}:{control_port}    (documentation: /docs)",
        f"  endpoints  {', '.join(e.name for e in routing.endpoints) or 'none'}",
    ]
    if console_port is not None:
        lines.insert(4, f"  console    http://{near}:{console_port}    (the page: try it, watch it)")
    if grpc_port is not None:
        lines.insert(4, f"  grpc       {near}:{grpc_port}           (Open Inference Protocol)")
    if not routing.keys:
        lines.append("  No API keys: everyone who reaches these ports may use them. `quorate keys create` adds one.")
    if routing.endpoints:
        endpoint = routing.endpoints[0]
        pool = next(p for p in routing.pools if p.name == endpoint.pool)
        lines += ["Try it:", "  " + example_request(home, endpoint, pool, f"http://{near}:{port}")]
    lines.append("Ctrl-C stops it.")
    return "\n".join(lines)


def example_request(home: Home, endpoint: EndpointRoute, pool: PoolRoute, url: str) -> str:
    """A ``curl`` line that works: a held-out row of the pool where there is one, else zeros."""
    address = f"{url}/v1/endpoints/{endpoint.name}/predict"
    raw = _example_row(home, pool)
    if pool.signature.input_kind == "image":
        from PIL import Image

        from quorate.preprocess.pillow import sniff

        image = raw["image"][0]
        kind = (sniff(image) or "png") if isinstance(image, bytes) else "png"
        path = home.run / f"example-{endpoint.name}.{kind}"
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            Image.fromarray(image).save(path)
        return f"curl -s -H 'content-type: image/{kind}' --data-binary @{shlex.quote(_nearest(path))} {address}"
    import msgspec

    if pool.signature.input_kind == "array":
        row: Any = raw["input"][0].tolist()
    else:
        row = {name: values[0].item() if hasattr(values[0], "item") else values[0] for name, values in raw.items()}
    body = msgspec.json.encode({"instances": [row]}).decode()
    return f"curl -s -H 'content-type: application/json' -d {shlex.quote(body)} {address}"


def _nearest(path: Path) -> str:
    """The path as typed from the current folder, where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _example_row(home: Home, pool: PoolRoute) -> dict[str, Any]:
    from quorate.codecs import sample
    from quorate.registry.blobs import BlobStore
    from quorate.serving.opening import blank

    for member in pool.members:
        if member.sample is not None:
            raw, _ = sample.decode(BlobStore(home.registry).read(member.sample))
            return dict(raw)
    return blank(pool.signature)
