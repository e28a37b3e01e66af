"""The server's side of the page: small answers to one browser on this machine that knows the token."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audiodiff.errors import AudiodiffError, AudioFileError
from audiodiff.inference.arguments import Quality
from audiodiff.io.formats import display_path
from audiodiff.report import TEMPLATES as REPORT
from audiodiff.ui.jobs import PREVIEW_S, Busy, Desk, Wish

HOSTS = ("127.0.0.1", "localhost")

_HERE = Path(__file__).parent / "templates"
_FILES = {
    "page.css": (_HERE / "page.css", "text/css"),
    "page.js": (_HERE / "page.js", "text/javascript"),
    "style.css": (REPORT / "style.css", "text/css"),
    "player.js": (REPORT / "player.js", "text/javascript"),
}
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; media-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

Handler = Callable[[Request], Awaitable[Response]]


class _Order(BaseModel):
    """What the browser asks for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    recording: str
    strength: float = Field(ge=0, le=1)
    quality: Quality
    preview_s: float | None = Field(default=None, ge=0)
    overwrite: bool = False


class _Opening(BaseModel):
    """A path on this machine."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str = Field(min_length=1)


def build(desk: Desk, token: str, max_bytes: int) -> Starlette:
    """The application."""
    server = _Server(desk, max_bytes)
    at = f"/{token}"
    routes = [
        Route(f"{at}/", server.page),
        Route(f"{at}/{{name}}", server.asset),
        Route(f"{at}/recordings/new", _told(server.upload), methods=["POST"]),
        Route(f"{at}/recordings/open", _told(server.open), methods=["POST"]),
        Route(f"{at}/jobs/new", _told(server.start), methods=["POST"]),
        Route(f"{at}/jobs/{{number}}", server.state),
        Route(f"{at}/jobs/{{number}}/stop", server.stop, methods=["POST"]),
        Route(f"{at}/jobs/{{number}}/card", server.card),
        Route(f"{at}/jobs/{{number}}/result", server.result),
    ]
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
        Middleware(_Guard, token=token),
    ]
    return Starlette(routes=routes, middleware=guards)


class _Guard:
    """Lets only addresses with the token through, and adds the headers that keep a page to itself."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        first = str(scope.get("path", "")).split("/")[1:2] or [""]
        if scope["type"] == "http" and secrets.compare_digest(first[0].encode(), self._token):
            await self._app(scope, receive, with_headers)
        else:
            await PlainTextResponse("not found", 404)(scope, receive, with_headers)


class _Server:
    def __init__(self, desk: Desk, max_bytes: int) -> None:
        self._desk = desk
        self._max_bytes = max_bytes

    async def page(self, _request: Request) -> Response:
        return FileResponse(_HERE / "page.html", media_type="text/html")

    async def asset(self, request: Request) -> Response:
        found = _FILES.get(request.path_params["name"])
        return _missing() if found is None else FileResponse(found[0], media_type=found[1])

    async def upload(self, request: Request) -> Response:
        place = self._desk.place_for(request.query_params.get("name", ""))
        size = 0
        with place.open("xb") as file:
            async for piece in request.stream():
                size += len(piece)
                if size > self._max_bytes:
                    break
                file.write(piece)
        if size > self._max_bytes:
            place.unlink()
            line = f"{place.name}: larger than {self._max_bytes >> 20} MiB; give its path instead"
            raise AudioFileError(line, code="too_large")
        return self._taken(place, own=True)

    async def open(self, request: Request) -> Response:
        path = Path(_Opening.model_validate_json(await request.body()).path.strip()).expanduser()
        if not path.is_absolute():
            raise AudioFileError(f"{display_path(path)}: not a whole path; begin with / or ~")
        return self._taken(path, own=False)

    def _taken(self, path: Path, own: bool) -> Response:
        number = self._desk.add(path, own)
        recording = self._desk.recording(number)
        assert recording is not None
        info = recording.info
        return JSONResponse(
            {
                "recording": number,
                "name": display_path(Path(path.name)),
                "seconds": info.seconds,
                "rate": info.sample_rate,
                "channels": info.channels,
                "latest_preview_s": max(0.0, info.seconds - PREVIEW_S),
                "beside": not own,
            }
        )

    async def start(self, request: Request) -> Response:
        order = _Order.model_validate_json(await request.body())
        recording = self._desk.recording(order.recording)
        if recording is None:
            return _missing()
        wish = Wish(order.strength, order.quality, order.preview_s, order.overwrite)
        return JSONResponse({"job": self._desk.start(recording, wish)}, 202)

    async def state(self, request: Request) -> Response:
        job = self._desk.job(request.path_params["number"])
        if job is None:
            return _missing()
        answer: dict[str, str | float] = {
            "state": job.state,
            "share": job.share,
            "step": job.step,
            "error": job.error,
        }
        if job.state == "done" and job.result is not None:
            answer["saved"] = display_path(job.result) if job.saved else ""
            answer["name"] = display_path(Path(job.result.name))
        return JSONResponse(answer)

    async def stop(self, request: Request) -> Response:
        job = self._desk.job(request.path_params["number"])
        if job is None:
            return _missing()
        job.leave.set()
        return Response(status_code=204)

    async def card(self, request: Request) -> Response:
        job = self._desk.job(request.path_params["number"])
        return _missing() if job is None or job.state != "done" else HTMLResponse(job.html)

    async def result(self, request: Request) -> Response:
        job = self._desk.job(request.path_params["number"])
        if job is None or job.state != "done" or job.result is None:
            return _missing()
        kind = "attachment" if "save" in request.query_params else "inline"
        name = job.result.name.encode("utf-8", "replace").decode()
        return FileResponse(job.result, filename=name, content_disposition_type=kind)


def _told(handler: Handler) -> Handler:
    """A handler whose errors become one line for the page."""

    @functools.wraps(handler)
    async def wrapped(request: Request) -> Response:
        try:
            return await handler(request)
        except Busy as error:
            return JSONResponse({"error": str(error), "code": error.code}, 409)
        except AudiodiffError as error:
            return JSONResponse({"error": str(error), "code": error.code}, 400)
        except ValidationError as error:
            first = error.errors()[0]
            line = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            return JSONResponse({"error": line, "code": "usage"}, 400)
        except OSError as error:  # a full disk
            line = f"cannot be stored ({error.strerror}); make room and try again"
            return JSONResponse({"error": line, "code": "no_space"}, 507)

    return wrapped


def _missing() -> Response:
    return PlainTextResponse("not found", 404)
