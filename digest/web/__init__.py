"""The pages: one ASGI application that any server can serve."""

from digest.web.routes import create

__all__ = ["create"]
