"""Google's Gemini API. https://ai.google.dev/api/generate-content"""
