"""Python function calls for one chat: a count that no busy machine changes.

    python -m bench.calls          the count of a JSON chat, and the functions by calls

Counted in a worker of the gateway as it is deployed, server and libraries included, over many
calls on one kept connection; builtins are not counted.
"""

from __future__ import annotations

import http.client
import json
import tempfile
from collections import Counter
from pathlib import Path

from bench import machine, measures, targets

APP = "bench.profiled:app"
START, STOP = "/bench/profile/start", "/bench/profile/stop"
_CALLS = 100


def counted(folder: Path, *, root: Path = targets.ROOT) -> Counter[str]:
    """Calls of each function (`file:line name`) for one chat.

    Functions of periodic tasks, called in fewer than every second chat, are left out: their
    number depends on how fast the machine is.
    """
    picture = measures.picture_answer(folder / "picture.json", 1000)
    mock = machine.build("mock", folder)
    with (
        targets.mock(mock, picture, folder) as vendor,
        targets.gateway(vendor, folder, workers=1, root=root, app=APP) as gateway,
    ):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {gateway.key}"}
        model = gateway.model.replace("{m}", "fast")
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})

        def ask(method: str, path: str, content: str | None = None) -> bytes:
            connection.request(method, path, content, headers)
            return connection.getresponse().read()

        for _ in range(20):
            ask("POST", gateway.path, body)
        ask("GET", START)
        for _ in range(_CALLS):
            ask("POST", gateway.path, body)
        found: dict[str, int] = json.loads(ask("GET", STOP))
        connection.close()
    calls = {name: round(count / _CALLS, 2) for name, count in found.items()}
    return Counter({name: count for name, count in calls.items() if count >= 0.5})  # type: ignore[misc]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        found = counted(Path(name))
    for function, calls in found.most_common():
        print(f"{calls:8} {function}")
    print(f"{sum(found.values()):.0f} Python function calls for one chat")


if __name__ == "__main__":
    main()
