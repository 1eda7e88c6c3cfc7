"""A vendor that plays a coding model: it has its caller write a file, and then says so.

It speaks Chat Completions (also Ark's) and Gemini's generateContent, both as streams or
whole. It calls the first tool that it knows among those offered; without any it answers
with the file in the form that aider reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

_SHELL = "printf hello > hello.txt"
_SCRIPT = f'const r = await tools.exec_command({{cmd: "{_SHELL}"}}); text(r.output ?? "");'
_PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+hello\n*** End Patch\n"
_FILE = "hello.txt\n```\nhello\n```\n"
_DONE = "I created hello.txt."
_WRITERS = ("Write", "write_file", "write", "write_to_file", "create_file", "editor")
_SHELLS = ("exec_command", "shell_command", "shell", "bash", "Bash", "run_commands")
_FREEFORM = {"apply_patch": _PATCH, "exec": _SCRIPT}


def call_for(tools: dict[str, dict[str, Any]], folder: str) -> tuple[str, dict[str, Any]] | None:
    """The tool to call, and arguments that fit its schema."""
    for name in (*_FREEFORM, *_WRITERS, *_SHELLS):
        if name not in tools:
            continue
        fields = tools[name].get("properties") or {}
        if name in _FREEFORM and "input" in fields:
            return name, {"input": _FREEFORM[name]}
        found = {key: _value(key, fields[key], folder) for key in fields}
        given = {key: value for key, value in found.items() if value is not None}
        if given:
            return name, given
    return None


def _value(key: str, schema: dict[str, Any], folder: str) -> Any:
    if key in ("file_path", "filePath", "path", "absolute_path"):
        return f"{folder}/hello.txt"
    if key in ("content", "file_text", "new_text", "contents"):
        return "hello"
    if key in ("cmd", "command"):
        return ["bash", "-lc", _SHELL] if schema.get("type") == "array" else _SHELL
    if key == "commands":
        return [_SHELL]
    return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "enerateContent" in self.path:
            self._gemini(body)
        else:
            self._chat(body)

    def _chat(self, body: dict[str, Any]) -> None:
        functions = [tool["function"] for tool in body.get("tools", ())]
        tools = {f["name"]: f.get("parameters") or {} for f in functions}
        answered = any(message["role"] == "tool" for message in body["messages"])
        call = None if answered else call_for(tools, self.folder)
        message: dict[str, Any] = {"role": "assistant", "content": _DONE if tools else _FILE}
        if call:
            function = {"name": call[0], "arguments": json.dumps(call[1])}
            message["content"] = None
            message["tool_calls"] = [
                {"index": 0, "id": "call_1", "type": "function", "function": function}
            ]
        finish = "tool_calls" if call else "stop"
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        head = {"id": "1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self._json(head | {"object": "chat.completion", "choices": [choice], "usage": usage})
            return
        first = {"index": 0, "delta": message, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": finish}
        head |= {"object": "chat.completion.chunk"}
        self._events([*({**head, "choices": [c]} for c in (first, last)),
                      head | {"choices": [], "usage": usage}], done=True)  # fmt: skip

    def _gemini(self, body: dict[str, Any]) -> None:
        declared = [f for tool in body.get("tools", ()) for f in tool["functionDeclarations"]]
        tools = {f["name"]: f.get("parametersJsonSchema") or {} for f in declared}
        parts = [part for content in body["contents"] for part in content["parts"]]
        answered = any("functionResponse" in part for part in parts)
        call = None if answered else call_for(tools, self.folder)
        part: dict[str, Any] = {"text": _DONE if tools else _FILE}
        if call:
            part = {
                "functionCall": {"name": call[0], "args": call[1]},
                "thoughtSignature": "c2lnbmVk",
            }
        content = {"role": "model", "parts": [part]}
        found = {
            "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10},
        }
        if "streamGenerateContent" in self.path:
            self._events([found])
        else:
            self._json(found)

    def _json(self, document: dict[str, Any]) -> None:
        self._send("application/json", json.dumps(document).encode())

    def _events(self, events: list[dict[str, Any]], *, done: bool = False) -> None:
        lines = [json.dumps(event) for event in events] + ["[DONE]"] * done
        self._send("text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode())

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def stand_in(folder: str) -> Iterator[str]:
    """Serve at an address; files are written into `folder`."""
    handler = type("Handler", (_Handler,), {"folder": folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
