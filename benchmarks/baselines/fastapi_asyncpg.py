"""The catalogue with FastAPI and asyncpg: hand-written SQL, responses by pydantic."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, Request

from benchmarks.baselines.shape import AVAILABLE, COPIES, Page

PAGE = f"""
SELECT id, name, author, description, kind AS book_type, isbn, published, language,
    {COPIES} AS copies, {AVAILABLE} AS available
FROM books_book WHERE id > $1 ORDER BY id LIMIT $2
"""  # Only constants are interpolated.


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/books/", response_model=Page)
async def books(request: Request, cursor: int = 0, page_size: int = 25) -> Any:
    rows = await request.app.state.pool.fetch(PAGE, cursor, page_size + 1)
    results = [dict(row) for row in rows[:page_size]]
    last = f"/books/?cursor={results[-1]['id']}" if len(rows) > page_size else None
    return {"next": last, "previous": None, "results": results}
