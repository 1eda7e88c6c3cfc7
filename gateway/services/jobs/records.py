"""Jobs as JSON: what was asked for and what came of it, readable by any later process."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from gateway.domain.accounts import Caller
from gateway.domain.events import MediaStored, Usage
from gateway.domain.jobs import Job
from gateway.domain.media import Media, MediaKind, MediaRef, StoredMedia
from gateway.domain.requests import ImageRequest, Reference, VendorTask, VideoRequest
from gateway.services.media.media import MediaService
from gateway.services.media.uploads import ChunkSource, stored_link

_TASKS = ("edit_of", "extend_of", "final_of")


def request_record(
    request: ImageRequest | VideoRequest, media: MediaService, caller: Caller
) -> dict[str, Any]:
    """The request as JSON; its pictures move into the store and are named by id there."""
    kept: dict[str, str] = {}

    def keep(item: Media | MediaRef) -> str:
        assert isinstance(item, Media)
        if item.digest not in kept:
            source = ChunkSource(item.blob.chunks(), item.mime_type)
            stored = media.archive(source, caller.owner, temporary=caller.credential is not None)
            kept[item.digest] = stored.name
        return kept[item.digest]

    record = {
        f.name: getattr(request, f.name)
        for f in fields(request)
        if f.name not in ("images", "mask", "references", "earlier_jobs", *_TASKS)
    }
    record["images"] = [keep(item) for item in request.images]
    if isinstance(request, VideoRequest):
        record["references"] = [
            {"role": r.role, "type": r.media.kind, "media": keep(r.media)}
            for r in request.references
        ]
        record |= {name: asdict(task) for name in _TASKS if (task := getattr(request, name))}
    elif request.mask is not None:
        record["mask"] = keep(request.mask)
    return record


def request_of(job: Job) -> ImageRequest | VideoRequest:
    """The request again; its pictures are references to stored media."""
    record = dict(job.request)
    images = tuple(_stored_ref(name) for name in record.pop("images"))
    if job.kind == "video":
        references = tuple(
            Reference(item["role"], _stored_ref(item["media"], item["type"]))
            for item in record.pop("references", ())
        )
        record |= {name: VendorTask(**record[name]) for name in _TASKS if record.get(name)}
        return VideoRequest(images=images, references=references, **record)
    mask = record.pop("mask", None)
    return ImageRequest(images=images, mask=_stored_ref(mask) if mask else None, **record)


def task_id_of(job_id: str) -> str:
    """The id by which Ark's dialect names a video job."""
    return f"cgt-{job_id.removeprefix('video_')}"


def job_id_of(task_id: str) -> str:
    """The video job that `task_id_of` names so, or that has this id."""
    return f"video_{task_id.removeprefix('cgt-')}" if task_id.startswith("cgt-") else task_id


def _stored_ref(name: str, kind: MediaKind = "image") -> MediaRef:
    return MediaRef(kind, kind, url=stored_link(name))


def media_entry(event: MediaStored) -> dict[str, Any]:
    return {
        "kind": event.kind,
        **_stored_entry(event.media),
        "cover": _stored_entry(event.cover) if event.cover else None,
    }


def _stored_entry(stored: StoredMedia) -> dict[str, Any]:
    return {f.name: getattr(stored, f.name) for f in fields(stored)}


def stored_of(entry: dict[str, Any]) -> tuple[StoredMedia, StoredMedia | None]:
    """A result's entry as stored media: the thing itself, and its cover."""
    names = [f.name for f in fields(StoredMedia)]
    cover = entry.get("cover")
    return (
        StoredMedia(**{name: entry.get(name) for name in names}),  # type: ignore[arg-type]
        StoredMedia(**{name: cover.get(name) for name in names}) if cover else None,
    )


def usage_record(usage: Usage) -> dict[str, Any]:
    return {f.name: getattr(usage, f.name) for f in fields(usage)}


def usage_of(job: Job) -> Usage:
    return Usage(**(job.result or {}).get("usage", {}))
