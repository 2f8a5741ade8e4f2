"""What was known when a certain number of units of both arms were."""

from __future__ import annotations

import numpy as np

from quorate.core.stats.metric import Sample


def first_units(control: Sample, treatment: Sample, total: int) -> tuple[Sample, Sample]:
    """The first ``total`` units of both arms together, all where there are fewer.

    In order of their times where both arms have some (control first where equal), else evenly interleaved.
    """
    n, m = len(control), len(treatment)
    if total >= n + m:
        return control, treatment
    if control.times is not None and treatment.times is not None:
        order = np.argsort(np.concatenate([control.times, treatment.times]), kind="stable")
        of_control = int(np.count_nonzero(order[:total] < n))
    else:
        of_control = round(total * n / (n + m))
    return control.first(of_control), treatment.first(total - of_control)
