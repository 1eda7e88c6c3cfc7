"""Ark's API: video tasks and images. https://www.volcengine.com/docs/82379/1520757"""
