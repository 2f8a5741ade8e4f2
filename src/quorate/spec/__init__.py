"""The declarative configuration, ``quorate.yaml``: its settings, how it is read, what can be wrong with it."""

from quorate.spec.load import Config, build, load
from quorate.spec.model import EndpointSpec, PolicySpec, PoolSpec, ServerSpec, Spec, StrategySpec
from quorate.spec.problems import ConfigProblems, Origin
from quorate.spec.schema import json_schema

__all__ = [
    "Config",
    "ConfigProblems",
    "EndpointSpec",
    "Origin",
    "PolicySpec",
    "PoolSpec",
    "ServerSpec",
    "Spec",
    "StrategySpec",
    "build",
    "json_schema",
    "load",
]
