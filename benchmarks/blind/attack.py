"""The attack: learn from answers whose arm is known, name the arm of the others; then say whether that was luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.blind.features import Sight
from quorate.core.stats.intervals import Interval, wilson

PERMUTATIONS = 5000
DELAYS_US = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000)
LOGISTIC, FOREST, BOOSTING = "logistic regression", "random forest", "gradient boosting"


@dataclass(frozen=True)
class Named:
    """How often a classifier named the arm, on answers it had not seen; ``p`` is of the permutation test.

    ``chance`` is the share of the most frequent arm among them. ``right`` bool ``[n]``.
    """

    accuracy: Interval
    chance: float
    p: float
    right: NDArray[np.bool_]


def classifiers(seed: int) -> dict[str, Any]:
    """The kinds that are tried, by name."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        BOOSTING: HistGradientBoostingClassifier(max_iter=100, learning_rate=0.08, random_state=seed),
        FOREST: RandomForestClassifier(200, min_samples_leaf=5, random_state=seed),
        LOGISTIC: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    }


def by_time(sight: Sight) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Train on the first half of the answers over each number of connections, test on the second: same pictures."""
    connections = sight.columns["connections"]
    train = np.zeros(len(connections), bool)
    for count in np.unique(connections):
        inside = np.flatnonzero(connections == count)
        train[inside[: len(inside) // 2]] = True
    return np.flatnonzero(train), np.flatnonzero(~train)


def by_group(groups: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Train on half of the groups (pictures, users), test on the others."""
    known = np.random.default_rng(seed).permutation(np.unique(groups))
    train = np.isin(groups, known[: len(known) // 2])
    return np.flatnonzero(train), np.flatnonzero(~train)


def judged(guesses: NDArray[Any], truth: NDArray[Any], seed: int, *, groups: NDArray[np.int64] | None = None) -> Named:
    """Compare guesses with the arms; permutations of the arms say how often chance does as well.

    With ``groups`` (users, each of one arm) every group counts once, by the guess most of its rows got.
    """
    if groups is not None:
        firsts = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        truth = np.array([truth[rows[0]] for rows in firsts])
        guesses = np.array([most_common(guesses[rows]) for rows in firsts])
    right = guesses == truth
    hits = int(right.sum())
    rng = np.random.default_rng(seed)
    lucky = sum(int((guesses == rng.permutation(truth)).sum()) >= hits for _ in range(PERMUTATIONS))
    chance = float(np.unique(truth, return_counts=True)[1].max() / len(truth))
    return Named(wilson(hits, len(truth)), chance, (1 + lucky) / (1 + PERMUTATIONS), right)


def attack(
    matrix: NDArray[np.float32],
    arms: NDArray[Any],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    seed: int,
    *,
    groups: NDArray[np.int64] | None = None,
    only: str | None = None,
) -> dict[str, Named]:
    """Every classifier, trained on ``train`` and judged on ``test`` (rows of ``matrix``)."""
    found = {}
    for name, classifier in classifiers(seed).items():
        if only in (None, name):
            guesses = _guesses(classifier, matrix, arms, train, test)
            found[name] = judged(guesses, arms[test], seed, groups=None if groups is None else groups[test])
    return found


def _guesses(
    classifier: Any,
    matrix: NDArray[np.float32],
    arms: NDArray[Any],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> NDArray[Any]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # OpenMP threads that wait for a busy core wait for long
        guesses: NDArray[Any] = classifier.fit(matrix[train], arms[train]).predict(matrix[test])
    return guesses


def most_common(values: NDArray[Any]) -> Any:
    """The value that occurs most often."""
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()]


# --- what the labels themselves tell --------------------------------------------------------------


def label_posteriors(sight: Sight, arms: NDArray[Any], train: NDArray[np.int64]) -> NDArray[np.float64]:
    """``P(arm | picture, label)`` for every answer, float64 ``[n, arms]``, counted on the training rows.

    The Bayes rule of one who looks at picture and label only. Where the answer to a picture depends on the arm alone,
    counts and truth agree once every arm has answered it; a label never seen there tells nothing.
    """
    names = np.unique(arms)
    seen: dict[tuple[int, str], NDArray[np.float64]] = {}
    shown: dict[int, NDArray[np.float64]] = {}
    for row in train:
        picture, arm = int(sight.picture[row]), int(np.searchsorted(names, arms[row]))
        seen.setdefault((picture, str(sight.label[row])), np.zeros(len(names)))[arm] += 1
        shown.setdefault(picture, np.zeros(len(names)))[arm] += 1
    shares = np.array([(arms[train] == name).mean() for name in names])
    result = np.tile(shares, (len(arms), 1))
    for row, (picture, label) in enumerate(zip(sight.picture.tolist(), sight.label.tolist(), strict=True)):
        counts = seen.get((picture, label))
        if counts is not None:
            likely = shares * counts / np.maximum(shown[picture], 1)
            result[row] = likely / likely.sum()
    return result


@dataclass(frozen=True)
class Beyond:
    """What a classifier got out of everything but picture and label: share named right, less what it would be if
    the arms were exchanged among answers with the same picture, label and state of the pool (did a member fail, which
    time may tell and no arm decides), where these tell the same.

    ``p`` is of that permutation test, one-sided; the interval is 1.96 standard deviations of the permutations.
    """

    accuracy: Interval
    excess: Interval
    p: float


def with_labels(sight: Sight, arms: NDArray[Any], failed: NDArray[np.bool_], seed: int) -> tuple[Named, Beyond]:
    """The Bayes rule that knows labels and pictures alone, and gradient boosting with everything else beside them.

    ``failed`` says for which answers a member failed.
    """
    train, test = by_time(sight)
    posteriors = label_posteriors(sight, arms, train)
    names = np.unique(arms)
    alone = judged(names[posteriors[test].argmax(axis=1)], arms[test], seed)
    labels = np.unique(sight.label, return_inverse=True)[1]
    matrix = np.column_stack([sight.matrix, posteriors, np.eye(labels.max() + 1)[labels]]).astype(np.float32)
    guesses = _guesses(classifiers(seed)[BOOSTING], matrix, arms, train, test)
    alike = 2 * (sight.picture[test] * (labels.max() + 1) + labels[test]) + failed[test]
    return alone, beyond(guesses, arms[test], alike, seed)


def beyond(guesses: NDArray[Any], truth: NDArray[Any], alike: NDArray[np.int64], seed: int) -> Beyond:
    """Compare guesses with the arms, against permutations of the arms among rows of the same group ``alike``."""
    rng = np.random.default_rng(seed)
    place = np.argsort(alike, kind="stable")
    guesses, truth, alike = guesses[place], truth[place], alike[place]
    hits = int((guesses == truth).sum())
    drawn = np.array(
        [(guesses == truth[np.lexsort((rng.random(len(truth)), alike))]).sum() for _ in range(PERMUTATIONS // 5)]
    )
    n = len(truth)
    excess, spread = (hits - drawn.mean()) / n, 1.96 * drawn.std() / n
    p = (1 + int((drawn >= hits).sum())) / (1 + len(drawn))
    return Beyond(wilson(hits, n), Interval(float(excess), float(excess - spread), float(excess + spread)), p)


def ceiling(label_of: Mapping[tuple[int, str], str], pictures: NDArray[np.int64], arms: NDArray[Any]) -> float:
    """The best that anybody can do with picture and label where arms are equally likely and answers fixed.

    ``label_of`` maps (picture, arm) to the label; pictures that not all arms answered are left out. The mean over the
    answers of (distinct labels of the picture / number of arms).
    """
    names = np.unique(arms).tolist()
    known = {picture for picture, _ in label_of if all((picture, arm) in label_of for arm in names)}
    distinct = [len({label_of[picture, arm] for arm in names}) for picture in pictures.tolist() if picture in known]
    return float(np.mean(distinct) / len(names))


# --- which feature leaks --------------------------------------------------------------------------


def leaks(columns: Mapping[str, NDArray[np.float64]], arms: NDArray[Any]) -> dict[str, float]:
    """For each column the p-value of its independence of the arm, by Holm for their number; smallest first.

    A column that says the same of every answer is left out.
    """
    found = {name: dependence(column, arms) for name, column in columns.items() if np.any(column != column[0])}
    ordered = sorted(found, key=found.__getitem__)
    result: dict[str, float] = {}
    worst = 0.0
    for place, name in enumerate(ordered):
        worst = max(worst, min(1.0, found[name] * (len(ordered) - place)))
        result[name] = worst
    return result


def dependence(column: NDArray[np.float64], arms: NDArray[Any]) -> float:
    """The p-value of a column's independence of the arm.

    Of two tests, by half each: Kruskal-Wallis (one arm's values are larger) and chi squared on tenths (their
    distribution is another one).
    """
    from scipy import stats

    names = np.unique(arms)
    ranked = stats.kruskal(*(column[arms == arm] for arm in names)).pvalue
    cells = np.searchsorted(np.unique(np.quantile(column, np.linspace(0, 1, 11)[1:-1])), column)
    table = np.array([[np.sum((arms == arm) & (cells == cell)) for cell in np.unique(cells)] for arm in names])
    return min(1.0, 2 * min(float(ranked), float(stats.chi2_contingency(table).pvalue)))


def least_delay(
    milliseconds: NDArray[np.float64], groups: NDArray[np.int64], arms: NDArray[Any], *, p: float = 0.001
) -> float:
    """How many microseconds one arm would have to be slower to be found (``dependence`` below ``p``) in this noise."""
    slower = arms == np.unique(arms)[0]
    for delay in DELAYS_US:
        if dependence(against(milliseconds + slower * delay / 1000, groups), arms) < p:
            return float(delay)
    return float("inf")


def against(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """What values exceed the median of their group by."""
    result = values.copy()
    for group in np.unique(groups):
        result[groups == group] -= np.median(values[groups == group])
    return result


def latency_gap(
    milliseconds: NDArray[np.float64], groups: NDArray[np.int64], arms: NDArray[Any], pair: tuple[str, str], seed: int
) -> Interval:
    """By how many microseconds the first arm of ``pair`` is slower than the second, with a 95 % bootstrap interval.

    Latencies are first compared with the median of their group (form, connections), then averaged without the upper
    and lower tenth.
    """
    from scipy.stats import trim_mean

    typical = against(milliseconds, groups)
    first, second = (typical[arms == arm] for arm in pair)
    rng = np.random.default_rng(seed)

    def again(part: NDArray[np.float64]) -> float:
        return float(trim_mean(rng.choice(part, len(part)), 0.1))

    low, high = np.quantile([again(first) - again(second) for _ in range(500)], (0.025, 0.975))
    return Interval(1000 * float(trim_mean(first, 0.1) - trim_mean(second, 0.1)), 1000 * float(low), 1000 * float(high))
