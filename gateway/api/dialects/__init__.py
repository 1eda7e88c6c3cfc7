"""Request and response forms of other APIs, one package each."""
