"""The simulated Gemini Enterprise answers, makes and refuses as the vendor does."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from PIL import Image

from gateway.simulators.media.media_info import describe
from tests.support.media import mp4, png
from tests.support.simulators import ENGINE

ASSISTANT = f"{ENGINE}/assistants/default_assistant"
TOOLS = {"imageGenerationSpec": {}, "videoGenerationSpec": {}}


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
        ("describe this image", "a.png", None),
        ("描述这张图片", "a.png", None),
        (BREAKDOWN, "b.mp4", None),
        ("generate a video of a cat", None, "video/mp4"),
        ("生成一段海浪的视频", None, "video/mp4"),
        ("let it move: create a clip", "a.png", "video/mp4"),
        ("which video was the first one?", None, None),
        ("why is the sky blue?", None, None),
    ],
)
def test_images_and_videos_are_made_when_asked_for(ask, upload, text, attached, made):
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
    (image,) = files_of(ask("draw a wide cat, 16:9"))
    (video,) = files_of(ask("make a video of a cat"))
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", image["fileId"])
    url = f"{opened}:downloadFile?fileId={image['fileId']}"
    plain = enterprise("GET", url)
    assert (plain.status_code, plain.content) == (200, b"")
    signed = enterprise("GET", f"{url}&alt=media")
    assert signed.status_code == 302
    data = requests.get(signed.headers["Location"], timeout=20).content
    assert Image.open(io.BytesIO(data)).size == (1376, 768)
    signed = enterprise("GET", f"/v1/{opened}:downloadFile?fileId={video['fileId']}&alt=media")
    assert describe(requests.get(signed.headers["Location"], timeout=20).content).kind == "video"
    leaked = requests.get(
        signed.headers["Location"], headers={"Authorization": "Bearer x"}, timeout=20
    )
    assert leaked.status_code == 403
    assert any("Authorization was sent" in text for text in ledger()["violations"])


def test_gone_file_has_a_url_that_is_refused(enterprise, ask, opened):
    (image,) = files_of(ask("draw a cat"))
    url = f"{opened}:downloadFile?fileId={image['fileId']}&alt=media"
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


def test_client_that_leaves_while_a_video_is_made_is_counted(enterprise, simulators):
    before = simulators.ledger()["streams"]["aborted"]
    body = {"query": {"text": "make a video"}, "toolsSpec": TOOLS}
    url = f"{ASSISTANT}:streamAssist"
    with enterprise("POST", url, body, headers={"X-Simulate": "video=600"}, stream=True) as answer:
        assert b"Generating video" in next(answer.iter_content(None))
    simulators.until(lambda seen: seen["streams"]["aborted"] > before)
