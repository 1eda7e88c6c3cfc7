"""The fields of Gemini Enterprise's requests, version by version.

https://docs.cloud.google.com/gemini/enterprise/docs/reference/rest
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.simulators.google.protojson import (
    BOOL,
    BYTES,
    INT32,
    STRING,
    STRUCT,
    Enum,
    Kind,
    Many,
    Message,
)

_NS = "google.cloud.discoveryengine."
_EMPTY: dict[str, Kind] = {}

_SESSION_STATE = Enum(_NS + "v1.Session.State", ("STATE_UNSPECIFIED", "IN_PROGRESS"))

SESSION = Message(
    _NS + "v1.Session",
    {
        **dict.fromkeys(("name", "displayName", "userPseudoId", "startTime", "endTime"), STRING),
        "labels": Many(STRING),
        "isPinned": BOOL,
        "state": _SESSION_STATE,
        "turns": Many(STRUCT),
        "pendingAsyncAssistOperationId": STRING,
    },
)

_FILE: dict[str, Kind] = {
    **dict.fromkeys(("name", "fileName", "mimeType"), STRING),
    "fileContents": BYTES,
}
CONTEXT_FILE: Mapping[str, Message] = {
    version: Message(f"{_NS}{version}.AddContextFileRequest", _FILE) for version in ("v1", "v1beta")
} | {
    "v1alpha": Message(
        _NS + "v1alpha.AddContextFileRequest",
        {**_FILE, "document": STRING},
        frozenset(("fileContents", "document")),
    )
}

_QUERY_PART = Message(
    _NS + "v1.Query.Part",
    {
        **dict.fromkeys(("text", "mimeType", "uiJsonPayload"), STRING),
        **dict.fromkeys(("documentReference", "driveDocumentReference", "personReference"), STRUCT),
    },
)

_QUERY: dict[str, Kind] = {"text": STRING, "queryId": STRING}

_TOOLS = Message(
    _NS + "v1.StreamAssistRequest.ToolsSpec",
    {
        "vertexAiSearchSpec": Message(
            _NS + "v1.StreamAssistRequest.ToolsSpec.VertexAiSearchSpec",
            {
                "dataStoreSpecs": Many(
                    Message(
                        _NS + "v1.SearchRequest.DataStoreSpec",
                        {
                            **dict.fromkeys(("dataStore", "filter"), STRING),
                            "boostSpec": STRUCT,
                            "customSearchOperators": STRING,
                            "numResults": INT32,
                        },
                    )
                ),
                "filter": STRING,
            },
        ),
        "webGroundingSpec": Message(
            _NS + "v1.StreamAssistRequest.ToolsSpec.WebGroundingSpec", _EMPTY
        ),
        # Presence is all that these two say: there is no size, ratio, length or count.
        "imageGenerationSpec": Message(
            _NS + "v1.StreamAssistRequest.ToolsSpec.ImageGenerationSpec", _EMPTY
        ),
        "videoGenerationSpec": Message(
            _NS + "v1.StreamAssistRequest.ToolsSpec.VideoGenerationSpec", _EMPTY
        ),
    },
)

_ASSIST: dict[str, Kind] = {
    "name": STRING,
    "query": Message(_NS + "v1.Query", _QUERY),
    "session": STRING,
    "userMetadata": Message(
        _NS + "v1.AssistUserMetadata", {"timeZone": STRING, "preferredLanguageCode": STRING}
    ),
    "toolsSpec": _TOOLS,
    "generationSpec": Message(_NS + "v1.StreamAssistRequest.GenerationSpec", {"modelId": STRING}),
    "agentsSpec": Message(
        _NS + "v1.StreamAssistRequest.AgentsSpec",
        {
            "agentSpecs": Many(
                Message(_NS + "v1.StreamAssistRequest.AgentsSpec.AgentSpec", {"agentId": STRING})
            )
        },
    ),
}
_ALPHA: dict[str, Kind] = {
    "query": Message(_NS + "v1alpha.Query", {**_QUERY, "parts": Many(_QUERY_PART)}),
    "actionSpec": Message(_NS + "v1alpha.StreamAssistRequest.ActionSpec", {"actionDisabled": BOOL}),
    "fileIds": Many(STRING),
    "assistSkippingMode": Enum(
        _NS + "v1alpha.StreamAssistRequest.AssistSkippingMode",
        ("ASSIST_SKIPPING_MODE_UNSPECIFIED", "REQUEST_ASSIST"),
    ),
    "isSessionLess": BOOL,
    "answerGenerationMode": Enum(
        _NS + "v1alpha.StreamAssistRequest.AnswerGenerationMode",
        ("ANSWER_GENERATION_MODE_UNSPECIFIED", "NORMAL", "RESEARCH", "AGENT"),
    ),
}

STREAM_ASSIST: Mapping[str, Message] = {
    "v1": Message(_NS + "v1.StreamAssistRequest", _ASSIST),
    "v1beta": Message(_NS + "v1beta.StreamAssistRequest", _ASSIST),
    "v1alpha": Message(_NS + "v1alpha.StreamAssistRequest", {**_ASSIST, **_ALPHA}),
}

# The twin that answers whole takes files in every version.
ASSIST: Mapping[str, Message] = {
    version: Message(f"{_NS}{version}.AssistRequest", {**_ASSIST, "fileIds": Many(STRING)})
    for version in ("v1", "v1beta")
} | {"v1alpha": Message(_NS + "v1alpha.AssistRequest", {**_ASSIST, **_ALPHA})}
