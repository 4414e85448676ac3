"""The description of the whole API over REST, OpenAPI 3.1: `document` makes it.

scripts/render_docs.py writes it to deploy/nginx/openapi.json, from where the proxy serves it.
"""

from server.openapi.document import document

__all__ = ["document"]
