"""Off-policy estimates on digits by a published protocol, where the truth is known; and the intervals' coverage.

    python -m benchmarks.decisions.off_policy [--runs 100] [--simulations 1000]

The protocol is that of Open Bandit Pipeline's multi-class example (its README's table: 30 runs, relative error of IPS
0.0303, SNIPS 0.0228, DR 0.0162): scikit-learn's digits are split 30 % to 70 % by the run's number; a logistic
regression and a random forest are fitted on the 30 %. On the 70 % (1,258 pictures, ten actions: the classes) the
logging policy takes the regression's class with 0.4 + 0.06 and any other with 0.06, the evaluation policy the forest's
with 0.9 + 0.01 and others with 0.01. A reward is 1 for the right class. The relative error is
``|estimate - truth| / truth``.

DR needs a reward model, fitted by 3-fold cross-fitting. ``dr, boosting`` has the protocol's: gradient boosting on
picture and action with a learning rate of 0.005, which is far off by itself (by 0.44 as published, by 0.43 here).
``dr`` has one that uses what is known of such rewards: one action is right, so the rewarded decisions are labelled
pictures, and multinomial logistic regression on them says how likely each action is the right one.

The README gives no seeds beyond the run's number and not the models' settings; those of the repository at that time
are taken (below). So the first 30 runs are no replica of the published ones, whose mean is uncertain by about 15 %:
more runs are made, and both means are shown.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.harness.table import LIMIT, QUORATE, Row, render
from quorate.core.stats.off_policy import OffPolicy

ALPHA_B, ALPHA_E, EVALUATED = 0.4, 0.9, 0.7
PUBLISHED = {"ips": 0.030288, "snips": 0.022764, "dr": 0.016156}
BOUND = {"ips": 0.031, "snips": 0.023, "dr": 0.017}
BOOSTED = "dr, boosting"
PUBLISHED_RUNS = 30
RUNS = 100
SIMULATIONS = 1000
FOLDS = 3
SEED = 12345


def _models() -> tuple[Any, Any, Any]:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    return (
        LogisticRegression(max_iter=10_000, C=1000, random_state=SEED),
        RandomForestClassifier(n_estimators=500, max_depth=5, min_samples_leaf=10, random_state=SEED, n_jobs=1),
        GradientBoostingClassifier(
            n_estimators=100, learning_rate=0.005, max_depth=5, min_samples_leaf=10, random_state=SEED
        ),
    )


def _mixed(model: Any, pictures: Any, alpha: float, actions: int) -> Any:
    p = np.full((len(pictures), actions), (1 - alpha) / actions)
    p[np.arange(len(pictures)), model.predict(pictures)] += alpha
    return p


class Split:
    """One split of the digits: both policies on the evaluation part, and the truth."""

    def __init__(self, run: int) -> None:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        x, y = load_digits(return_X_y=True)
        fit_x, self.x, fit_y, self.y = train_test_split(x, y, test_size=EVALUATED, random_state=run)
        regression, forest, self.boosting = _models()
        self.logged = _mixed(regression.fit(fit_x, fit_y), self.x, ALPHA_B, 10)
        self.target = _mixed(forest.fit(fit_x, fit_y), self.x, ALPHA_E, 10)
        self.mine = np.arange(len(self.y))
        self.truth = float(self.target[self.mine, self.y].mean())

    def drawn(self, rng: Any) -> tuple[Any, Any]:
        """Actions of the logging policy, and their rewards."""
        actions = (self.logged.cumsum(axis=1) > rng.uniform(size=(len(self.y), 1))).argmax(axis=1)
        return actions, (actions == self.y).astype(np.float64)

    def _folds(self) -> Any:
        from sklearn.model_selection import KFold

        return KFold(FOLDS, shuffle=True, random_state=SEED).split(self.x)

    def boosted(self, actions: Any, rewards: Any) -> Any:
        """Expected rewards of all actions ``[n, 10]``, of each picture from a model that did not see it."""
        from sklearn.base import clone

        each = np.eye(10)
        found = np.zeros((len(self.y), 10))
        for train, test in self._folds():
            model = clone(self.boosting).fit(np.hstack([self.x[train], each[actions[train]]]), rewards[train])
            asked = np.hstack([np.repeat(self.x[test], 10, axis=0), np.tile(each, (len(test), 1))])
            found[test] = model.predict_proba(asked)[:, 1].reshape(-1, 10)
        return found

    def multinomial(self, actions: Any, rewards: Any) -> Any:
        """The same by the class that each action is right for."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        found = np.zeros((len(self.y), 10))
        for train, test in self._folds():
            right = train[rewards[train] > 0]
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            model.fit(self.x[right], actions[right])
            found[np.ix_(test, model.classes_)] = model.predict_proba(self.x[test])
        return found

    def estimated(self, actions: Any, rewards: Any, q_hat: Any = None) -> OffPolicy:
        """The sums of one log."""
        sums = OffPolicy(10, groups=len(self.y), folds=FOLDS)
        sums.add(self.target, self.logged, actions, rewards, q_hat=q_hat)
        return sums


def errors(runs: int) -> dict[str, list[float]]:
    """The relative errors of every run, by method; the run's number is the seed of the split and of the actions.

    The boosted model is fitted in as many runs as were published.
    """
    found: dict[str, list[float]] = {method: [] for method in (*PUBLISHED, BOOSTED)}
    for run in range(runs):
        split = Split(run)
        actions, rewards = split.drawn(np.random.RandomState(run))
        sums = split.estimated(actions, rewards, split.multinomial(actions, rewards))
        values = {method: sums.estimate(method).value for method in PUBLISHED}
        if run < PUBLISHED_RUNS:
            boosted = split.estimated(actions, rewards, split.boosted(actions, rewards))
            values[BOOSTED] = boosted.estimate("dr").value
        for method, value in values.items():
            found[method].append(abs(value - split.truth) / split.truth)
    return found


def coverage(simulations: int) -> tuple[dict[str, float], float]:
    """How many of so many logs' intervals cover the truth, and the mean effective sample size.

    Pictures are drawn anew for every log, with replacement, from one split's evaluation part: the truth is their mean.
    DR has its own model, the cross-fitted mean reward of each action.
    """
    split, rng = Split(0), np.random.default_rng(SEED)
    hits, effective = dict.fromkeys(PUBLISHED, 0), 0.0
    n = len(split.y)
    for _ in range(simulations):
        again = rng.integers(n, size=n)
        sums = OffPolicy(10, groups=n)
        actions = (split.logged[again].cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        rewards = (actions == split.y[again]).astype(np.float64)
        sums.add(split.target[again], split.logged[again], actions, rewards)
        effective += sums.overlap().effective / simulations
        for method in hits:
            estimate = sums.estimate(method)
            hits[method] += estimate.low <= split.truth <= estimate.high
    return {method: count / simulations for method, count in hits.items()}, effective


def rows(*, quick: bool = False, runs: int | None = None, simulations: int | None = None) -> list[Row]:
    """Relative errors beside the published ones, and coverage."""
    runs = runs or (3 if quick else RUNS)
    simulations = simulations or (20 if quick else SIMULATIONS)
    found = errors(runs)
    workload = "off-policy on digits, relative error"
    made = []
    for method, each in found.items():
        kind = method.partition(",")[0]
        for count in sorted({min(PUBLISHED_RUNS, len(each)), len(each)}):
            name, some = f"{method}: {count} runs", each[:count]
            note = f"standard error {np.std(some, ddof=1) / np.sqrt(count):.4f}"
            made.append(Row(workload, QUORATE, name, "", (float(np.mean(some)),), note))
            made.append(Row(workload, "Open Bandit Pipeline", name, "", (PUBLISHED[kind],), "published, of 30 runs"))
            made.append(Row(workload, LIMIT, name, "", (BOUND[kind],)))
    covered, effective = coverage(simulations)
    workload = f"off-policy on digits, coverage of 95 % intervals, {simulations} logs"
    note = f"effective sample size {effective:.0f}; 0.93 to 0.97 is wanted"
    made += [Row(workload, QUORATE, method, "", (share,), note) for method, share in covered.items()]
    return made


def main() -> None:
    """Print the table of this part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    options = parser.parse_args()
    print(render(rows(runs=options.runs, simulations=options.simulations)))


if __name__ == "__main__":
    main()
