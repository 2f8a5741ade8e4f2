"""The settings that plugins declare: a plugin's ``Params`` dataclass becomes part of the configuration's model."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, Literal, get_type_hints

from pydantic import Field, create_model

from quorate import plugins
from quorate.errors import ConfigError


@cache
def plugin_models(base: Any) -> dict[str, Any]:
    """For each plugin of ``base.family``, ``base`` extended by that plugin's parameters, by kind."""
    return {kind: _extend(base, kind) for kind in plugins.names(base.family)}


def _extend(base: Any, kind: str) -> Any:
    plugin = plugins.load(base.family, kind)
    hints = get_type_hints(plugin.Params, include_extras=True)
    fields: dict[str, Any] = {"kind": (Literal[kind], Field(description="The plugin."))}
    own = dataclasses.fields(plugin.Params)
    for field in own:
        if field.name in base.model_fields:
            raise ConfigError(
                f"the plugin '{kind}' of quorate.{base.family} declares the parameter '{field.name}', which every "
                f"section of that family has already; rename it in {plugin.__module__}."
            )
        fields[field.name] = (hints[field.name], _default(field))
    fields |= base.forms.get(kind, {})
    model: Any = create_model(
        f"{kind.title().replace('-', '')}{base.__name__.removesuffix('Spec')}",
        __base__=base,
        __doc__=(plugin.__doc__ or "").strip().split("\n")[0],
        **fields,
    )
    model.parameters = frozenset(field.name for field in own)
    return model


def _default(field: dataclasses.Field[Any]) -> Any:
    description = field.metadata.get("description")
    if field.default_factory is not dataclasses.MISSING:
        return Field(default_factory=field.default_factory, description=description)
    if field.default is not dataclasses.MISSING:
        return Field(default=field.default, description=description)
    return Field(description=description)
