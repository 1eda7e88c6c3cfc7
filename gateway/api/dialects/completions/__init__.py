"""OpenAI's completions of plain text, over models that chat.

https://platform.openai.com/docs/api-reference/completions
"""
