"""``quorate models``: list, show, import, alias and remove registered models."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli._config import HERE, Json, Project, home_of, registry_of
from quorate.cli._output import note, print_json, print_table
from quorate.clock import SystemClock
from quorate.codecs import snapshot
from quorate.control.audit import local_user, record
from quorate.control.revisions.publication import changing
from quorate.home import Home
from quorate.registry.manifest import Manifest
from quorate.registry.registry import Ref, Registry
from quorate.store.database import Database

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="List, show, import, alias and remove registered models.",
)

PICTURES = "Networks of pictures"

Reference = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME:VERSION or NAME@ALIAS.")]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Show the versions of this model only.")] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """List models, one line each; or all versions of one."""
    registry = registry_of(home_of(project))
    if name is None:
        found = [_model(registry, each) for each in registry.names()]
        columns = ("name", "kind", "format", "newest", "versions", "aliases")
    else:
        found = _versions(registry, registry.resolve(Ref.parse(name).name)[0])
        columns = ("name", "kind", "format", "version", "created", "aliases")
    if json:
        print_json(found)
    else:
        print_table(columns, [[_shown(row[column]) for column in columns] for row in found])


def _model(registry: Registry, name: str) -> dict[str, Any]:
    versions = registry.versions(name)
    newest = registry.manifest(f"{name}:{versions[-1]}")
    return {
        "name": name,
        "kind": newest.kind,
        "format": newest.format,
        "newest": newest.version,
        "versions": list(versions),
        "aliases": registry.aliases(name),
    }


def _versions(registry: Registry, name: str) -> list[dict[str, Any]]:
    aliases = registry.aliases(name)
    manifests = [registry.manifest(f"{name}:{version}") for version in registry.versions(name)]
    return [
        {
            "name": name,
            "kind": m.kind,
            "format": m.format,
            "version": m.version,
            "created": m.created,
            "aliases": [alias for alias, version in aliases.items() if version == m.version],
        }
        for m in manifests
    ]


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{key}:{item}" for key, item in value.items())
    return _time(value) if isinstance(value, float) else value


@app.command()
def show(ref: Reference, project: Project = HERE, json: Json = False) -> None:
    """Show everything the registry knows about one version."""
    registry = registry_of(home_of(project))
    manifest = registry.manifest(ref)
    if json:
        print_json(manifest)
        return
    named = [alias for alias, version in registry.aliases(manifest.name).items() if version == manifest.version]
    print_table(("what", "value"), [*_facts(manifest), ("aliases", ", ".join(named) or None)])


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="The model's name in the registry.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="The model, and the files it needs beside it.")
    ],
    format_: Annotated[
        str | None, typer.Option("--format", help="onnx, skops, callable or state; by the content if not given.")
    ] = None,
    signature: Annotated[Path | None, typer.Option(help="Raw input and output, as JSON or YAML.")] = None,
    preprocess: Annotated[Path | None, typer.Option(help="List of preprocessing steps, as JSON or YAML.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "--classes",
            metavar="FILE|a,b,c",
            help="Class labels in the order of the output: a file (one a line, CSV or JSON), or a list.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option(help="The ONNX output that carries the answer.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Setting of the runtime: key=value; may be repeated.")
    ] = None,
    alias: Annotated[list[str] | None, typer.Option(help="Alias to set on the new version; may be repeated.")] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option(
            help="Held-out rows: pictures or folders of them (may be repeated), or .npz with input.NAME and, to check "
            "answers, output."
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="What the original model answers to the sample's pictures: probabilities [n, classes], .npy."
        ),
    ] = None,
    softmax: Annotated[
        bool, typer.Option("--softmax", help="The network answers logits: make them probabilities.")
    ] = False,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="alone|together",
            help="alone: run one row at a time, for networks that were quantised dynamically or take one row only.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A network of pictures, as such networks usually want them: imagenet, keras-tf or keras-caffe.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="Pixels of the input.", rich_help_panel=PICTURES)
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="crop|stretch",
            help="The middle of the picture, or all of it without keeping its aspect.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    resize_to: Annotated[
        int | None,
        typer.Option(min=1, help="The shorter side, before the middle is cut out.", rich_help_panel=PICTURES),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="A pixel (0 to 255) is multiplied by that, such as 1/255.", rich_help_panel=PICTURES),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(help="Then this is subtracted: one number, or one per channel.", rich_help_panel=PICTURES),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(help="And then it is divided by this; likewise.", rich_help_panel=PICTURES),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(metavar="nchw|nhwc", help="Order of the input's axes.", rich_help_panel=PICTURES)
    ] = None,
    colour: Annotated[
        str | None, typer.Option(metavar="rgb|bgr|grey", help="Channels.", rich_help_panel=PICTURES)
    ] = None,
    resample: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER",
            help="nearest, box, bilinear, hamming, bicubic or lanczos.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Register a model made elsewhere as the next version of NAME, once it proved safe and sound."""
    from quorate.cli import _wishes
    from quorate.cli._import import Request, import_model

    home = home_of(project)
    registry = registry_of(home)
    request = Request(
        name,
        files,
        format=format_,
        signature=signature,
        preprocess=preprocess,
        labels=labels,
        wishes=_wishes.wishes(
            preset=preset,
            size=size,
            fit=fit,
            resize_to=resize_to,
            scale=scale,
            mean=mean,
            std=std,
            layout=layout,
            colour=colour,
            resample=resample,
        ),
        softmax=softmax,
        rows=_wishes.rows(rows),
        output=output,
        options=option or [],
        sample=sample or [],
        answers=answers,
    )
    for each in alias or []:
        Ref.parse(f"{name}@{each}")
    manifest, notices = import_model(registry, request)
    for notice in notices:
        note(notice)
    for each in alias or []:
        registry.set_alias(name, each, manifest.version)
    _audit(home, "model.import", manifest.ref, {"digest": manifest.digest, "aliases": alias or []})
    if json:
        print_json(manifest)
    else:
        typer.echo(manifest.ref)


@app.command()
def alias(
    ref: Reference,
    name: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion, which NAME alone then means.")],
    remove: Annotated[bool, typer.Option("--remove", help="Forget the alias instead.")] = False,
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Let an alias name a version; endpoints follow at the next apply."""
    home = home_of(project)
    registry = registry_of(home)
    version: int | None = None
    if remove:
        model = Ref.parse(ref).name
        registry.remove_alias(model, name)
    else:
        model, version = registry.resolve(ref)
        registry.set_alias(model, name, version)
    _audit(home, "model.alias", f"{model}@{name}", {"version": version})
    aliases = registry.aliases(model)
    if json:
        print_json({"name": model, "aliases": aliases})
    else:
        print_table(("name", "alias", "version"), [(model, each, number) for each, number in aliases.items()])


@app.command()
def rm(
    ref: Annotated[str, typer.Argument(metavar="NAME:VERSION", help="The version to remove.")],
    project: Project = HERE,
    json: Json = False,
) -> None:
    """Remove one version; refused while an alias names it or it is served."""
    home = home_of(project)
    registry = registry_of(home)
    with changing(home):  # so that no apply begins to serve it meanwhile
        served, digests = _in_use(home, registry.manifest(ref))
        removed = registry.remove(ref, protected=served)
        freed = registry.collect_garbage(keep=digests)
    _audit(home, "model.remove", removed.ref, {"digest": removed.digest})
    if json:
        print_json({"removed": removed.ref, "freed_bytes": freed})
    else:
        typer.echo(f"removed {removed.ref}; {freed} bytes freed (files of the last hour stay for one more)")


def _audit(home: Home, action: str, subject: str, detail: dict[str, Any]) -> None:
    # Not store_of(): models may be imported before there is a quorate.yaml.
    database = Database(home.store_url)
    database.migrate()
    try:
        record(database, SystemClock(), actor=local_user(), action=action, subject=subject, detail=detail)
    finally:
        database.close()


def _in_use(home: Home, manifest: Manifest) -> tuple[set[str], set[str]]:
    """The refs that the current snapshot serves, and every digest it names."""
    if snapshot.current_version(home.snapshot) is None:
        return set(), set()
    routing = snapshot.read(home.snapshot)
    refs: set[str] = set()
    digests: set[str] = set()
    for pool in routing.pools:
        digests.update(graph.digest for graph in pool.graphs)
        for member in pool.members:
            refs.add(f"{member.name}:{member.version}")
            digests.update(member.files.values(), () if member.sample is None else (member.sample,))
    for endpoint in routing.endpoints:
        for strategy in endpoint.strategies:
            if strategy.state is not None:
                digests.update(strategy.state.values())
                if strategy.state == manifest.files:  # a strategy keeps its state's files, not its name
                    refs.add(manifest.ref)
    return refs, digests


def _facts(manifest: Manifest) -> list[tuple[str, str | None]]:
    signature = manifest.signature
    facts: list[tuple[str, str | None]] = [
        ("ref", manifest.ref),
        ("kind", manifest.kind),
        ("format", manifest.format),
        ("created", _time(manifest.created)),
        ("digest", manifest.digest),
        *((f"file {name}", digest) for name, digest in manifest.files.items()),
    ]
    if signature is not None:
        labels = signature.output.classes or signature.output.names
        facts += [
            ("raw input", f"{signature.input_kind}: {', '.join(map(str, signature.inputs))}"),
            ("preprocess", " > ".join(step["kind"] for step in manifest.preprocess) or None),
            ("tensors", ", ".join(map(str, manifest.tensors))),
            ("answers", f"{signature.output.kind}: {', '.join(labels)}"),
            ("from output", manifest.output_name),
        ]
    for title, mapping in (
        ("option", manifest.options),
        ("metric", manifest.metrics),
        ("library", manifest.libraries),
        ("note", manifest.notes),
    ):
        facts += [(f"{title} {key}", str(value)) for key, value in mapping.items()]
    return [
        *facts,
        ("data digest", manifest.data_digest),
        ("commit", manifest.commit),
        ("parent", manifest.parent),
        ("sample", manifest.sample),
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
