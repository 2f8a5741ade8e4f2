"""The client: typed answers, retries that stay one decision, many items at a time. Needs the extra ``client``."""

from __future__ import annotations

from quorate.client.answers import Answer, EndpointInfo, Item, OutcomeReceipt, Prediction, Rejected, Tensor
from quorate.client.asynchronous import AsyncClient
from quorate.client.errors import QuorateClientError, RequestRefused, ServerFailed, ServerUnavailable, Shed
from quorate.client.sync import Client

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "EndpointInfo",
    "Item",
    "OutcomeReceipt",
    "Prediction",
    "QuorateClientError",
    "Rejected",
    "RequestRefused",
    "ServerFailed",
    "ServerUnavailable",
    "Shed",
    "Tensor",
]
