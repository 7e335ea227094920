"""Response models of both FastAPI applications, and the SQL that counts copies."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field


class Book(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str
    author: str
    image: str | None = None
    book_type: int
    isbn: str
    published: int | None
    language: str
    copies: int
    available: int


class Page(BaseModel):
    next: str | None
    previous: str | None
    results: list[Book]


class RentalOut(BaseModel):
    ref: int
    user: int
    book: int
    copy_: int = Field(alias="copy")
    rented_at: datetime
    returned_at: datetime | None
    status: int
    due_at: datetime
    renewals: int
    overdue: bool
    price_list: str
    charge: Decimal | None
    running_cost: Decimal | None


COPIES = "(SELECT count(*) FROM books_copy WHERE book_id = books_book.id AND status = 'in_service')"
AVAILABLE = """(
    SELECT count(*) FROM books_copy WHERE book_id = books_book.id AND status = 'in_service'
    AND NOT EXISTS (
        SELECT FROM rentals_rental
        WHERE copy_id = books_copy.id AND returned_at IS NULL AND voided_at IS NULL
    )
    AND NOT EXISTS (SELECT FROM rentals_hold WHERE copy_id = books_copy.id AND ended_at IS NULL)
)"""
