"""The pages of renting."""

from django.urls import path

from rentals.views import my_rentals, queue, renting

urlpatterns = [
    path("books/<int:pk>/rent/", renting.rent, name="rent"),
    path("books/<int:pk>/queue/", queue.join_queue, name="join-queue"),
    path("holds/<int:pk>/cancel/", queue.leave_queue, name="leave-queue"),
    path("rentals/", my_rentals.my_rentals, name="my-rentals"),
    path("rentals/history/", my_rentals.history, name="rental-history"),
    path("rentals/<int:ref>/renew/", my_rentals.renew, name="renew"),
    path("rentals/calendar/make/", my_rentals.make_calendar_link, name="make-calendar-link"),
    path("rentals/calendar/revoke/", my_rentals.revoke_calendar_link, name="revoke-calendar-link"),
    path("rentals/calendar/<str:secret>.ics", my_rentals.calendar_feed, name="calendar-feed"),
]
