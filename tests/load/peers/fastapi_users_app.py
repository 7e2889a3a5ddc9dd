"""fastapi-users with its JWT and its Redis strategy, on PostgreSQL, as its documentation sets it up.

DATABASE=postgresql+asyncpg://... REDIS=redis://... SECRET=... uvicorn fastapi_users_app:app
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import redis.asyncio
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy, RedisStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

engine = create_async_engine(os.environ["DATABASE"], pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
cache = redis.asyncio.from_url(os.environ["REDIS"], decode_responses=True)
SECRET = os.environ["SECRET"]
HELPER = PasswordHelper(PasswordHash((Argon2Hasher(memory_cost=19_456, time_cost=2, parallelism=1),)))


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


async def users() -> AsyncIterator[SQLAlchemyUserDatabase]:
    async with sessions() as session:
        yield SQLAlchemyUserDatabase(session, User)


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    pass


async def manager(db: Annotated[SQLAlchemyUserDatabase, Depends(users)]) -> AsyncIterator[Manager]:
    yield Manager(db, HELPER)


jwt = AuthenticationBackend(
    name="jwt",
    transport=BearerTransport(tokenUrl="jwt/login"),
    get_strategy=lambda: JWTStrategy(secret=SECRET, lifetime_seconds=3600),
)
stored = AuthenticationBackend(
    name="redis",
    transport=BearerTransport(tokenUrl="redis/login"),
    get_strategy=lambda: RedisStrategy(cache, lifetime_seconds=3600),
)
fastapi_users = FastAPIUsers[User, uuid.UUID](manager, [jwt, stored])


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield


app = FastAPI(lifespan=lifespan)
app.include_router(fastapi_users.get_auth_router(jwt), prefix="/jwt")
app.include_router(fastapi_users.get_auth_router(stored), prefix="/redis")
app.include_router(fastapi_users.get_register_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserCreate))


def _current(backend: AuthenticationBackend) -> Any:
    return Depends(fastapi_users.current_user(active=True, get_enabled_backends=lambda: [backend]))


@app.get("/jwt/current")
async def by_jwt(user: Annotated[User, _current(jwt)]) -> dict[str, Any]:
    return {"account_id": str(user.id), "roles": []}


@app.get("/redis/current")
async def by_redis(user: Annotated[User, _current(stored)]) -> dict[str, Any]:
    return {"account_id": str(user.id), "roles": []}
