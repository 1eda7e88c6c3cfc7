"""Chat completions in OpenAI's shape, shared by Ark and the OpenAI-compatible server."""
