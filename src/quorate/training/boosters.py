"""LightGBM and XGBoost among scikit-learn's estimators: what they need to be fitted and exported like those.

Neither is imported here unless an estimator of it is there already; nor is onnxmltools, which has their converters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from quorate.errors import InvalidInput

_DISTRIBUTIONS = {"lightgbm": ("lightgbm", "onnxmltools"), "xgboost": ("onnxmltools", "xgboost")}
_CLASSIFIER = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def libraries(estimator: Any) -> tuple[str, ...]:
    """The modules among ``lightgbm`` and ``xgboost`` that an estimator, or a part of it, comes from, sorted."""
    return tuple(sorted({module for each in _parts(estimator) if (module := _module(each)) in _DISTRIBUTIONS}))


def distributions(estimator: Any) -> tuple[str, ...]:
    """The distributions, beyond scikit-learn's, whose versions change what an estimator becomes."""
    names = {name for module in libraries(estimator) for name in _DISTRIBUTIONS[module]}
    # The one on the index is called xgboost or, without code for GPUs, xgboost-cpu.
    return tuple(sorted(name if name != "xgboost" else _xgboost() for name in names))


def takes_codes(estimator: Any) -> bool:
    """Whether it is fitted on class indices instead of labels: XGBoost's classifiers refuse text."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return _module(last) == "xgboost"


def register_converters(estimator: Any) -> None:
    """Let skl2onnx convert what an estimator is made of; :class:`InvalidInput` if onnxmltools is not installed."""
    for module in libraries(estimator):
        try:
            _register(module)
        except ModuleNotFoundError as error:
            raise InvalidInput(
                f"{type(estimator).__name__} needs the package '{error.name}' to become ONNX; run: "
                "pip install 'quorate[train]'.",
                path="estimator",
            ) from None


@cache
def _register(module: str) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes as scores,
    )
    from skl2onnx.common.shape_calculator import (
        calculate_linear_regressor_output_shapes as values,
    )

    library = sys.modules[module]
    if module == "lightgbm":
        convert = import_module("onnxmltools.convert.lightgbm.operator_converters.LightGbm").convert_lightgbm
        classifier, regressor = library.LGBMClassifier, library.LGBMRegressor
        names = "LightGbmLGBMClassifier", "LgbmRegressor"
    else:
        convert = import_module("onnxmltools.convert.xgboost.operator_converters.XGBoost").convert_xgboost
        classifier, regressor = library.XGBClassifier, library.XGBRegressor
        names = "XGBoostXGBClassifier", "XGBoostXGBRegressor"
    update_registered_converter(classifier, names[0], scores, convert, options=_CLASSIFIER)
    update_registered_converter(regressor, names[1], values, convert)


def _module(estimator: Any) -> str:
    return type(estimator).__module__.partition(".")[0]


def _parts(estimator: Any) -> Iterator[Any]:
    """The estimator and those among its parameters."""
    yield estimator
    if hasattr(estimator, "get_params"):
        yield from (value for value in estimator.get_params(deep=True).values() if hasattr(value, "get_params"))


def _xgboost() -> str:
    from importlib.metadata import packages_distributions

    return packages_distributions().get("xgboost", ["xgboost"])[0]
