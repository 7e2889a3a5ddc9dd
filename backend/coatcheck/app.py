"""The application: settings in, ASGI out. Everything that holds a connection is opened in the lifespan."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from . import __version__, logs, metrics, migrate, stopping
from . import desk as desks
from . import settings as configuration
from .clock import Clock
from .routes import (
    admin,
    admin_audit,
    assets,
    devices,
    events,
    export,
    factors,
    introspection,
    me,
    native,
    oauth,
    pages_account,
    pages_admin,
    pages_admin_rule,
    pages_devices,
    pages_email,
    pages_recovery,
    pages_second_step,
    pages_security,
    pages_session_limit,
    pages_sign_in,
    pages_step_up,
    passkeys,
    problems,
    recovery,
    revocations,
    spa,
    step_up,
    web,
    well_known,
)
from .routes.answers import ProblemOut
from .routes.authentication import Authentication
from .routes.edge import Edge
from .routes.paths import API
from .settings import Settings, SettingsError

if TYPE_CHECKING:
    from .traces import Traces

# The API, then the pages.
_MODULES = (
    *(oauth, devices, spa, me, export, step_up, native, web, events, factors, passkeys),
    *(introspection, revocations, well_known, recovery),
    *(admin, admin_audit),
    *(assets, pages_sign_in, pages_second_step, pages_session_limit, pages_step_up),
    *(pages_recovery, pages_email, pages_account, pages_devices, pages_security),
    *(pages_admin, pages_admin_rule),
)
_CHECKOUT = Path(__file__).parents[2] / "spa_demo"


def create_app(settings: Settings, clock: Clock | None = None) -> FastAPI:
    """An application of its own: two in one process share nothing."""
    clock = clock or Clock()

    meter, traces = metrics.meter(settings), _traces(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.embedded:
            await migrate.upgrade(settings)
        elif not await migrate.is_current(settings):
            raise SettingsError("The database is not migrated; run: coatcheck migrate")
        async with desks.opened(settings, clock) as desk, traces.watching(desk) if traces else nullcontext():
            app.state.desk = desk
            if meter:
                meter.start(desk)
            with stopping.announced(desk.end_streams):
                yield
            if meter:
                await meter.stop()

    app = FastAPI(
        title="Coatcheck",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # it would load scripts from another host
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # else asked for anew at each request: 3 us
        redirect_slashes=False,  # a redirect built from the Host header, repeating a POST with its credentials
    )
    # The busiest first, and all side by side: FastAPI searches an included router twice, which costs as much as the
    # rest of an authenticated request.
    app.router.routes.extend([*oauth.busiest.routes, *devices.busiest.routes])
    for module in _MODULES:
        app.router.routes.extend(module.router.routes)
    problems.install(app)
    app.add_middleware(Authentication, settings=settings)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_credentials=True,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Coatcheck-Client", "X-CSRF-Token", "Last-Event-ID"],
            expose_headers=["Retry-After", "WWW-Authenticate"],
        )
    app.add_middleware(Edge, settings=settings, meter=meter)
    if traces:
        app.add_middleware(traces.around)
    static = settings.spa_dir or _CHECKOUT
    if static.is_dir():
        # Compressed, unlike any answer of the API: these hold nothing secret that a length could give away (BREACH).
        app.router.default = GZipMiddleware(_Pages(directory=static, html=True), minimum_size=256)
    _describe_problems(app)
    return app


class _Pages(StaticFiles):
    """The app's files, where no route matches. Not mounted at "/": that would match every path, and hide each 405."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A file; anything else under this roof is not found, whatever the method."""
        if scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(API):
            raise HTTPException(404)
        await super().__call__(scope, receive, send)


def _traces(settings: Settings) -> "Traces | None":
    if not settings.traces:
        return None
    from .traces import Traces  # noqa: PLC0415  # off: never loaded

    return Traces()


def from_environment() -> FastAPI:
    """What `coatcheck serve` runs in each worker. Raises SettingsError."""
    settings = configuration.load()
    logs.configure(settings.log_level)
    app = create_app(settings)
    # What is loaded by now stays for ever. Unless told so, the garbage collector looks through all of it now and then,
    # and everybody waits for a tenth of a second (measured).
    gc.freeze()
    return app


def _describe_problems(app: FastAPI) -> None:
    """Give the OpenAPI document the schema that `bodies.problems` points to."""
    plain = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            schema = plain()
            schemas = schema["components"]["schemas"]
            own = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= own.pop("$defs") | {"ProblemOut": own}
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
