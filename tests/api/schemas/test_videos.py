"""Requests for videos, in all that they can be made from."""

from __future__ import annotations

import pytest
from marshmallow import ValidationError

from gateway.api.schemas.images import ImageRequestSchema
from gateway.api.schemas.videos import VideoRequestSchema
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import EarlierJob

URL = "https://a.test/a"


def read(**members):
    return VideoRequestSchema().read({"prompt": "a", **members})


def test_frames_and_references_keep_their_roles():
    request = read(
        first_frame={"image_url": {"url": URL}},
        last_frame=URL,
        references=[
            {"type": "video", "url": URL},
            {"type": "audio_url", "audio_url": {"url": URL}, "role": "reference_audio"},
            {"file_id": "file-1"},
            URL,
        ],
        edit_of=URL,
        camera_fixed="true",
        service_tier="flex",
        generate_audio=True,
        draft=False,
    )
    shown = [(item.role, item.media.kind) for item in request.references]
    assert shown == [
        ("first_frame", "image"),
        ("last_frame", "image"),
        ("reference", "video"),
        ("reference", "audio"),
        ("reference", "image"),
        ("reference", "image"),
        ("edit", "video"),
    ]
    assert (request.camera_fixed, request.service_tier, request.audio) == (True, "flex", True)
    assert request.draft is False


def test_earlier_jobs_are_named_by_their_ids():
    request = read(extend_of="video_1", final_of={"id": "video_2"})
    assert request.earlier_jobs == (
        EarlierJob("extend_of", "video_1", "extend_of"),
        EarlierJob("final_of", "video_2", "final_of"),
    )


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"image": URL, "first_frame": URL}, "image"),
        ({"references": URL}, "references"),
        ({"references": [URL] * 33}, "references"),
        ({"references": [{"type": "hologram", "url": URL}]}, "references[0].type"),
        ({"references": [{"url": URL, "role": "hero"}]}, "references[0].role"),
        ({"references": [7]}, "references[0]"),
        ({"final_of": URL}, "final_of"),
    ],
    ids=str,
)
def test_a_wrong_input_is_named(members, field):
    with pytest.raises((ValidationError, InvalidRequest)) as caught:
        read(**members)
    error = caught.value
    named = error.param if isinstance(error, InvalidRequest) else next(iter(error.messages))
    assert named == field


@pytest.mark.parametrize(("group", "count"), [(True, 15), (4, 4), ("3", 3), (False, None)])
def test_a_group_of_images_may_have_a_number(group, count):
    assert ImageRequestSchema().read({"prompt": "a", "group": group}).group == count


def test_layers_may_be_as_many_as_the_model_likes():
    assert ImageRequestSchema().read({"prompt": "a", "layers": True}).layers == 0
