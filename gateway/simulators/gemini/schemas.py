"""The fields of the Gemini API's requests. https://ai.google.dev/api/generate-content"""

from __future__ import annotations

from gateway.simulators.google.protojson import (
    BOOL,
    BYTES,
    FLOAT,
    INT32,
    INT64,
    STRING,
    STRUCT,
    VALUE,
    Enum,
    Kind,
    Many,
    Map,
    Message,
)

_NS = "google.ai.generativelanguage.v1beta."


def _message(name: str, fields: dict[str, Kind], *one_of: str) -> Message:
    return Message(_NS + name, fields, frozenset(one_of))


def _enum(name: str, *values: str) -> Enum:
    return Enum(_NS + name, values)


_RESOLUTION = (
    "MEDIA_RESOLUTION_UNSPECIFIED",
    "MEDIA_RESOLUTION_LOW",
    "MEDIA_RESOLUTION_MEDIUM",
    "MEDIA_RESOLUTION_HIGH",
)

# Tools that the simulator takes and never uses.
_UNUSED = STRUCT

_BLOB = _message("Blob", {"mimeType": STRING, "data": BYTES, "displayName": STRING})
_FILE_DATA = _message("FileData", {"mimeType": STRING, "fileUri": STRING, "displayName": STRING})

PART = _message(
    "Part",
    {
        "text": STRING,
        "inlineData": _BLOB,
        "fileData": _FILE_DATA,
        "functionCall": _message("FunctionCall", {"id": STRING, "name": STRING, "args": STRUCT}),
        "functionResponse": _message(
            "FunctionResponse",
            {
                "id": STRING,
                "name": STRING,
                "response": STRUCT,
                "parts": Many(
                    _message(
                        "FunctionResponsePart",
                        {"inlineData": _BLOB, "fileData": _FILE_DATA},
                        "inlineData",
                        "fileData",
                    )
                ),
                "willContinue": BOOL,
                "scheduling": _enum(
                    "FunctionResponse.Scheduling",
                    "SCHEDULING_UNSPECIFIED",
                    "SILENT",
                    "WHEN_IDLE",
                    "INTERRUPT",
                ),
            },
        ),
        "executableCode": _message(
            "ExecutableCode",
            {
                "language": _enum("ExecutableCode.Language", "LANGUAGE_UNSPECIFIED", "PYTHON"),
                "code": STRING,
                "id": STRING,
            },
        ),
        "codeExecutionResult": _message(
            "CodeExecutionResult",
            {
                "outcome": _enum(
                    "CodeExecutionResult.Outcome",
                    "OUTCOME_UNSPECIFIED",
                    "OUTCOME_OK",
                    "OUTCOME_FAILED",
                    "OUTCOME_DEADLINE_EXCEEDED",
                ),
                "output": STRING,
                "id": STRING,
            },
        ),
        "thought": BOOL,
        "thoughtSignature": BYTES,
        "partMetadata": STRUCT,
        "videoMetadata": _message(
            "VideoMetadata", {"startOffset": STRING, "endOffset": STRING, "fps": FLOAT}
        ),
        "mediaResolution": _message(
            "MediaResolution",
            {
                "level": _enum(
                    "MediaResolution.Level", *_RESOLUTION, "MEDIA_RESOLUTION_ULTRA_HIGH"
                ),
                "numTokens": INT32,
            },
        ),
    },
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
)

CONTENT = _message("Content", {"parts": Many(PART), "role": STRING})

_schema: dict[str, Kind] = {
    "type": _enum(
        "Type",
        "TYPE_UNSPECIFIED",
        "STRING",
        "NUMBER",
        "INTEGER",
        "BOOLEAN",
        "ARRAY",
        "OBJECT",
        "NULL",
        # Lower case is taken as well, as JSON Schema spells them.
        *("string", "number", "integer", "boolean", "array", "object", "null"),
    ),
    **dict.fromkeys(("format", "title", "description", "pattern"), STRING),
    "nullable": BOOL,
    "enum": Many(STRING),
    **dict.fromkeys(
        (
            *("maxItems", "minItems", "minProperties", "maxProperties"),
            *("minLength", "maxLength"),
        ),
        INT64,
    ),
    "required": Many(STRING),
    "propertyOrdering": Many(STRING),
    "minimum": FLOAT,
    "maximum": FLOAT,
    "example": VALUE,
    "default": VALUE,
    "additionalProperties": VALUE,
}
SCHEMA = _message("Schema", _schema)
_schema |= {"items": SCHEMA, "properties": Map(SCHEMA), "anyOf": Many(SCHEMA)}

FUNCTION = _message(
    "FunctionDeclaration",
    {
        "name": STRING,
        "description": STRING,
        "behavior": _enum(
            "FunctionDeclaration.Behavior", "UNSPECIFIED", "BLOCKING", "NON_BLOCKING"
        ),
        "parameters": SCHEMA,
        "parametersJsonSchema": VALUE,
        "response": SCHEMA,
        "responseJsonSchema": VALUE,
    },
)

TOOL = _message(
    "Tool",
    {
        "functionDeclarations": Many(FUNCTION),
        **dict.fromkeys(
            (
                "googleSearch",
                "googleSearchRetrieval",
                "googleMaps",
                "codeExecution",
                "urlContext",
                "fileSearch",
                "computerUse",
                "mcpServers",
            ),
            _UNUSED,
        ),
    },
)

_TOOL_CONFIG = _message(
    "ToolConfig",
    {
        "functionCallingConfig": _message(
            "FunctionCallingConfig",
            {
                "mode": _enum(
                    "FunctionCallingConfig.Mode",
                    "MODE_UNSPECIFIED",
                    "AUTO",
                    "ANY",
                    "NONE",
                    "VALIDATED",
                ),
                "allowedFunctionNames": Many(STRING),
            },
        ),
        "retrievalConfig": _UNUSED,
        "includeServerSideToolInvocations": BOOL,
    },
)

_SAFETY = _message(
    "SafetySetting",
    {
        "category": _enum(
            "HarmCategory",
            *(
                f"HARM_CATEGORY_{name}"
                for name in (
                    "UNSPECIFIED",
                    "DEROGATORY",
                    "TOXICITY",
                    "VIOLENCE",
                    "SEXUAL",
                    "MEDICAL",
                    "DANGEROUS",
                    "HARASSMENT",
                    "HATE_SPEECH",
                    "SEXUALLY_EXPLICIT",
                    "DANGEROUS_CONTENT",
                    "CIVIC_INTEGRITY",
                )
            ),
        ),
        "threshold": _enum(
            "SafetySetting.HarmBlockThreshold",
            "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
            "BLOCK_LOW_AND_ABOVE",
            "BLOCK_MEDIUM_AND_ABOVE",
            "BLOCK_ONLY_HIGH",
            "BLOCK_NONE",
            "OFF",
        ),
    },
)

GENERATION_CONFIG = _message(
    "GenerationConfig",
    {
        "candidateCount": INT32,
        "stopSequences": Many(STRING),
        "maxOutputTokens": INT32,
        **dict.fromkeys(
            ("temperature", "topP", "topK", "presencePenalty", "frequencyPenalty"), FLOAT
        ),
        "seed": INT32,
        "responseMimeType": STRING,
        "responseSchema": SCHEMA,
        "responseJsonSchema": VALUE,
        "responseLogprobs": BOOL,
        "logprobs": INT32,
        "enableEnhancedCivicAnswers": BOOL,
        "responseModalities": Many(
            _enum("GenerationConfig.Modality", "MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO")
        ),
        "imageConfig": _message("ImageConfig", {"aspectRatio": STRING, "imageSize": STRING}),
        "speechConfig": STRUCT,
        "mediaResolution": _enum("GenerationConfig.MediaResolution", *_RESOLUTION),
        "thinkingConfig": _message(
            "ThinkingConfig",
            {
                "includeThoughts": BOOL,
                "thinkingBudget": INT32,
                "thinkingLevel": _enum(
                    "ThinkingConfig.ThinkingLevel",
                    "THINKING_LEVEL_UNSPECIFIED",
                    "LOW",
                    "HIGH",
                    "MEDIUM",
                    "MINIMAL",
                    "XHIGH",
                ),
            },
        ),
    },
)

GENERATE_CONTENT = _message(
    "GenerateContentRequest",
    {
        "model": STRING,
        "contents": Many(CONTENT),
        "systemInstruction": CONTENT,
        "generationConfig": GENERATION_CONFIG,
        "safetySettings": Many(_SAFETY),
        "tools": Many(TOOL),
        "toolConfig": _TOOL_CONFIG,
        "cachedContent": STRING,
        "serviceTier": _enum("ServiceTier", "unspecified", "standard", "flex", "priority"),
        "store": BOOL,
        "labels": Map(STRING),
    },
)

COUNT_TOKENS = _message(
    "CountTokensRequest",
    {"model": STRING, "contents": Many(CONTENT), "generateContentRequest": GENERATE_CONTENT},
)

CREATE_FILE = _message(
    "CreateFileRequest",
    {
        "file": _message(
            "File",
            {
                **dict.fromkeys(("name", "displayName", "mimeType", "sha256Hash", "uri"), STRING),
                "sizeBytes": INT64,
            },
        )
    },
)

EMBED_CONTENT = _message(
    "EmbedContentRequest",
    {
        "model": STRING,
        "content": CONTENT,
        "taskType": _enum(
            "TaskType",
            "TASK_TYPE_UNSPECIFIED",
            "RETRIEVAL_QUERY",
            "RETRIEVAL_DOCUMENT",
            "SEMANTIC_SIMILARITY",
            "CLASSIFICATION",
            "CLUSTERING",
            "QUESTION_ANSWERING",
            "FACT_VERIFICATION",
            "CODE_RETRIEVAL_QUERY",
        ),
        "title": STRING,
        "outputDimensionality": INT32,
    },
)
BATCH_EMBED_CONTENTS = _message("BatchEmbedContentsRequest", {"requests": Many(EMBED_CONTENT)})
