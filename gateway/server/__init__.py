"""How the gateway is served: `worker_class = "gateway.server.Worker"`."""

from gateway.server.timeouts import Timeouts
from gateway.server.worker import Worker

__all__ = ["Timeouts", "Worker"]
