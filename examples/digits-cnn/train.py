"""Trains the pool: five bagged networks of three builds, three boosted ones, and the combiners fitted on them.

Run it with ``quorate train examples/digits-cnn`` (or as a script, which is the same).
"""

from __future__ import annotations

import sys
from pathlib import Path

import digits

from quorate.clock import SystemClock
from quorate.control.revisions.resolve import resolve
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.training import report
from quorate.training.bagging import Bootstrap
from quorate.training.boosting import Samme
from quorate.training.evaluate import evaluate, majority_label
from quorate.training.neural.network import Network
from quorate.training.recipe import Fit, Recipe, code_digest
from quorate.training.train import Progress, train_pool

BAGGED = {"bag-a": "plain", "bag-b": "residual", "bag-c": "separable", "bag-d": "residual", "bag-e": "plain"}
EPOCHS = {"plain": 30, "residual": 40, "separable": 40}
BOOSTED = ("boost-1", "boost-2", "boost-3")
STATES = {
    "digits-samme": Fit("samme", BOOSTED),
    "digits-stacking": Fit("stack"),
    "digits-weighted": Fit("log-odds"),
}


def recipe(seed: int = digits.SEED, jobs: int = -1) -> Recipe:
    """The pool's recipe; ``seed`` draws the split, the bootstrap samples and the networks' first weights."""
    data = digits.dataset()
    bagged = [
        Bootstrap(Network(name, build, seed=100 * seed + number, epochs=EPOCHS[build]), seed=100 * seed + number)
        for number, (name, build) in enumerate(BAGGED.items())
    ]
    # Rounds are weak on purpose: SAMME has nothing to do where the first round errs nowhere.
    rounds = tuple(
        Network(name, "shallow", seed=100 * seed + 50 + number, epochs=20, cost=0.2)
        for number, name in enumerate(BOOSTED)
    )
    return Recipe(
        data=data,
        split=digits.parts(data, seed),
        signature=digits.SIGNATURE,
        preprocess=digits.PREPROCESS,
        trainers=[*bagged, Samme(rounds, learning_rate=0.25)],
        states=STATES,
        code=code_digest(Path(__file__), Path(digits.__file__)),
        folds=3,
        seed=seed,
        jobs=jobs,
    )


def train(home: Home, progress: Progress, *, force: bool = False) -> None:
    """Register what is missing, then compare members and strategies on the test part."""
    made = recipe()
    registry = Registry(home.registry, SystemClock())
    trained = train_pool(made, registry, progress, force=force)
    if trained.kept:
        print(f"Kept, because data and code are the same: {', '.join(trained.kept)}.")
    routing = resolve(load(home.config.read_bytes(), home.config), registry).routing
    data, parts = made.data, made.split
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
