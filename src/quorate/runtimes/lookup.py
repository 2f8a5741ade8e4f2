"""Which runtime loads a format."""

from __future__ import annotations

from quorate import plugins
from quorate.errors import FormatRefused
from quorate.runtimes.base import Runtime


def runtime_for(form: str) -> type[Runtime]:
    """The runtime that loads a format; :class:`FormatRefused` if none does."""
    # The one that is called like the format first: importing the others costs time and memory.
    for name in sorted(plugins.names("runtimes"), key=lambda name: name != form):
        runtime: type[Runtime] = plugins.load("runtimes", name)
        if form in runtime.formats:
            return runtime
    raise FormatRefused(f"No runtime loads the format '{form}'; install one, or export the model to onnx.")
