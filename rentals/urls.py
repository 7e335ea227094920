"""URLs of the pages for renting, holds, the balance, statements and receipts."""

from django.urls import path, re_path, register_converter

from rentals.statements.monthly import Month
from rentals.views import account, holds, rentals, renting


class MonthConverter:
    """A month as in 2026-11."""

    regex = "[0-9]{4}-(?:0[1-9]|1[0-2])"

    def to_python(self, text: str) -> Month:
        year, number = text.split("-")
        return Month(int(year), int(number))

    def to_url(self, month: Month) -> str:
        return str(month)


register_converter(MonthConverter, "month")

urlpatterns = [
    path("books/<int:pk>/rent/", renting.rent, name="rent"),
    path("books/<int:pk>/queue/", holds.join_queue, name="join-queue"),
    path("holds/<int:pk>/cancel/", holds.leave_queue, name="leave-queue"),
    path("rentals/", rentals.my_rentals, name="my-rentals"),
    path("rentals/history/", rentals.history, name="rental-history"),
    path("rentals/<int:ref>/renew/", rentals.renew, name="renew"),
    path("rentals/calendar/make/", rentals.make_calendar_link, name="make-calendar-link"),
    path("rentals/calendar/revoke/", rentals.revoke_calendar_link, name="revoke-calendar-link"),
    path("rentals/calendar/<str:secret>.ics", rentals.calendar_feed, name="calendar-feed"),
    re_path(r"^balance/?\Z", account.balance, name="balance"),
    path("balance/statements/<month:month>/", account.statement, name="statement"),
    path("balance/statements/<month:month>.pdf", account.statement_pdf, name="statement-pdf"),
    path("balance/statements/<month:month>.csv", account.statement_in_csv, name="statement-csv"),
    path("balance/receipts/<int:number>/", account.receipt, name="receipt"),
    path("balance/receipts/<int:number>.pdf", account.receipt_pdf, name="receipt-pdf"),
]
