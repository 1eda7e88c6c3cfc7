"""How the gateway is served: `worker_class = "gateway.server.Worker"`."""

from gateway.server.timeouts import Times
from gateway.server.worker import Worker

__all__ = ["Times", "Worker"]
