"""What a job keeps of the pictures it was ordered with."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.requests import ImageRequest
from gateway.formats.blobs import BytesBlob
from gateway.services.jobs.records import request_record
from tests.services.media.kit import ALICE, asking, picture, ref
from tests.support.media import data_url


class Counted(BytesBlob):
    readings = 0

    def chunks(self):
        self.readings += 1
        return super().chunks()


def test_a_picture_that_is_given_repeatedly_is_stored_once(media):
    again = ref(data_url(picture()))
    with media.resolved(
        asking(again, ref(data_url(picture(colour="blue"))), again), ALICE
    ) as found:
        first, other, last = found.images
    blob = Counted(b"".join(first.blob.chunks()))
    first, last = (replace(item, blob=blob) for item in (first, last))
    order = ImageRequest("m", "p", images=(first, other, last), mask=first)
    record = request_record(order, media, ALICE)
    assert record["images"][0] == record["images"][2] == record["mask"] != record["images"][1]
    assert blob.readings == 1
