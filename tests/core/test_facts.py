import pytest

from quorate.core import facts
from quorate.errors import ConfigError


def test_every_fact_says_what_it_is():
    for fact in facts.CATALOGUE:
        assert fact.meaning.endswith(".")
        assert fact.source
        assert fact.unit or fact.type != "number"
        assert fact.type == "number" or (fact.low, fact.high) == (None, None)
        assert facts.find(fact.name) is fact


def test_names_of_members_may_have_dots():
    assert facts.find("member.cnn.v2.latency_ms") is facts.find("member.NAME.latency_ms")
    assert facts.find("member.healthy") is None
    assert facts.find("member..healthy") is None


def test_who_asks_for_what_there_is_not_is_told_what_there_is():
    with pytest.raises(ConfigError, match=r"did you mean 'input\.rows'"):
        facts.need("input.row", "policy")
    with pytest.raises(ConfigError, match="not known to a front"):
        facts.need("load.queue_ms", "front")
