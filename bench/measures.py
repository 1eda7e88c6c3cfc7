"""The measurements. Each takes a running target and returns {metric: number}."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bench.machine import Peak, cpu_s, rss_mb
from bench.targets import Target

Metrics = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """How long and how much."""

    seconds: float = 4  # of load at a time
    held: tuple[int, ...] = (1000, 4000)
    jobs: int = 200  # held calls per worker
    sizes: int = 10_000  # accounts and keys of the large gateways
    picture: int = 1024 * 1024  # bytes, of a generated one
    body: int = 5 * 1024 * 1024


class Bench:
    """The load client and the bodies it sends."""

    def __init__(self, program: Path, folder: Path, scale: Scale) -> None:
        self.program = program
        self.folder = folder
        self.scale = scale
        self.idle_mb: dict[str, float] = {}  # RSS of targets that have not been under load yet

    def load(self, target: Target, model: str, connections: int, **how: Any) -> dict[str, Any]:
        """One run of the load client, with the target's CPU seconds in `cpu_s`."""
        document = {
            "model": target.model.replace("{m}", model),
            "messages": how.pop("messages", [{"role": "user", "content": "What is this?"}]),
            "temperature": 0.5,
            "stream": model.startswith("stream"),
        }
        found = self.send(target, document, connections, **how)
        if document["stream"]:
            found["wrong"] += found["answers"] - found["ended"]
        return found

    def send(
        self, target: Target, document: Any, connections: int, path: str = "", **how: Any
    ) -> dict[str, Any]:
        body = self.folder / f"body-{target.name.replace(' ', '-')}"
        body.write_text(json.dumps(document))
        how = how or {"seconds": self.scale.seconds}
        before = cpu_s(target.pid) if target.pid else 0.0
        found = machine.load(
            self.program,
            target.port,
            path=path or target.path,
            body=body,
            connections=connections,
            headers=target.all_headers,
            **how,
        )
        found["cpu_s"] = cpu_s(target.pid) - before if target.pid else 0.0
        found["good"] = found["codes"].get("200", 0)
        found["wrong"] = found["failures"] + found["answers"] - found["good"]
        return found


@dataclass(frozen=True)
class Step:
    """One measurement of one target; all targets take their turn before the next step."""

    name: str
    run: Callable[[Bench, Target], Metrics]
    bare: bool = True  # whether the mock takes part
    only: str = ""  # the target that it is about


def calls(connections: int, bench: Bench, target: Target) -> Metrics:
    seconds = bench.scale.seconds / (1 if connections == 64 else 2)
    found = bench.load(target, "fast", connections, seconds=seconds)
    times = found["answer_ms"]
    return {
        f"calls_per_s_c{connections}": found["good"] / found["seconds"],
        f"call_p50_ms_c{connections}": times.get("p50", 0),
        f"call_p99_ms_c{connections}": times.get("p99", 0),
        f"call_spread_c{connections}": times["p99"] / times["p50"] if times["count"] else 0,
        f"call_cpu_us_c{connections}": found["cpu_s"] / max(1, found["good"]) * 1e6,
        "errors_calls": found["wrong"],
    }


def first_chunk(connections: int, bench: Bench, target: Target) -> Metrics:
    found = bench.load(target, "stream-20x0", connections, seconds=bench.scale.seconds / 2)
    return {
        f"first_chunk_ms_c{connections}": found["first_chunk_ms"].get("p50", 0),
        "errors_streams": found["wrong"],
    }


def burst(bench: Bench, target: Target) -> Metrics:
    """Streams whose chunks are all there at once."""
    found = bench.load(target, "stream-200x0", 64)
    return {
        "burst_chunks_per_s": found["chunks"] / found["seconds"],
        "burst_cpu_us": found["cpu_s"] / max(1, found["chunks"]) * 1e6,
        "errors_streams": found["wrong"],
    }


def paced(bench: Bench, target: Target) -> Metrics:
    """A chunk of each of 64 streams every 20 ms: nobody is at the limit."""
    found = bench.load(target, "stream-50x20", 64, requests=64 * max(1, round(bench.scale.seconds)))
    return {
        "transit_p50_ms": found["transit_ms"].get("p50", 0),
        "transit_p99_ms": found["transit_ms"].get("p99", 0),
        "paced_cpu_us": found["cpu_s"] / max(1, found["chunks"]) * 1e6,
        "errors_streams": found["wrong"],
    }


def held(count: int, bench: Bench, target: Target) -> Metrics:
    """Many streams at once, a chunk of each every 100 ms; without a gateway it takes 7 s."""
    idle_mb = bench.idle_mb.get(target.name, 0)
    with Peak(target.pid) as peak:
        found = bench.load(
            target, "stream-50x100", count, requests=count, seconds=60, ramp=count / 2
        )
    machine.settle(target.pid)
    metrics = {
        f"held{count}_complete": found["chunks"] / (50 * count),
        f"held{count}_wall_s": found["seconds"],
        f"held{count}_first_chunk_p99_ms": found["first_chunk_ms"].get("p99", 0),
        f"held{count}_transit_p50_ms": found["transit_ms"].get("p50", 0),
        f"held{count}_cpu_us": found["cpu_s"] / max(1, found["chunks"]) * 1e6,
        f"held{count}_peak_rss_mb": peak.mb,
        f"held{count}_errors": found["wrong"] + found["unfinished"],
    }
    if count == bench.scale.held[-1] and idle_mb:
        metrics["kb_per_stream"] = (peak.mb - idle_mb) * 1024 / count
        del bench.idle_mb[target.name]  # later turns find memory that this one has left
    return metrics


def bodies(bench: Bench, target: Target) -> Metrics:
    """Requests of 5 MB: a picture as a data URL."""
    picture = base64.b64encode(png(bench.scale.body * 3 // 4)).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    message = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}
    seconds = bench.scale.seconds
    with Peak(target.pid) as peak:
        found = bench.load(target, "fast", 4, messages=[message], seconds=seconds)
    return {
        "body5mb_per_s": found["good"] / found["seconds"],
        "body5mb_cpu_ms": found["cpu_s"] / max(1, found["good"]) * 1e3,
        "body5mb_peak_rss_mb": peak.mb,
        "errors_bodies": found["wrong"],
    }


def memory(bench: Bench, target: Target) -> Metrics:
    return {"rss_mb": rss_mb(target.pid), "pss_mb": machine.pss_mb(target.pid)}


def pictures(form: str, bench: Bench, target: Target) -> Metrics:
    """Pictures of 1 MB, taken into the store, and answered as links or as base64."""
    document = {"model": "openai/gpt-image-1", "prompt": "a cat", "response_format": form}
    found = bench.send(target, document, 4, path="/v1/images/generations")
    return {
        f"picture_{form}_per_s": found["good"] / found["seconds"],
        f"picture_{form}_cpu_ms": found["cpu_s"] / max(1, found["good"]) * 1e3,
        "errors_pictures": found["wrong"],
    }


def png(size: int) -> bytes:
    """A picture of about `size` bytes that does not compress."""
    width = 1024
    height = size // (3 * width) + 1
    noise = random.Random(1).randbytes(3 * width)
    rows = b"".join(b"\0" + noise[i % 97 :] + noise[: i % 97] for i in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return len(data).to_bytes(4, "big") + whole + zlib.crc32(whole).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 0))
        + chunk(b"IEND", b"")
    )


def picture_answer(path: Path, size: int) -> Path:
    """What the mock answers for pictures."""
    found = base64.b64encode(png(size)).decode()
    path.write_text(json.dumps({"created": 1, "data": [{"b64_json": found}]}))
    return path
