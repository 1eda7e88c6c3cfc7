"""The vendors on one real socket: what they accept, refuse, stream and charge, without them.

Modelled are the wire formats that the gateway speaks: Volcengine Ark, the
Gemini API, Gemini Enterprise and OpenAI's (as compatible servers speak it),
with state (sessions, files, tasks), their own error bodies and faults chosen
by credential or header. Answers are made up: a text that tells what arrived,
a picture with the prompt on it, a short film. Not modelled are prices,
moderation of real content and the speed of real models.
"""
