"""Flask lives here and nowhere else."""

from __future__ import annotations

from flask import Flask

from gateway.api import (
    answers,
    auth,
    chat,
    errors,
    files,
    generations,
    media,
    models,
    ops,
    reference,
    unsupported,
    videos,
)


def register(app: Flask) -> None:
    answers.register(app)
    auth.register(app)
    errors.register(app)
    for module in (chat, generations, videos, files, media, models, ops, reference, unsupported):
        app.register_blueprint(module.bp)
