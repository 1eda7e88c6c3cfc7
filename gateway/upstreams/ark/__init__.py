"""Volcengine Ark."""
