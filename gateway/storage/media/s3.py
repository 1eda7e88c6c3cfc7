"""Media in a bucket of S3 or of a service that speaks like it: `PREFIX/<sha-256>.<extension>`."""

from __future__ import annotations

import io
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.domain.accounts import Secret
from gateway.domain.errors import NotFound
from gateway.domain.media import Blob, StoredMedia
from gateway.formats.blobs import spool
from gateway.storage.media.store import (
    PIECE,
    Entry,
    entry_of,
    name_of,
    receive,
    unavailable,
)

_CONNECT_S = 2
_READ_S = 4
_LAST_START_S = 4  # an attempt that starts by then has ended by second 10
_ATTEMPTS = 3
_PART = 8 * 1024 * 1024
_LONGEST_LINK_S = 7 * 86400  # the most that signature version 4 allows
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})


@dataclass(frozen=True, slots=True)
class S3Access:
    """Endpoint and credentials of the service; boto3 chooses those that are None."""

    endpoint_url: str | None = None
    region: str | None = None
    key_id: str | None = None
    secret: Secret | None = None
    session_token: Secret | None = None


class S3MediaStore:
    """A MediaStore in a bucket. Each call to the service takes 10 s at most, retries included."""

    def __init__(self, bucket: str, prefix: str = "", *, access: S3Access | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._access = access or S3Access()
        self._lock = threading.Lock()
        self._made: tuple[int, Any] | None = None

    def put(self, chunks: Iterable[bytes], *, limit: int) -> StoredMedia:
        with _spool() as file:
            stored = receive(chunks, file, limit=limit)
            file.seek(0)
            with self._service() as client:
                # Also when it is there already: its age then says that somebody still wants it.
                client.upload_fileobj(
                    file,
                    self._bucket,
                    self._key(stored),
                    ExtraArgs={"ContentType": stored.mime_type},
                    Config=_transfer(),
                )
        return stored

    @contextmanager
    def open(
        self, stored: StoredMedia, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        last = (stored.size if end is None else min(end, stored.size)) - 1
        if start > last:
            yield iter(())
            return
        with self._service() as client:
            answer = client.get_object(
                Bucket=self._bucket, Key=self._key(stored), Range=f"bytes={start}-{last}"
            )
        with closing(answer["Body"]) as body:
            yield self._pieces(body)

    def blob(self, stored: StoredMedia) -> Blob:
        with self.open(stored) as chunks:
            return spool(chunks, limit=stored.size)[0]

    def find(self, media_id: str, extension: str) -> StoredMedia | None:
        found = entry_of(f"{media_id}.{extension}", 0)
        if found is None:
            return None
        status = self._head(found)
        return None if status is None else entry_of(found.name, status["ContentLength"])

    def entries(self) -> Iterator[Entry]:
        with self._service() as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    media = entry_of(item["Key"].removeprefix(self._prefix), item["Size"])
                    if media is not None:
                        yield Entry(media, item["LastModified"].timestamp())

    def url(self, stored: StoredMedia, *, expires_s: int) -> str:
        with self._service() as client:
            link: str = client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": self._key(stored),
                    "ResponseContentType": stored.mime_type,
                    "ResponseContentDisposition": f'{stored.disposition}; filename="{stored.name}"',
                    "ResponseCacheControl": f"private, max-age={expires_s}, immutable",
                },
                ExpiresIn=min(expires_s, _LONGEST_LINK_S),
            )
        return link

    def delete(self, stored: StoredMedia, *, unless_newer_than: float | None = None) -> bool:
        if unless_newer_than is not None:
            status = self._head(stored)
            if status is not None and status["LastModified"].timestamp() > unless_newer_than:
                return False
        with self._service() as client:
            client.delete_object(Bucket=self._bucket, Key=self._key(stored))
        return True

    def usage(self) -> int:
        return sum(entry.media.size for entry in self.entries())

    def sweep(self, *, older_than_s: float) -> int:
        before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        removed = 0
        with self._service() as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        self._abort(upload["Key"], upload["UploadId"])
                        removed += 1
        return removed

    def ping(self) -> None:
        try:
            with self._service() as client:
                client.head_bucket(Bucket=self._bucket)
        except NotFound as err:
            raise unavailable(err) from err

    def _abort(self, key: str, upload_id: str) -> None:
        with suppress(NotFound), self._service() as client:
            client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)

    def _key(self, stored: StoredMedia) -> str:
        return self._prefix + name_of(stored)

    def _head(self, stored: StoredMedia) -> dict[str, Any] | None:
        try:
            with self._service() as client:
                status: dict[str, Any] = client.head_object(
                    Bucket=self._bucket, Key=self._key(stored)
                )
        except NotFound:
            return None
        return status

    def _pieces(self, body: Any) -> Iterator[bytes]:
        with self._service():
            yield from body.iter_chunks(PIECE)

    def _client(self) -> Any:
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                try:
                    self._made = (os.getpid(), _client(self._access))
                except ValueError as err:  # an endpoint or a region that is none
                    raise unavailable(err) from err
        return self._made[1]

    @contextmanager
    def _service(self) -> Iterator[Any]:
        """This process's client; what goes wrong with it is StorageUnavailable or NotFound."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield self._client()
        except ClientError as err:
            if err.response.get("Error", {}).get("Code") in _MISSING:
                raise NotFound("There is no such media.") from err
            raise unavailable(err) from err
        except (Boto3Error, BotoCoreError) as err:
            raise unavailable(err) from err


@contextmanager
def _spool() -> Iterator[io.FileIO]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
        except OSError as err:
            raise unavailable(err) from err
        yield file


def _client(access: S3Access) -> Any:
    from boto3.session import Session
    from botocore.config import Config

    # The service may be older than boto3's habit of adding checksums to everything.
    config = Config(
        signature_version="s3v4",
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=64,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = Session(
        aws_access_key_id=access.key_id,
        aws_secret_access_key=access.secret.reveal() if access.secret else None,
        aws_session_token=access.session_token.reveal() if access.session_token else None,
        region_name=access.region,
    )
    client = session.client("s3", endpoint_url=access.endpoint_url, config=config)
    client.meta.events.register("request-created.s3", _stop_when_late)
    return client


def _stop_when_late(request: Any, **_: Any) -> None:
    """End the retries of a call whose time is used up."""
    from botocore.exceptions import ConnectTimeoutError

    now = time.monotonic()
    if now - request.context.setdefault("first_attempt", now) > _LAST_START_S:
        raise ConnectTimeoutError(endpoint_url=request.url)


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, use_threads=False)
