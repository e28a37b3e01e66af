"""The server's side of the page: small answers to the browsers on this machine that know the token."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audiodiff.batch.job_options import Options
from audiodiff.batch.naming import sidecar_path
from audiodiff.errors import AudiodiffError, AudioFileError, ConfigError
from audiodiff.io.formats import AUDIO_SUFFIXES, display_path
from audiodiff.io.loudness import require
from audiodiff.report import TEMPLATES as REPORT
from audiodiff.ui.jobs import Desk
from audiodiff.ui.listening import PEAKS, chunk_name
from audiodiff.ui.rows import Row, Wish
from audiodiff.ui.words import error_text

HOSTS = ("127.0.0.1", "localhost")

_HERE = Path(__file__).parent / "templates"
_FILES = {
    "page.css": (_HERE / "page.css", "text/css"),
    "page.js": (_HERE / "page.js", "text/javascript"),
    "listen.js": (_HERE / "listen.js", "text/javascript"),
    "wish.js": (_HERE / "wish.js", "text/javascript"),
    "style.css": (REPORT / "style.css", "text/css"),
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
RowHandler: TypeAlias = Callable[[Request, Row], Response]


class _Opening(BaseModel):
    """A path on this machine, and how its recording shall be cleaned."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str = Field(min_length=1)
    wish: Wish


def build(desk: Desk, token: str, max_bytes: int) -> Starlette:
    """The application."""
    server = _Server(desk, max_bytes)
    at = f"/{token}"
    rows = f"{at}/rows/{{id}}"

    def change(path: str, handler: Handler) -> Route:
        return Route(path, server.told(handler), methods=["POST"])

    routes = [
        Route(f"{at}/", server.page),
        Route(f"{at}/state", server.state),
        Route(f"{at}/{{name}}", server.asset),
        change(f"{at}/rows/new", server.upload),
        change(f"{at}/rows/open", server.open),
        change(f"{at}/rows/remove-finished", server.remove_finished),
        change(f"{rows}/again", server.again),
        change(f"{rows}/stop", server.of_row(server.stop)),
        change(f"{rows}/remove", server.of_row(server.remove)),
        Route(f"{rows}/result", server.of_row(server.result)),
        Route(f"{rows}/sidecar", server.of_row(server.sidecar)),
        Route(f"{rows}/report", server.told(server.of_row(server.report))),
        Route(f"{rows}/peaks", server.of_row(server.peaks)),
        Route(f"{rows}/sound/{{number:int}}", server.of_row(server.sound)),
    ]
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
        Middleware(_Guard, token=token),
    ]
    return Starlette(routes=routes, middleware=guards)


class _Guard:
    """Lets only addresses with the token through, changes only from the page itself, and adds headers."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_HEADERS]
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append((b"content-security-policy", _POLICY))
                message["headers"] = headers
            await send(message)

        first = str(scope.get("path", "")).split("/")[1:2] or [""]
        app: ASGIApp = self._app
        if scope["type"] != "http" or not secrets.compare_digest(first[0].encode(), self._token):
            app = PlainTextResponse("not found", 404)
        elif scope["method"] not in {"GET", "HEAD"} and not _from_the_page(dict(scope["headers"])):
            app = JSONResponse({"error": "only the page itself may do this", "code": "foreign"}, 403)
        await app(scope, receive, with_headers)


def _from_the_page(headers: dict[bytes, bytes]) -> bool:
    """Whether the origin of a request, which browsers always send with a change, is this very server."""
    return headers.get(b"origin") == b"http://" + headers.get(b"host", b"")


class _Server:
    def __init__(self, desk: Desk, max_bytes: int) -> None:
        self._desk = desk
        self._max_bytes = max_bytes
        self._limits = {
            "max_bytes": max_bytes,
            "max_hours": Options().max_hours,
            "suffixes": sorted(AUDIO_SUFFIXES),
        }
        try:
            require()
            self._loudness = ""
        except ConfigError as error:
            self._loudness = str(error)

    def told(self, handler: Handler) -> Handler:
        """A handler whose errors become one line for the page."""
        folder = self._desk.store.folder

        @functools.wraps(handler)
        async def wrapped(request: Request) -> Response:
            try:
                return await handler(request)
            except AudiodiffError as error:
                return JSONResponse({"error": error_text(error, folder), "code": error.code}, 400)
            except ValidationError as error:
                first = error.errors()[0]
                line = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
                return JSONResponse({"error": line, "code": "usage"}, 400)
            except ClientDisconnect:  # nobody hears it
                return Response(status_code=400)
            except OSError as error:  # a full disk
                line = f"cannot be stored ({error.strerror}); make room on the disk and try again"
                return JSONResponse({"error": line, "code": "no_space"}, 507)

        return wrapped

    def of_row(self, handler: RowHandler) -> Handler:
        """A handler for one row, which may be gone."""

        async def found(request: Request) -> Response:
            row = self._desk.row(request.path_params["id"])
            return _missing() if row is None else await run_in_threadpool(handler, request, row)

        return found

    async def page(self, _request: Request) -> Response:
        return FileResponse(_HERE / "page.html", media_type="text/html")

    async def asset(self, request: Request) -> Response:
        found = _FILES.get(request.path_params["name"])
        return _missing() if found is None else FileResponse(found[0], media_type=found[1])

    async def state(self, _request: Request) -> Response:
        rows = await run_in_threadpool(self._desk.rows)
        return JSONResponse(
            {
                "folder": display_path(self._desk.store.folder),
                "limits": self._limits,
                "no_loudness": self._loudness,
                "rows": [self._shown(row) for row in rows],
            }
        )

    def _shown(self, row: Row) -> dict[str, Any]:
        work, target = self._desk.work, self._desk.store.target_of(row)
        answer = row.model_dump(mode="json", exclude={"source", "place", "copied"})
        answer |= {"name": display_path(Path(row.name)), "share": 0.0, "step": "", "left_s": None}
        if work is not None and work.row is row:
            answer |= {"share": work.share, "step": work.step, "left_s": work.left_s}
        if target is not None:
            answer["path"] = display_path(target)
        return answer

    async def upload(self, request: Request) -> Response:
        query = dict(request.query_params)
        name, wish = query.pop("name", ""), Wish.model_validate(query)
        place = self._desk.store.place_for(name)
        try:
            await self._receive(request, place)
        except BaseException:
            self._desk.store.forget(place)
            raise
        row = await run_in_threadpool(self._desk.add, place, wish, own=True)
        return JSONResponse({"row": row.id}, 201)

    async def _receive(self, request: Request, place: Path) -> None:
        """Write what is sent to its file, piece by piece."""
        size = 0
        announced = int(request.headers.get("content-length", "0"))
        with place.open("xb") as file:
            async for piece in request.stream():
                size += len(piece)
                if max(size, announced) > self._max_bytes:
                    line = f"{place.name}: larger than {self._max_bytes >> 20} MiB; name its path instead"
                    raise AudioFileError(line, code="too_large")
                file.write(piece)

    async def open(self, request: Request) -> Response:
        opening = _Opening.model_validate_json(await request.body())
        path = Path(opening.path.strip()).expanduser()
        if not path.is_absolute():
            raise AudioFileError(f"{display_path(path)}: not a whole path; begin with / or ~")
        row = await run_in_threadpool(self._desk.add, path, opening.wish, own=False)
        return JSONResponse({"row": row.id}, 201)

    async def again(self, request: Request) -> Response:
        wish = Wish.model_validate_json(await request.body())
        row = self._desk.row(request.path_params["id"])
        if row is None:
            return _missing()
        return JSONResponse({"row": (await run_in_threadpool(self._desk.again, row, wish)).id}, 201)

    async def remove_finished(self, _request: Request) -> Response:
        await run_in_threadpool(self._desk.remove_finished)
        return Response(status_code=204)

    def stop(self, _request: Request, row: Row) -> Response:
        self._desk.stop(row)
        return Response(status_code=204)

    def remove(self, _request: Request, row: Row) -> Response:
        self._desk.remove(row)
        return Response(status_code=204)

    def result(self, _request: Request, row: Row) -> Response:
        return self._download(self._desk.store.target_of(row))

    def sidecar(self, _request: Request, row: Row) -> Response:
        target = self._desk.store.target_of(row)
        return self._download(None if target is None else sidecar_path(target))

    def _download(self, path: Path | None) -> Response:
        if path is None or not path.is_file():
            return _missing()
        return FileResponse(path, filename=path.name.encode("utf-8", "replace").decode())

    def report(self, _request: Request, row: Row) -> Response:
        path = self._desk.report(row)
        if path is None:
            return _missing()
        # its own policy stands in the page; the hashes of its script and style are known there
        own = {"content-security-policy": "frame-ancestors 'none'"}
        return FileResponse(path, media_type="text/html", headers=own)

    def peaks(self, _request: Request, row: Row) -> Response:
        return self._heard(row, PEAKS)

    def sound(self, request: Request, row: Row) -> Response:
        return self._heard(row, chunk_name(request.path_params["number"]))

    def _heard(self, row: Row, name: str) -> Response:
        path = self._desk.store.folder_of(row) / "listen" / name
        return FileResponse(path) if row.listening is not None and path.is_file() else _missing()


def _missing() -> Response:
    return PlainTextResponse("not found", 404)
