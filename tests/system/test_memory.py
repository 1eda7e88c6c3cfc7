"""Serving imports nothing that only other uses need: every module stays for ever."""

from __future__ import annotations

NOT_BY_WORKERS = {
    *("PIL", "alembic", "apispec", "boto3", "botocore", "cryptography", "google", "mako"),
    *("psycopg", "pygments", "redis", "rich", "structlog"),
    *("sqlalchemy.dialects.postgresql", "sqlalchemy.orm"),
    *("gateway.cli", "gateway.simulators"),
}
NOT_BY_THE_ARBITER = {
    *("flask", "limits", "requests", "sqlalchemy", "urllib3"),
    *(
        "gateway.api",
        "gateway.bootstrap",
        "gateway.services",
        "gateway.config.settings",
        "gateway.stores",
    ),
}


def test_what_serving_does_not_need_is_not_imported(gateway_factory):
    with gateway_factory.started(app="tests.support.loaded:app", workers=1) as gateway:
        assert gateway.chat(model="test-model").status_code == 200
        loaded = gateway.get("/loaded").json()
    assert not NOT_BY_WORKERS & set(loaded["worker"])
    assert not NOT_BY_THE_ARBITER & set(loaded["arbiter"])
