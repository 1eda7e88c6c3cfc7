"""The simulated Gemini Enterprise fits the vendor's libraries and discovery documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any
from uuid import uuid4

import pytest
import requests
from google.api_core import exceptions
from google.auth import credentials as auth
from google.cloud import discoveryengine_v1 as de
from google.cloud import discoveryengine_v1beta as de_beta
from google.protobuf import json_format
from googleapiclient.discovery import build

from tests.support.simulators import ENGINE

ASSISTANT = f"{ENGINE}/assistants/default_assistant"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOOLS = {"imageGenerationSpec": {}, "videoGenerationSpec": {}}
# What the live service sends and its discovery document does not know.
UNDOCUMENTED = {"$.sessionInfo.queryId", "$.answer.diagnosticInfo"}


class Bearer(auth.Credentials):
    """A user's own token, which needs no refresh."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def refresh(self, request: object) -> None:
        raise AssertionError("a user's token is not refreshed here")

    @property
    def valid(self) -> bool:
        return True


def document(version: str) -> dict[str, Any]:
    """The vendor's discovery document."""
    folder = resources.files("googleapiclient") / "discovery_cache" / "documents"
    return json.loads((folder / f"discoveryengine.{version}.json").read_text())


def unknown_fields(schemas: Any, schema: Any, value: Any, path: str = "$") -> Iterator[str]:
    """Yield the paths of what a discovery document does not describe that way."""
    if "$ref" in schema:
        yield from unknown_fields(schemas, schemas[schema["$ref"]], value, path)
    elif schema.get("type") == "array":
        assert isinstance(value, list), path
        for item in value:
            yield from unknown_fields(schemas, schema["items"], item, path)
    elif schema.get("type") == "object" and "properties" in schema:
        for name, item in value.items():
            if name in schema["properties"]:
                known = schema["properties"][name]
                yield from unknown_fields(schemas, known, item, f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}={value}"
    elif schema.get("type") in ("string", "boolean"):
        assert isinstance(value, {"string": str, "boolean": bool}[schema["type"]]), path


@pytest.mark.parametrize("package", [de, de_beta])
def test_client_library_opens_asks_and_deletes(package, enterprise_url, ledger):
    options = {"api_endpoint": enterprise_url}
    token = Bearer(f"ya29.{uuid4().hex}")
    sessions = package.SessionServiceClient(
        transport="rest", credentials=token, client_options=options
    )
    assistants = package.AssistantServiceClient(
        transport="rest", credentials=token, client_options=options
    )
    session = sessions.create_session(
        parent=ENGINE, session=package.Session(display_name="lib", labels=["gw"])
    )
    assert re.fullmatch(r"projects/\d+/locations/global/.*/sessions/\d+", session.name)
    request = package.StreamAssistRequest(
        name=ASSISTANT, query=package.Query(text="what is new?"), session=session.name
    )
    answers = list(assistants.stream_assist(request))
    states = [one.answer.state.name for one in answers]
    assert states == ["IN_PROGRESS"] * (len(states) - 1) + ["SUCCEEDED"]
    replies = [one.answer.replies[0].grounded_content.content for one in answers]
    said = "".join(content.text for content in replies if not content.thought)
    assert "what is new?" in said
    assert answers[-1].session_info.session == session.name
    assert not answers[0].session_info.session
    (listed,) = sessions.list_sessions(
        request=package.ListSessionsRequest(parent=ENGINE, filter='labels: "gw"')
    )
    assert listed.display_name == "lib"
    changed = sessions.update_session(
        session=package.Session(name=session.name, display_name="new"),
        update_mask={"paths": ["display_name"]},
    )
    assert changed.display_name == "new"
    assert len(sessions.get_session(name=session.name).turns) == 1
    assert session.name in ledger()["sessions"]["names"]
    sessions.delete_session(name=session.name)
    assert session.name not in ledger()["sessions"]["names"]
    with pytest.raises(exceptions.NotFound):
        sessions.get_session(name=session.name)


def test_discovery_client_works_on_v1alpha(enterprise_url):
    with build(
        "discoveryengine",
        "v1alpha",
        credentials=Bearer(f"ya29.{uuid4().hex}"),
        static_discovery=True,
        client_options={"api_endpoint": enterprise_url},
    ) as service:
        engines = service.projects().locations().collections().engines()
        session = engines.sessions().create(parent=ENGINE, body={"displayName": "x"}).execute()
        answer = (
            engines.assistants()
            .streamAssist(
                name=ASSISTANT, body={"query": {"text": "tell me"}, "session": session["name"]}
            )
            .execute()
        )
        assert answer[-1]["answer"]["state"] == "SUCCEEDED"
        assert engines.sessions().delete(name=session["name"]).execute() == {}


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("words", ["", "blocked", "filtered", "image"])
def test_answers_fit_the_discovery_document(enterprise, version, words):
    body = {"query": {"text": "draw nothing"}, "toolsSpec": {"imageGenerationSpec": {}}}
    headers = {"X-Simulate": words}
    answer = enterprise("POST", f"/{version}/{ASSISTANT}:streamAssist", body, headers=headers)
    schemas = document(version)["schemas"]
    name = f"GoogleCloudDiscoveryengine{version.capitalize()}StreamAssistResponse"
    for element in answer.json():
        found = set(unknown_fields(schemas, {"$ref": name}, element))
        assert found <= (UNDOCUMENTED if version == "v1alpha" else set())


def test_answers_fit_the_messages_of_the_client_library(enterprise):
    body = {"query": {"text": "tell me"}}
    for element in enterprise("POST", f"/v1beta/{ASSISTANT}:streamAssist", body).json():
        message = de_beta.StreamAssistResponse.pb(de_beta.StreamAssistResponse())
        json_format.ParseDict(element, message, ignore_unknown_fields=False)


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_every_field_of_the_discovery_document_is_accepted(enterprise, version):
    schemas = document(version)["schemas"]
    prefix = f"GoogleCloudDiscoveryengine{version.capitalize()}"
    fields = schemas[f"{prefix}StreamAssistRequest"]["properties"]
    tools = schemas[f"{prefix}StreamAssistRequestToolsSpec"]["properties"]
    body = {name: {} for name, schema in fields.items() if "$ref" in schema}
    body["toolsSpec"] = {name: {} for name in tools}
    body["query"] = {"text": "tell me"}
    assert enterprise("POST", f"/{version}/{ASSISTANT}:streamAssist", body).status_code == 200


@pytest.mark.parametrize(
    ("word", "status", "name"),
    [
        ("denied", 403, "PERMISSION_DENIED"),
        ("overdue", 403, "PERMISSION_DENIED"),
        ("wrong", 401, "UNAUTHENTICATED"),
        ("expired", 401, "UNAUTHENTICATED"),
        ("empty9", 429, "RESOURCE_EXHAUSTED"),
        ("daily", 429, "RESOURCE_EXHAUSTED"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("broken", 500, "INTERNAL"),
    ],
)
def test_users_tokens_fail_as_at_the_vendor(enterprise_url, word, status, name):
    headers = {"Authorization": f"Bearer ya29.{uuid4().hex}-{word}"}
    url = f"{enterprise_url}/v1alpha/{ASSISTANT}:streamAssist"
    answer = requests.post(url, json={"query": {"text": "a"}}, headers=headers, timeout=20)
    (element,) = answer.json()
    assert (answer.status_code, element["error"]["status"]) == (status, name)
    sessions = requests.get(
        f"{enterprise_url}/v1alpha/{ENGINE}/sessions", headers=headers, timeout=20
    )
    assert sessions.status_code == (status if status in (401, 403) else 200)
    if word == "empty9":
        assert element["error"]["details"][1]["retryDelay"] == "9s"


def test_library_raises_the_vendors_errors(enterprise_url):
    client = de.AssistantServiceClient(
        transport="rest",
        credentials=Bearer(f"ya29.{uuid4().hex}-empty"),
        client_options={"api_endpoint": enterprise_url},
    )
    with pytest.raises(exceptions.TooManyRequests):
        list(client.stream_assist(de.StreamAssistRequest(name=ASSISTANT, query=de.Query(text="a"))))
