"""The catalogue and renting with FastAPI, SQLAlchemy and pydantic, authenticated by token."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, ForeignKey, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    column_property,
    defer,
    joinedload,
    mapped_column,
    relationship,
)

from benchmarks.baselines.rules import owed_for, refusals
from benchmarks.baselines.shape import Page, RentalOut


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True)}


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
    replacement_price: Mapped[Decimal | None]


class Policy(Base):
    __tablename__ = "rentals_policy"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    rental_days: Mapped[int]
    max_open_rentals: Mapped[int]
    debt_limit: Mapped[Decimal]


class PriceList(Base):
    __tablename__ = "rentals_pricelist"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    in_force_from: Mapped[datetime]


class Rate(Base):
    __tablename__ = "rentals_rate"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    price_list_id: Mapped[int] = mapped_column(ForeignKey("rentals_pricelist.id"))
    kind: Mapped[int]
    first_days: Mapped[int]
    first_days_rate: Mapped[Decimal]
    daily_rate: Mapped[Decimal]
    minimum: Mapped[Decimal]
    late_fee: Mapped[Decimal]
    price_list: Mapped[PriceList] = relationship()


class Entry(Base):
    __tablename__ = "rentals_ledgerentry"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts_user.id"))
    number: Mapped[int]
    balance: Mapped[Decimal]


class Rental(Base):
    __tablename__ = "rentals_rental"
    ref: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts_user.id"))
    copy_id: Mapped[int] = mapped_column(ForeignKey("books_copy.id"))
    rate_id: Mapped[int] = mapped_column(ForeignKey("rentals_rate.id"))
    replacement_price: Mapped[Decimal | None]
    rented_at: Mapped[datetime]
    due_at: Mapped[datetime]
    returned_at: Mapped[datetime | None]
    voided_at: Mapped[datetime | None]
    renewals: Mapped[int] = mapped_column(default=0)
    due_before: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    copy: Mapped[Copy] = relationship()
    rate: Mapped[Rate] = relationship()


class Hold(Base):
    __tablename__ = "rentals_hold"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("accounts_user.id"))
    book_id: Mapped[int] = mapped_column(ForeignKey("books_book.id"))
    copy_id: Mapped[int | None] = mapped_column(ForeignKey("books_copy.id"))
    rental_id: Mapped[int | None] = mapped_column(ForeignKey("rentals_rental.ref"))
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str]


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


class RentIn(BaseModel):
    book: int


@app.post("/rentals/", response_model=RentalOut, status_code=201)
async def rent(
    asked: RentIn,
    opened: Annotated[AsyncSession, Depends(session)],
    user: Annotated[User, Depends(caller)],
) -> Any:
    """Apply the shop's rules. Locks the member, the book, the copy and the rate, in this order."""
    now = datetime.now(UTC)
    await opened.refresh(user, with_for_update={"key_share": True})
    book = await opened.scalar(
        select(Book)
        .options(defer(Book.copies), defer(Book.available))
        .where(Book.id == asked.book)
        .with_for_update(key_share=True, of=Book)
    )
    if book is None:
        raise HTTPException(404)
    policy = (await opened.scalars(select(Policy))).one()
    hold = await opened.scalar(
        select(Hold).where(
            Hold.user_id == user.id,
            Hold.book_id == book.id,
            Hold.copy_id.is_not(None),
            Hold.ended_at.is_(None),
        )
    )
    copy = await _free_copy(opened, book, hold)
    rate = await _rate_in_force(opened, book, now)
    open_rentals = await opened.scalars(
        select(Rental)
        .where(Rental.user_id == user.id, Rental.returned_at.is_(None), Rental.voided_at.is_(None))
        .options(joinedload(Rental.copy), joinedload(Rental.rate))
    )
    out = open_rentals.all()
    posted = await opened.scalar(
        select(Entry.balance).where(Entry.user_id == user.id).order_by(Entry.number.desc()).limit(1)
    )
    reasons = refusals(user, book, policy, out, posted, now)
    if rate is None:
        reasons.append("no_price_in_force")
    if copy is None:
        reasons.append("book_unavailable")
    if reasons or rate is None or copy is None:
        raise HTTPException(409, reasons)
    rental = Rental(
        user_id=user.id,
        copy=copy,
        rate=rate,
        replacement_price=copy.replacement_price,
        rented_at=now,
        due_at=now + timedelta(days=policy.rental_days),
    )
    opened.add(rental)
    if hold is not None:
        await opened.flush()
        hold.rental_id, hold.ended_at, hold.outcome = rental.ref, now, "picked_up"
    try:
        await opened.commit()
    except IntegrityError as error:
        raise HTTPException(409, ["book_unavailable"]) from error
    return {
        "ref": rental.ref,
        "user": user.id,
        "book": book.id,
        "copy": copy.id,
        "rented_at": rental.rented_at,
        "returned_at": None,
        "status": 2,
        "due_at": rental.due_at,
        "renewals": rental.renewals,
        "overdue": rental.due_at < now,
        "price_list": rate.price_list.name,
        "charge": None,
        "running_cost": owed_for(rental, now),
    }


async def _free_copy(opened: AsyncSession, book: Book, hold: Hold | None) -> Copy | None:
    """Return and lock the copy held for the member, or else a free copy that no waiting hold needs."""
    copies = (
        select(Copy)
        .where(Copy.book_id == book.id, Copy.status == "in_service")
        .with_for_update(key_share=True, of=Copy)
    )
    if hold is not None:
        return (await opened.scalars(copies.where(Copy.id == hold.copy_id))).first()
    waiting = await opened.scalar(
        select(func.count(Hold.id)).where(
            Hold.book_id == book.id, Hold.copy_id.is_(None), Hold.ended_at.is_(None)
        )
    )
    free = copies.where(~_out.exists(), ~_put_aside.exists()).order_by(Copy.id)
    return (await opened.scalars(free.offset(waiting).limit(1))).first()


async def _rate_in_force(opened: AsyncSession, book: Book, now: datetime) -> Rate | None:
    price_list = await opened.scalar(
        select(PriceList)
        .where(PriceList.in_force_from <= now)
        .order_by(PriceList.in_force_from.desc())
        .limit(1)
    )
    if price_list is None:
        return None
    rate: Rate | None = await opened.scalar(
        select(Rate)
        .options(joinedload(Rate.price_list, innerjoin=True))
        .where(Rate.price_list_id == price_list.id, Rate.kind == book.book_type)
        .with_for_update(read=True, key_share=True, of=Rate)
    )
    return rate
