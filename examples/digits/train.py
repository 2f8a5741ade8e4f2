"""Trains the digits pool: five models of different kinds, two fitted combiners, and the report that compares them.

Run it with ``quorate train examples/digits`` (or as a script, which is the same).
"""

from __future__ import annotations

import sys
from pathlib import Path

import digits
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from quorate.clock import SystemClock
from quorate.control.revisions.resolve import resolve
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.training import report
from quorate.training.estimator import estimators
from quorate.training.evaluate import evaluate, majority_label
from quorate.training.recipe import Fit, Recipe, code_digest
from quorate.training.train import Progress, train_pool

MEMBERS = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
    "forest": RandomForestClassifier(50, min_samples_leaf=2, random_state=digits.SEED),
    "extra-trees": ExtraTreesClassifier(50, min_samples_leaf=3, random_state=digits.SEED),
    "mlp": MLPClassifier((64,), alpha=0.01, learning_rate_init=0.005, tol=1e-3, random_state=digits.SEED),
    "svm": CalibratedClassifierCV(OneVsRestClassifier(SVC(C=10)), ensemble=False, cv=5),
}
STATES = {"digits-weighted": Fit("log-odds"), "digits-stacking": Fit("stack")}


def train(home: Home, progress: Progress, *, force: bool = False) -> None:
    """Register what is missing, then compare members and strategies on the test part."""
    data = digits.dataset()
    parts = digits.parts(data)
    registry = Registry(home.registry, SystemClock())
    recipe = Recipe(
        data=data,
        split=parts,
        signature=digits.SIGNATURE,
        preprocess=digits.PREPROCESS,
        trainers=estimators(MEMBERS),
        states=STATES,
        code=code_digest(Path(__file__), Path(digits.__file__)),
        seed=digits.SEED,
    )
    trained = train_pool(recipe, registry, progress, force=force)
    if trained.kept:
        print(f"Kept, because data and code are the same: {', '.join(trained.kept)}.")
    for notice in trained.notices:
        print(notice)
    routing = resolve(load(home.config.read_bytes(), home.config), registry).routing
    majority = majority_label(data.labels[parts.train])
    found = evaluate(
        routing.pools[0],
        routing.endpoints[0],
        registry,
        data.take(parts.test),
        majority,
        validation=data.take(parts.validation),
    )
    report.show(found)
    page, _ = report.write(found, home.state)
    print(f"The report is in {page}.")


if __name__ == "__main__":
    from quorate.cli import main

    main(["train", str(Path(__file__).parent), *sys.argv[1:]])
