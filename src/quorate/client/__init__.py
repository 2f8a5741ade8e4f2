"""The client: typed answers, retries that stay one decision, many items at a time. Needs the extra ``client``."""

from __future__ import annotations

from quorate.client.answers import Answer, EndpointInfo, Item, OutcomeReceipt, Prediction, Rejected, Tensor
from quorate.client.asynchronous import AsyncClient
from quorate.client.batches import BatchRow, RowError
from quorate.client.calibration_requests import Refitted, Reliability
from quorate.client.calibrations import Calibrations
from quorate.client.calibrations_asynchronous import AsyncCalibrations
from quorate.client.errors import QuorateClientError, RequestRefused, ServerFailed, ServerUnavailable, Shed
from quorate.client.experiment_requests import Experiment
from quorate.client.experiments import Experiments
from quorate.client.experiments_asynchronous import AsyncExperiments
from quorate.client.job_requests import Job
from quorate.client.jobs import Jobs
from quorate.client.jobs_asynchronous import AsyncJobs
from quorate.client.learner_requests import Learned, WarmStart
from quorate.client.learners import Learners
from quorate.client.learners_asynchronous import AsyncLearners
from quorate.client.pool_audit_requests import PoolAudit
from quorate.client.pool_audits import PoolAudits
from quorate.client.pool_audits_asynchronous import AsyncPoolAudits
from quorate.client.selection_requests import Coverage, Regret, Trust
from quorate.client.sync import Client

__all__ = [
    "Answer",
    "AsyncCalibrations",
    "AsyncClient",
    "AsyncExperiments",
    "AsyncJobs",
    "AsyncLearners",
    "AsyncPoolAudits",
    "BatchRow",
    "Calibrations",
    "Client",
    "Coverage",
    "EndpointInfo",
    "Experiment",
    "Experiments",
    "Item",
    "Job",
    "Jobs",
    "Learned",
    "Learners",
    "OutcomeReceipt",
    "PoolAudit",
    "PoolAudits",
    "Prediction",
    "QuorateClientError",
    "Refitted",
    "Regret",
    "Rejected",
    "Reliability",
    "RequestRefused",
    "RowError",
    "ServerFailed",
    "ServerUnavailable",
    "Shed",
    "Tensor",
    "Trust",
    "WarmStart",
]
