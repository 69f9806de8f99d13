"""A reverse proxy that serves another server below a path."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


@contextmanager
def proxied(address: str, path: str, strip: bool = True) -> Iterator[str]:
    """Serve the server at ``address`` below ``path``, and answer 404 elsewhere. Yield the new address.

    Args:
        address: Address of the server.
        path: Path on the proxy, such as /style.
        strip: Remove the path from the requests that are passed on, as most proxies do.
    """
    client = httpx.AsyncClient(base_url=address, timeout=None)

    async def forward(request: Request) -> Response:
        inner = request.url.path.removeprefix(path) if strip else request.url.path
        url = httpx.URL(inner or "/", query=request.url.query.encode())
        built = client.build_request(
            request.method, url, headers=request.headers.raw, content=request.stream()
        )
        answer = await client.send(built, stream=True)
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, answer.headers, background=BackgroundTask(answer.aclose)
        )

    methods = ["GET", "POST", "HEAD"]
    app = Starlette(routes=[Route(path + "/{rest:path}", forward, methods=methods)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{path}/"
    finally:
        server.should_exit = True
        thread.join(10)
