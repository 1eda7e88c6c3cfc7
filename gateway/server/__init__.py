"""The gunicorn worker of the gateway: `worker_class = "gateway.server.Worker"`."""

from gateway.server.timeouts import Timeouts
from gateway.server.worker import Worker

__all__ = ["Timeouts", "Worker"]
