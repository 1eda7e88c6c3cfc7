"""The simulated Gemini Enterprise, driven with the vendor's SDKs and with raw REST."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
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
from PIL import Image

from gateway.simulators.seen import describe
from tests.support.media import mp4, png

ENGINE = "projects/test/locations/global/collections/default_collection/engines/app"
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


@pytest.fixture
def ask(enterprise, opened) -> Callable[..., list[dict[str, Any]]]:
    """Asks in the session and returns the elements of the answer."""

    def send(text: str, words: str = "video=0", **body: Any) -> list[dict[str, Any]]:
        asked = {"query": {"text": text}, "session": opened, "toolsSpec": TOOLS} | body
        headers = {"X-Simulate": words}
        answer = enterprise("POST", f"{ASSISTANT}:streamAssist", asked, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return send


@pytest.fixture
def upload(enterprise, opened) -> Callable[..., str]:
    """Puts a file into the session and returns its id."""

    def add(name: str, data: bytes, session: str = opened) -> str:
        body = {"fileName": name, "fileContents": base64.b64encode(data).decode()}
        answer = enterprise("POST", f"{session}:addContextFile", body)
        assert answer.status_code == 200, answer.text
        return answer.json()["fileId"]

    return add


def contents(elements: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for element in elements:
        for reply in element["answer"].get("replies", []):
            if content := reply["groundedContent"].get("content"):
                yield content


def text_of(elements: list[dict[str, Any]]) -> str:
    return "".join(c["text"] for c in contents(elements) if "text" in c and not c.get("thought"))


def files_of(elements: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [content["file"] for content in contents(elements) if "file" in content]


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


def test_question_about_files_is_answered_with_what_arrived(ask, upload):
    ids = [upload("a.png", png(64, 48)), upload("b.mp4", mp4())]
    assert all(re.fullmatch(r"\d+", file_id) for file_id in ids)
    elements = ask("please describe both", fileIds=ids)
    assert "I see 2 attachments: image/png 64x48" in text_of(elements)
    assert "video/mp4" in text_of(elements)
    first = ask("and the first?", fileIds=ids[:1])
    assert "This is turn 2" in text_of(first)
    assert "I see 1 attachment: image/png" in text_of(first)


def test_transcript_is_answered_by_its_last_turn(ask):
    text = text_of(ask("User: draw a cat\n\nAssistant: here\n\nUser: and why?"))
    assert "This is turn 2" in text
    assert "and why?" in text


def test_array_comes_element_by_element(account, enterprise_url, simulators, email):
    credential = f"gated-{email}"
    simulators.release(credential)
    body = {"query": {"text": "tell me"}}
    url = f"{enterprise_url}/v1alpha/{ASSISTANT}:streamAssist"
    with account("gated").post(url, json=body, stream=True, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        chunks = (chunk for chunk in answer.iter_content(None) if b'"thought":true' not in chunk)
        for word in (b"This", b"is", b"turn"):
            assert word in next(chunks)
            simulators.release(credential)


def test_thoughts_and_suggestions_are_no_part_of_the_answer(ask):
    elements = ask("tell me something")
    kinds = [next(iter(content.keys() - {"role"})) for content in contents(elements)]
    assert any(content.get("thought") for content in contents(elements))
    assert "inlineData" in kinds
    assert elements[-1]["answer"]["replies"][0]["groundedContent"] == {}
    assert "next" not in text_of(elements)


COVER = (
    "視覺風格: 超現實主義，電影感，8K畫質，由Unreal Engine 5渲染。\n"
    "封面文字（**简体中文**）: 靈性陷阱\n字體風格: 巨大、醒目的白色書法字體"
)
BREAKDOWN = (
    "请你完整反推这个视频：\n从镜头语言、运镜方式、分镜节奏、色彩风格等方面进行1:1拆解。\n"
    "然后基于同样风格，写一段全新的10秒视频生成提示词（适合Sora / Runway / Luma / Kling使用）"
)


@pytest.mark.parametrize(
    ("text", "attached", "made"),
    [
        (COVER, None, "image/png"),
        ("draw a cat", None, "image/png"),
        ("一张海边的图", None, "image/png"),
        ("make a poster of this photo", "a.png", "image/png"),
        ("describe this picture", "a.png", None),
        ("描述这张图片", "a.png", None),
        (BREAKDOWN, "b.mp4", None),
        ("generate a video of a cat", None, "video/mp4"),
        ("生成一段海浪的视频", None, "video/mp4"),
        ("let it move: create a clip", "a.png", "video/mp4"),
        ("which video was the first one?", None, None),
        ("why is the sky blue?", None, None),
    ],
)
def test_pictures_and_films_are_made_when_asked_for(ask, upload, text, attached, made):
    ids = [upload(attached, png() if attached == "a.png" else mp4())] if attached else []
    elements = ask(text, fileIds=ids)
    assert [file["mimeType"] for file in files_of(elements)] == ([made] if made else [])
    assert bool(text_of(elements)) == (made is None)
    if made is None and attached:
        assert "I see 1 attachment" in text_of(elements)


def test_nothing_is_made_without_the_tool(ask):
    assert not files_of(ask("draw a cat", toolsSpec={"webGroundingSpec": {}}))
    assert text_of(ask("make a video", toolsSpec={"imageGenerationSpec": {}}))


def test_made_files_are_downloaded_by_way_of_a_signed_url(enterprise, ask, opened, ledger):
    (picture,) = files_of(ask("draw a wide cat, 16:9"))
    (film,) = files_of(ask("make a video of a cat"))
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", picture["fileId"])
    url = f"{opened}:downloadFile?fileId={picture['fileId']}"
    plain = enterprise("GET", url)
    assert (plain.status_code, plain.content) == (200, b"")
    signed = enterprise("GET", f"{url}&alt=media")
    assert signed.status_code == 302
    data = requests.get(signed.headers["Location"], timeout=20).content
    assert Image.open(io.BytesIO(data)).size == (1376, 768)
    signed = enterprise("GET", f"/v1/{opened}:downloadFile?fileId={film['fileId']}&alt=media")
    assert describe(requests.get(signed.headers["Location"], timeout=20).content).kind == "video"
    leaked = requests.get(
        signed.headers["Location"], headers={"Authorization": "Bearer x"}, timeout=20
    )
    assert leaked.status_code == 403
    assert any("Authorization was sent" in text for text in ledger()["violations"])


def test_gone_file_has_a_url_that_is_refused(enterprise, ask, opened):
    (picture,) = files_of(ask("draw a cat"))
    url = f"{opened}:downloadFile?fileId={picture['fileId']}&alt=media"
    signed = enterprise("GET", url, headers={"X-Simulate": "gone"})
    assert requests.get(signed.headers["Location"], timeout=20).status_code == 403


def test_files_are_listed_with_their_origin(enterprise, ask, upload, opened):
    (made,) = files_of(ask("draw a cat"))
    uploaded = upload("notes.txt", b"one two three")
    listing = enterprise("GET", f"{opened}:listSessionFileMetadata").json()
    found = {one["fileId"]: one for one in listing["fileMetadata"]}
    assert found[uploaded]["tokenCount"] == "3"
    assert (found[uploaded]["selected"], found[made["fileId"]]["selected"]) == (True, False)
    assert found[made["fileId"]]["fileOriginType"] == "AI_GENERATED"
    assert enterprise("GET", f"/v1/{opened}:listSessionFileMetadata").status_code == 404


def test_file_of_another_session_is_refused(enterprise, ask, upload, ledger):
    other = enterprise("POST", f"{ENGINE}/sessions", {}).json()["name"]
    foreign = upload("a.txt", b"abc", other)
    with pytest.raises(AssertionError, match="is not a file of the session"):
        ask("what?", fileIds=[foreign])
    assert any(foreign in text for text in ledger()["violations"])


def test_small_talk_is_skipped_unless_an_answer_is_requested(ask):
    (element,) = ask("hi")
    assert element["answer"]["assistSkippedReasons"] == ["NON_ASSIST_SEEKING_QUERY_IGNORED"]
    assert "sessionInfo" not in element
    assert text_of(ask("hi", assistSkippingMode="REQUEST_ASSIST"))


def test_policy_blocks_a_prompt_or_ends_an_answer(ask):
    (element,) = ask("tell me", "blocked")
    policy = element["answer"]["customerPolicyEnforcementResult"]
    assert (policy["verdict"], policy["violationSource"]) == ("BLOCK", "PROMPT")
    elements = ask("tell me", "filtered")
    assert text_of(elements).startswith("This is")
    assert elements[-1]["answer"]["assistSkippedReasons"] == ["CUSTOMER_POLICY_VIOLATION"]


def test_failure_ends_the_array_with_an_error(ask):
    *_, failed, error = ask("tell me", "failed")
    assert failed["answer"]["state"] == "FAILED"
    assert error["error"]["status"] == "FAILED_PRECONDITION"


def test_assist_answers_in_one_piece(enterprise, opened):
    body = {"query": {"text": "draw a cat"}, "session": opened, "toolsSpec": TOOLS}
    whole = enterprise("POST", f"/v1/{ASSISTANT}:assist", body).json()
    assert whole["answer"]["state"] == "SUCCEEDED"
    assert files_of([whole])
    said = enterprise(
        "POST", f"{ASSISTANT}:assist", {"query": {"text": "tell me"}, "session": opened}
    )
    assert text_of([said.json()]).startswith("This is turn 2")


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(
    "field", [{"fileIds": ["1"]}, {"assistSkippingMode": "REQUEST_ASSIST"}, {"actionSpec": {}}]
)
def test_fields_of_v1alpha_are_unknown_elsewhere(enterprise, version, field):
    body = {"query": {"text": "tell me"}} | field
    answer = enterprise("POST", f"/{version}/{ASSISTANT}:streamAssist", body)
    (element,) = answer.json()
    message = f'Unknown name "{next(iter(field))}": Cannot find field.'
    assert message in element["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{ASSISTANT}:streamAssist", {"query": {"text": "a"}, "temperature": 1}, 400),
        (f"{ASSISTANT}:streamAssist", {"query": {"text": ""}}, 400),
        (f"{ASSISTANT}:streamAssist", {"query": "a"}, 400),
        (f"{ASSISTANT}:streamAssist", {"query": {"text": "a"}, "session": "nonsense"}, 400),
        (
            f"{ASSISTANT}:streamAssist",
            {"query": {"text": "a"}, "generationSpec": {"modelId": "gpt-4"}},
            400,
        ),
        (
            f"{ASSISTANT}:streamAssist",
            {"query": {"text": "a"}, "toolsSpec": {"imageGenerationSpec": {"size": "1K"}}},
            400,
        ),
        (f"{ENGINE}/assistants/other:streamAssist", {"query": {"text": "a"}}, 404),
        (f"{ENGINE}/sessions", {"title": "x"}, 400),
        (f"{ENGINE}/sessions/-:addContextFile", {"fileName": "a.txt"}, 400),
        (f"{ENGINE}/sessions/-:addContextFile", {"fileName": "a", "fileContents": "YWJj"}, 400),
        (f"{ENGINE}/sessions/-:addContextFile", {"fileName": "a.txt", "fileContents": "§"}, 400),
        (f"{ENGINE}/sessions/1:addContextFile", {"fileName": "a.txt", "fileContents": "YQ"}, 404),
        (f"{ENGINE.replace('/app', '/missing')}/sessions", {}, 404),
    ],
)
def test_wrong_requests_are_refused(enterprise, path, body, status):
    answer = enterprise("POST", path, body)
    assert answer.status_code == status, answer.text
    error = answer.json()
    error = error[0] if path.endswith(":streamAssist") else error
    assert error["error"]["code"] == status


@pytest.mark.parametrize("path", [f"{ENGINE}/sessions/1:listFiles", f"{ENGINE}/sessions/1/files"])
def test_paths_that_are_not_routed_are_a_page(enterprise, path):
    answer = enterprise("GET", path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


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


def test_client_that_leaves_while_a_film_is_made_is_counted(enterprise, simulators):
    before = simulators.ledger()["streams"]["aborted"]
    body = {"query": {"text": "make a video"}, "toolsSpec": TOOLS}
    url = f"{ASSISTANT}:streamAssist"
    with enterprise("POST", url, body, headers={"X-Simulate": "video=600"}, stream=True) as answer:
        assert b"Generating video" in next(answer.iter_content(None))
    simulators.until(lambda seen: seen["streams"]["aborted"] > before)
