"""One OpenAI-compatible endpoint in front of the AI accounts a team owns."""
