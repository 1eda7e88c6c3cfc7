"""Models of Ark, and calls to them by the vendor's SDK."""

from __future__ import annotations

import io
import time
from typing import Any

import requests
from PIL import Image
from volcenginesdkarkruntime import Ark

from tests.support.media import data_url, png

CHAT = "doubao-seed-1-6-251015"
PLAIN = "doubao-1-5-pro-32k-250115"
IMAGE = "doubao-seedream-4-0-250828"
IMAGE_PRO = "doubao-seedream-5-0-pro-260628"
VIDEO = "doubao-seedance-1-0-pro-250528"
VIDEO_2 = "doubao-seedance-2-0-260128"
HELLO = [{"role": "user", "content": "hello"}]


def video_task(ark: Ark, **options: Any) -> str:
    content = options.pop("content", [{"type": "text", "text": "a cat yawns"}])
    model = options.pop("model", VIDEO)
    return ark.content_generation.tasks.create(model=model, content=content, **options).id


def wait_for(ark: Ark, task_id: str, *statuses: str) -> Any:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        task = ark.content_generation.tasks.get(task_id=task_id)
        if task.status in statuses:
            return task
        time.sleep(0.1)
    raise AssertionError(f"{task_id} was never {statuses}")


def image(url: str, role: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "image_url", "image_url": {"url": url}}
    return part | ({"role": role} if role else {})


def size_of(url: str) -> tuple[str, str]:
    """The format of an image, and its width and height."""
    with Image.open(io.BytesIO(requests.get(url, timeout=20).content)) as image:
        return str(image.format), "{}x{}".format(*image.size)


FRAME = data_url(png(640, 360))
