"""The Python API: what it registers and writes; serving itself is run by the README's test."""

import json
import urllib.request
import warnings

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_iris, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import quorate
from quorate.clock import SystemClock
from quorate.control.revisions.diff import diff
from quorate.control.revisions.resolve import resolve
from quorate.errors import ConfigError, InvalidInput
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.store.database import Database

X, Y = load_iris(return_X_y=True)
ROWS, TRUTH = X[::5], Y[::5]


class Frame:
    """The part of a data frame that the API uses; pandas is not a dependency."""

    columns = ("sepal length", "sepal width", "petal length", "petal width")

    def __array__(self, dtype=None, copy=None):
        return np.asarray(ROWS, dtype)


def members():
    return {
        "logistic": LogisticRegression(max_iter=500).fit(X, Y),
        "tree": DecisionTreeClassifier(max_depth=3).fit(X, Y),
    }


def test_saves_a_project_that_applies(tmp_path):
    home = quorate.Endpoint("iris", quorate.Pool(members(), ROWS, TRUTH), project=tmp_path).save()
    registry = Registry(home.registry, SystemClock())
    assert registry.names() == ("logistic", "tree")
    manifest = registry.manifest("logistic")
    assert manifest.format == "onnx"
    assert manifest.signature.output.classes == ("0", "1", "2")
    assert manifest.metrics["validation_accuracy"] > 0.9
    resolved = resolve(load(home.config.read_text()), registry)
    (endpoint,) = resolved.routing.endpoints
    assert [s.name for s in endpoint.strategies] == ["soft-vote", "hard-vote", "weighted", "logistic", "tree"]
    database = Database(home.store_url)
    database.migrate()
    assert [d.endpoint for d in diff(home, registry, database)] == ["iris"]
    database.close()


def test_saving_again_registers_nothing_new_unless_a_model_changed(tmp_path):
    pool = quorate.Pool(members(), ROWS)
    quorate.Endpoint("iris", pool, project=tmp_path).save()
    home = quorate.Endpoint("iris", pool, project=tmp_path).save()
    registry = Registry(home.registry, SystemClock())
    assert registry.versions("logistic") == (1,)
    pool.members["logistic"] = LogisticRegression(C=0.01, max_iter=500).fit(X, Y)
    quorate.Endpoint("iris", pool, project=tmp_path).save()
    assert registry.versions("logistic") == (1, 2)
    assert registry.versions("tree") == (1,)


def test_what_onnx_cannot_express_is_kept_as_skops_with_the_reason(tmp_path):
    pool = quorate.Pool({"spread": LabelSpreading().fit(X, Y)}, ROWS)
    with pytest.warns(UserWarning, match="'spread' is served by scikit-learn.*cannot be converted to ONNX"):
        home = quorate.Endpoint("iris", pool, project=tmp_path).save()
    assert Registry(home.registry, SystemClock()).manifest("spread").format == "skops"


def test_a_data_frame_makes_a_signature_of_columns(tmp_path):
    pool = quorate.Pool(members(), Frame(), TRUTH)
    home = quorate.Endpoint("iris", pool, project=tmp_path).save()
    manifest = Registry(home.registry, SystemClock()).manifest("tree")
    assert manifest.signature.input_kind == "columns"
    assert [s.name for s in manifest.signature.inputs] == list(Frame.columns)
    assert manifest.preprocess[0]["kind"] == "matrix"


def test_regressors_are_averaged(tmp_path):
    x, y = make_regression(80, 4, random_state=0)
    pool = quorate.Pool({"line": LinearRegression().fit(x, y), "tree": DecisionTreeRegressor().fit(x, y)}, x[:20])
    home = quorate.Endpoint("price", pool, project=tmp_path).save()
    config = yaml.safe_load(home.config.read_text())
    assert config["pools"]["price"]["task"] == "regression"
    assert config["endpoints"]["price"]["policy"] == "mean"


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (({}, ROWS), "members"),
        (({"a": LogisticRegression()}, ROWS), "estimator"),
        (({"a": object()}, ROWS), "estimator"),
        ((members(), [["x", "y", "z", "w"]]), "sample"),
        ((members(), ROWS[0]), "sample"),
        ((members(), ROWS, TRUTH[:3]), "truth"),
        (({**members(), "b": KNeighborsClassifier().fit(X[:100], Y[:100])}, ROWS), "members.b"),
    ],
)
def test_mistakes_are_named(arguments, path):
    with pytest.raises(InvalidInput) as caught:
        quorate.Pool(*arguments)
    assert caught.value.path == path


def test_a_wrong_setting_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="deadline"):
        quorate.Endpoint("iris", quorate.Pool(members(), ROWS), project=tmp_path, deadline=5)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_written_by_hand_is_left_alone(tmp_path):
    (tmp_path / "quorate.yaml").write_text("pools: {}\n")
    with pytest.raises(ConfigError, match="left alone"):
        quorate.Endpoint("iris", quorate.Pool(members(), ROWS), project=tmp_path).save()


@pytest.mark.slow
def test_an_isolated_member_is_served_beside_onnx_members_and_the_server_stops_with_its_block(tmp_path):
    spread = LabelSpreading().fit(X, Y)
    tree = DecisionTreeClassifier(max_depth=3).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = quorate.Pool({"spread": spread, "tree": tree}, ROWS)
        server = quorate.Endpoint("iris", pool, project=tmp_path, deadline_ms=5000.0).serve(
            port=0, control_port=0, block=False
        )
    with server:
        body = json.dumps({"instances": ROWS[:3].tolist()}).encode()
        request = urllib.request.Request(
            f"{server.url}/v1/endpoints/iris/predict", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        assert answer["missing"] == []
        expected = (spread.predict_proba(ROWS[:3]) + tree.predict_proba(ROWS[:3])) / 2
        got = [[p["probabilities"][c] for c in "012"] for p in answer["predictions"]]
        np.testing.assert_allclose(got, expected, atol=1e-4)
        assert "running" in repr(server)
    assert "stopped" in repr(server)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{server.url}/v2/health/live", timeout=2)
