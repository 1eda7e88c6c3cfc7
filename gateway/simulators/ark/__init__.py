"""Volcengine Ark."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("ark", __name__)
