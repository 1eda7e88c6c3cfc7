"""How the gateway is served: `worker_class = "gateway.worker.Worker"`."""

from gateway.worker.process import Worker
from gateway.worker.times import Times

__all__ = ["Times", "Worker"]
