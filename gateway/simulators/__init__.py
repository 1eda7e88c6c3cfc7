"""Simulators of the vendors, on one real socket.

Modelled are the wire formats that the gateway speaks: Volcengine Ark, the
Gemini API, Gemini Enterprise and OpenAI's (as compatible servers speak it),
with state (sessions, files, tasks), their own error bodies and faults chosen
by credential or header. Answers are made up: a text that describes what arrived,
an image with the prompt on it, a short video. Not modelled are prices,
moderation of real content and the speed of real models.
"""
