"""Files at the simulated Gemini API, driven with the vendor's SDK."""

from __future__ import annotations

import io
import time

import pytest
import requests
from google.genai import errors, types

from tests.support.media import mp4, png

FLASH = "gemini-3.8-flash"


def test_file_is_uploaded_used_and_deleted(gemini, tmp_path, ledger):
    path = tmp_path / "photo.png"
    path.write_bytes(png(50, 40))
    file = gemini.files.upload(file=path, config={"display_name": "photo"})
    assert (file.state, file.source) == (types.FileState.ACTIVE, types.FileSource.UPLOADED)
    assert (file.display_name, file.mime_type) == ("photo", "image/png")
    text = gemini.models.generate_content(model=FLASH, contents=["what?", file]).text
    assert "image/png 50x40" in text
    assert [one.name for one in gemini.files.list()] == [file.name]
    assert file.name.removeprefix("files/") in ledger()["files"]["names"]
    gemini.files.delete(name=file.name)
    assert file.name.removeprefix("files/") not in ledger()["files"]["names"]
    with pytest.raises(errors.ClientError) as caught:
        gemini.files.get(name=file.name)
    assert caught.value.code == 403


def test_video_is_processed_before_it_can_be_used(gemini):
    file = gemini.files.upload(file=io.BytesIO(mp4()), config={"mime_type": "video/mp4"})
    assert file.state == types.FileState.PROCESSING
    with pytest.raises(errors.ClientError, match="not in an ACTIVE state"):
        gemini.models.generate_content(model=FLASH, contents=[file])
    deadline = time.monotonic() + 10
    while gemini.files.get(name=file.name).state != types.FileState.ACTIVE:
        assert time.monotonic() < deadline
    answer = gemini.models.generate_content(model=FLASH, contents=[file, "what?"])
    assert "video/mp4" in answer.text


def test_large_file_arrives_in_chunks(gemini, ledger, key):
    data = bytes(9 * 1024 * 1024)
    file = gemini.files.upload(file=io.BytesIO(data), config={"mime_type": "text/plain"})
    assert file.size_bytes == len(data)
    assert ledger()["operations"][f"{key}-"]["gemini.files.upload"] == 2


def test_files_of_another_key_are_out_of_reach(gemini_client, key):
    file = gemini_client("one").files.upload(
        file=io.BytesIO(png()), config={"mime_type": "image/png"}
    )
    other = gemini_client("two")
    with pytest.raises(errors.ClientError, match="permission to access the File"):
        other.files.get(name=file.name)
    with pytest.raises(errors.ClientError, match="permission to access the File"):
        other.models.generate_content(model=FLASH, contents=[file])
    with pytest.raises(errors.ClientError, match="Only generated files"):
        gemini_client("one").files.download(file=file.name)


def test_upload_steps_are_checked(gemini_post, sim_url):
    start = {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": "4",
        "X-Goog-Upload-Header-Content-Type": "text/plain",
        "x-goog-api-key": "key",
    }
    begun = gemini_post("/upload/v1beta/files", {"file": {"display_name": "x"}}, headers=start)
    assert begun.status_code == 200
    assert begun.content == b""
    url = begun.headers["x-goog-upload-url"]

    def step(command: str, offset: int, data: bytes) -> requests.Response:
        headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
        return requests.post(url, data=data, headers=headers, timeout=20)

    assert step("upload, finalize", 2, b"abcd").status_code == 400
    assert step("upload, finalize", 0, b"abc").status_code == 400
    assert step("upload, finalize", 3, b"d").json()["file"]["sizeBytes"] == "4"
    assert step("upload, finalize", 4, b"").status_code == 404
    types.File.model_validate(
        requests.get(f"{sim_url}/gemini/v1beta/files?key=key", timeout=20).json()["files"][0]
    )
