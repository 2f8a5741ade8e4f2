import asyncio
import threading
from math import inf

import numpy as np

from quorate.serving.feed import Feed


def test_a_run_is_blamed_once_and_only_after_it_began(house):
    gate = threading.Event()
    house.hung = True
    pool = house.pool(slow=house.threaded(lambda t: gate.wait(10) and None), idle=house.threaded(0.9))
    slow, idle = (pool.batcher(member.unit) for member in pool.members)

    async def main():
        def submit(batcher):
            feed = Feed({"input": np.zeros((1, 2), np.float32)}, 1)
            return batcher.submit(feed, until=inf, fault_after=0.1, owner="a", bulk=False)

        held = submit(slow)  # takes the lane's only thread
        while held.run.began is None:
            await asyncio.sleep(0)
        joined = [submit(idle) for _ in range(4)]
        await asyncio.sleep(0.5)
        now = house.clock.monotonic()
        assert [work.to_blame(now) for work in joined] == [False] * 4
        assert (held.to_blame(now), held.to_blame(now)) == (True, False)
        gate.set()
        await asyncio.wait([held.future, *(work.future for work in joined)])

    house.run(main())
