"""The measurements. Each takes a running target and returns {metric: number}."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import time
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

    seconds: float = 4
    held: tuple[int, ...] = (1000, 4000)
    jobs: int = 200  # held calls per worker


class Bench:
    """The load client and the bodies it sends."""

    def __init__(self, program: Path, folder: Path, scale: Scale) -> None:
        self._program = program
        self._folder = folder
        self.scale = scale

    def load(self, target: Target, model: str, connections: int, **how: Any) -> dict[str, Any]:
        """One run of the load client, with the gateway's CPU seconds in `cpu_s`."""
        document = {
            "model": target.model.replace("{m}", model),
            "messages": how.pop("messages", [{"role": "user", "content": "What is this?"}]),
            "temperature": 0.5,
            "stream": model.startswith("stream"),
        }
        return self.send(target, document, connections, **how)

    def send(
        self, target: Target, document: Any, connections: int, path: str = "", **how: Any
    ) -> dict[str, Any]:
        body = self._folder / f"body-{target.name}-{zlib.crc32(repr(document)[:500].encode())}"
        body.write_text(json.dumps(document))
        before = cpu_s(target.pid) if target.pid else 0.0
        found = machine.load(
            self._program,
            target.port,
            path=path or target.path,
            body=body,
            connections=connections,
            headers=target.all_headers,
            **how,
        )
        found["cpu_s"] = cpu_s(target.pid) - before if target.pid else 0.0
        found["wrong"] = found["failures"] + found["answers"] - found["codes"].get("200", 0)
        return found

    # Each of the following is one measurement.

    def calls(self, target: Target) -> Metrics:
        metrics: Metrics = {}
        for c in (64, 16, 1):
            found = self.load(target, "fast", c, seconds=self.scale.seconds)
            answers = max(1, found["answers"])
            metrics[f"calls_per_s_c{c}"] = found["answers"] / found["seconds"]
            metrics[f"call_p50_ms_c{c}"] = found["answer_ms"].get("p50", 0)
            metrics[f"call_p99_ms_c{c}"] = found["answer_ms"].get("p99", 0)
            metrics[f"call_cpu_us_c{c}"] = found["cpu_s"] / answers * 1e6
            metrics["call_errors"] = metrics.get("call_errors", 0) + found["wrong"]
        return metrics

    def streams(self, target: Target) -> Metrics:
        alone = self.load(target, "stream-20x0", 1, requests=200)
        some = self.load(target, "stream-20x0", 16, requests=640)
        burst = self.load(target, "stream-200x0", 64, requests=64 * 12)
        paced = self.load(target, "stream-20x20", 16, requests=48)
        return {
            "first_chunk_ms_c1": alone["first_chunk_ms"].get("p50", 0),
            "first_chunk_ms_c16": some["first_chunk_ms"].get("p50", 0),
            "burst_chunks_per_s": burst["chunks"] / burst["seconds"],
            "burst_cpu_us": burst["cpu_s"] / max(1, burst["chunks"]) * 1e6,
            "transit_p50_ms": paced["transit_ms"].get("p50", 0),
            "transit_p99_ms": paced["transit_ms"].get("p99", 0),
            "stream_errors": sum(each["wrong"] for each in (alone, some, burst, paced)),
        }

    def held(self, target: Target) -> Metrics:
        """Many streams at once, a chunk of each every 100 ms; without a gateway it takes 7 s."""
        metrics: Metrics = {}
        for count in self.scale.held:
            before = rss_mb(target.pid) if target.pid else 0
            with Peak(target.pid) as peak:
                found = self.load(
                    target, "stream-50x100", count, requests=count, seconds=60, ramp=count / 2
                )
            metrics |= {
                f"held{count}_complete": found["chunks"] / (50 * count),
                f"held{count}_wall_s": found["seconds"],
                f"held{count}_first_chunk_p99_ms": found["first_chunk_ms"].get("p99", 0),
                f"held{count}_transit_p50_ms": found["transit_ms"].get("p50", 0),
                f"held{count}_cpu_us": found["cpu_s"] / max(1, found["chunks"]) * 1e6,
                f"held{count}_kb_per_stream": (peak.mb - before) * 1024 / count,
                f"held{count}_peak_rss_mb": peak.mb,
            }
        return metrics

    def bodies(self, target: Target) -> Metrics:
        """Requests of 5 MB: a picture as a data URL."""
        picture = base64.b64encode(png(5 * 1024 * 1024 * 3 // 4)).decode()
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
        message = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}
        with Peak(target.pid) as peak:
            found = self.load(target, "fast", 4, seconds=self.scale.seconds, messages=[message])
        return {
            "body5mb_per_s": found["answers"] / found["seconds"],
            "body5mb_cpu_ms": found["cpu_s"] / max(1, found["answers"]) * 1e3,
            "body5mb_peak_rss_mb": peak.mb,
            "body5mb_errors": found["wrong"],
        }

    def memory(self, target: Target) -> Metrics:
        return {"rss_mb": rss_mb(target.pid), "pss_mb": machine.pss_mb(target.pid)}

    # These are about what only the gateway does.

    def pictures(self, target: Target) -> Metrics:
        """Pictures of 1 MB, taken into the store, and answered as links or as base64."""
        metrics: Metrics = {}
        for form in ("url", "b64_json"):
            document = {"model": "openai/gpt-image-1", "prompt": "a cat", "response_format": form}
            found = self.send(
                target, document, 4, path="/v1/images/generations", seconds=self.scale.seconds
            )
            metrics[f"picture_{form}_per_s"] = found["answers"] / found["seconds"]
            metrics[f"picture_{form}_cpu_ms"] = found["cpu_s"] / max(1, found["answers"]) * 1e3
            metrics["picture_errors"] = metrics.get("picture_errors", 0) + found["wrong"]
        return metrics

    def mixed(self, target: Target) -> Metrics:
        """Short calls alone, beside held chat calls, and beside held video jobs."""
        alone = self.load(target, "fast", 8, seconds=self.scale.seconds)
        held = self.scale.jobs * target.workers
        video = {"model": "ark/doubao-seedance-1-0-pro-250528", "prompt": "waves"}
        metrics = {f"alone_{part}_ms": alone["answer_ms"][part] for part in ("p50", "p99")}
        for name, path, document in (
            ("beside_calls", target.path, self._slow(target)),
            ("beside_jobs", "/v1/video/generations", video),
        ):
            with self._holding(target, path, document, held):
                found = self.load(target, "fast", 8, seconds=self.scale.seconds)
            metrics[f"{name}_p50_ms"] = found["answer_ms"]["p50"]
            metrics[f"{name}_p99_ms"] = found["answer_ms"]["p99"]
            metrics[f"{name}_errors"] = found["wrong"]
        return metrics

    def _slow(self, target: Target) -> dict[str, Any]:
        model = target.model.replace("{m}", "slow-20000")
        return {"model": model, "messages": [{"role": "user", "content": "hi"}]}

    def _holding(self, target: Target, path: str, document: Any, count: int) -> _Holding:
        body = self._folder / f"held-{path.rpartition('/')[2]}"
        body.write_text(json.dumps(document))
        command = [self._program, str(target.port), path, body, str(count), str(count), "60", "400"]
        return _Holding([str(part) for part in (*command, *target.all_headers)], count / 400 + 2)


class _Holding:
    """Calls that wait for their answer while the block runs; then they leave."""

    def __init__(self, command: list[str], settle_s: float) -> None:
        self._command = command
        self._settle_s = settle_s

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        time.sleep(self._settle_s)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        time.sleep(1)


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


def picture_answer(path: Path) -> Path:
    """What the mock answers for pictures."""
    found = base64.b64encode(png(1024 * 1024)).decode()
    path.write_text(json.dumps({"created": 1, "data": [{"b64_json": found}]}))
    return path


COMMON: tuple[Callable[[Bench, Target], Metrics], ...] = (Bench.calls, Bench.streams)
SLOW: tuple[Callable[[Bench, Target], Metrics], ...] = (Bench.held, Bench.bodies, Bench.memory)
OWN: tuple[Callable[[Bench, Target], Metrics], ...] = (Bench.pictures, Bench.mixed)
