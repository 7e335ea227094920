"""The catalogue by FastAPI and SQLAlchemy, for whoever has a token: models, sessions, pydantic."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from sqlalchemy import BigInteger, ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column

from benchmarks.baselines.shape import Page


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "accounts_user"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    username: Mapped[str]
    is_active: Mapped[bool]


class Copy(Base):
    __tablename__ = "books_copy"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("books_book.id"))
    status: Mapped[str]


class Rental(Base):
    __tablename__ = "rentals_rental"
    ref: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    copy_id: Mapped[int] = mapped_column(ForeignKey("books_copy.id"))
    returned_at: Mapped[Any] = mapped_column(BigInteger)
    voided_at: Mapped[Any] = mapped_column(BigInteger)


class Hold(Base):
    __tablename__ = "rentals_hold"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    copy_id: Mapped[int] = mapped_column(ForeignKey("books_copy.id"))
    ended_at: Mapped[Any] = mapped_column(BigInteger)


class Book(Base):
    __tablename__ = "books_book"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    author: Mapped[str]
    description: Mapped[str]
    book_type: Mapped[int] = mapped_column("kind")
    isbn: Mapped[str]
    published: Mapped[int | None]
    language: Mapped[str]


_in_service = (
    select(func.count(Copy.id))
    .where(Copy.book_id == Book.id, Copy.status == "in_service")
    .correlate_except(Copy, Rental, Hold)
)
_out = select(Rental.ref).where(
    Rental.copy_id == Copy.id, Rental.returned_at.is_(None), Rental.voided_at.is_(None)
)
_put_aside = select(Hold.id).where(Hold.copy_id == Copy.id, Hold.ended_at.is_(None))
Book.copies = column_property(_in_service.scalar_subquery())
Book.available = column_property(_in_service.where(~_out.exists(), ~_put_aside.exists()).scalar_subquery())

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgres://", "postgresql+asyncpg://"))
new_session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def session() -> AsyncIterator[AsyncSession]:
    async with new_session() as opened:
        yield opened


async def caller(
    opened: Annotated[AsyncSession, Depends(session)], authorization: Annotated[str, Header()]
) -> User:
    try:
        claims = jwt.decode(
            authorization.split(" ")[1],
            os.environ["TOKEN_SIGNING_KEY"],
            algorithms=["HS256"],
            audience=os.environ["SITE_URL"],
        )
    except (jwt.InvalidTokenError, IndexError) as error:
        raise HTTPException(401) from error
    user = await opened.get(User, int(claims["user_id"]))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


@app.get("/books/", response_model=Page)
async def books(
    opened: Annotated[AsyncSession, Depends(session)],
    user: Annotated[User, Depends(caller)],
    cursor: int = 0,
    page_size: int = 25,
) -> Any:
    found = await opened.scalars(select(Book).where(Book.id > cursor).order_by(Book.id).limit(page_size + 1))
    rows = found.all()
    last = f"/books/?cursor={rows[page_size - 1].id}" if len(rows) > page_size else None
    return {"next": last, "previous": None, "results": rows[:page_size]}
