"""Sessions of the simulated Gemini Enterprise: listed, owned, deleted."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.simulators import ENGINE

ASSISTANT = f"{ENGINE}/assistants/default_assistant"


def test_session_is_made_where_none_is_named(enterprise, ledger):
    answer = enterprise("POST", f"{ASSISTANT}:streamAssist", {"query": {"text": "tell me"}}).json()
    name = answer[-1]["sessionInfo"]["session"]
    assert name in ledger()["sessions"]["names"]
    body = {"fileName": "a.txt", "fileContents": "YWJj"}
    added = enterprise("POST", f"{ENGINE}/sessions/-:addContextFile", body).json()
    assert added["session"] in ledger()["sessions"]["names"]
    assert (added["byteCount"], added["mimeType"]) == ("3", "text/plain")


def test_sessions_are_listed_by_page_filter_and_order(enterprise):
    for name in ("gw-1", "gw-2", "other"):
        labels = ["gw"] if name.startswith("gw") else []
        enterprise("POST", f"{ENGINE}/sessions", {"displayName": name, "labels": labels})

    def names(**query: str) -> list[str]:
        page = enterprise("GET", f"{ENGINE}/sessions", params=query).json()
        return [one["displayName"] for one in page.get("sessions", [])]

    assert names(filter='labels: "gw"', orderBy="create_time desc") == ["gw-2", "gw-1"]
    assert names(filter="labels:gw AND NOT display_name = gw-1") == ["gw-2"]
    assert names(filter='(display_name = "other" OR is_pinned = true)') == ["other"]
    assert names(filter='create_time < "2020-01-01T00:00:00Z"') == []
    assert names(filter="state = IN_PROGRESS", orderBy="display_name") == ["gw-1", "gw-2", "other"]
    first = enterprise("GET", f"{ENGINE}/sessions", params={"pageSize": "2"}).json()
    token = first["nextPageToken"]
    assert len(first["sessions"]) == 2
    assert names(pageSize="2", pageToken=token) == ["other"]
    assert names(userPseudoId="x") == []


@pytest.mark.parametrize("text", ["labels", "labels ~ x", "color = red", "(labels:x", "a = b c"])
def test_filters_that_cannot_be_read_are_refused(enterprise, text):
    answer = enterprise("GET", f"{ENGINE}/sessions", params={"filter": text})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_session_may_have_a_chosen_id(enterprise):
    chosen = f"my-{uuid4().hex[:12]}"
    url = f"{ENGINE}/sessions?sessionId={chosen}"
    assert enterprise("POST", url, {}).json()["name"].endswith(f"/sessions/{chosen}")
    assert enterprise("POST", url, {}).status_code == 409
    assert enterprise("POST", f"{ENGINE}/sessions?sessionId=UPPER", {}).status_code == 400


def test_deleted_session_is_gone_and_deleting_it_twice_is_noted(enterprise, opened, ledger):
    assert enterprise("DELETE", opened).json() == {}
    assert enterprise("DELETE", opened).status_code == 404
    session_id = opened.rpartition("/")[2]
    assert f"session {session_id} was deleted twice" in ledger()["violations"]
    body = {"query": {"text": "tell me"}, "session": opened}
    answer = enterprise("POST", f"{ASSISTANT}:streamAssist", body)
    assert answer.json()[0]["error"]["status"] == "NOT_FOUND"
    file = {"fileName": "a.txt", "fileContents": "YWJj"}
    assert enterprise("POST", f"{opened}:addContextFile", file).status_code == 404


def test_sessions_belong_to_who_opened_them(account, enterprise_url, opened):
    other = account("other")
    answer = other.get(f"{enterprise_url}/v1/{opened}", timeout=20)
    assert answer.json()["error"]["message"] == "Session is not owned by the provided user."
    assert other.get(f"{enterprise_url}/v1/{ENGINE}/sessions", timeout=20).json() == {}
