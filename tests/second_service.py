"""A service that is not Coatcheck and knows its people by Coatcheck's access tokens: the whole of it.

ISSUER=https://accounts.example.com AUDIENCE=https://api.example.com uvicorn tests.second_service:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse

from coatcheck.verifier import Claims, Refused, Verifier

verifier = Verifier(
    issuer=os.environ["ISSUER"],
    audience=os.environ["AUDIENCE"],
    max_staleness=float(os.environ.get("MAX_STALENESS", "10")),
    when_stale="accept" if os.environ.get("WHEN_STALE") == "accept" else "refuse",
)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with verifier:
        yield


app = FastAPI(lifespan=lifespan)


async def caller(authorization: Annotated[str | None, Header()] = None) -> Claims:
    return verifier.authorize(authorization)


@app.exception_handler(Refused)
async def refused(_request: Request, refusal: Refused) -> JSONResponse:
    return JSONResponse(refusal.body, refusal.status, refusal.headers, media_type="application/problem+json")


@app.get("/parcels")
async def parcels(claims: Annotated[Claims, Depends(caller)]) -> dict[str, Any]:
    return {"parcels": [], "of": claims.account_id}


@app.get("/readyz")
async def readyz() -> dict[str, bool]:
    return {"knows_endings": verifier.is_fresh}
