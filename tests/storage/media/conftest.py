from __future__ import annotations

import pytest

from gateway.storage.media.open import open_media_store
from gateway.storage.media.store import MediaStore
from tests.storage.media.kit import access


@pytest.fixture
def bucket(s3) -> str:
    return s3.bucket()


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path) -> MediaStore:
    if request.param == "local":
        return open_media_store(f"file:{tmp_path / 'media'}")
    endpoint, bucket = request.getfixturevalue("s3").url, request.getfixturevalue("bucket")
    return open_media_store(f"s3://{bucket}/some/prefix", s3=access(endpoint))
