"""The pages of renting."""

from django.urls import path

from rentals.views import queue, renting

urlpatterns = [
    path("books/<int:pk>/rent/", renting.rent, name="rent"),
    path("books/<int:pk>/queue/", queue.join_queue, name="join-queue"),
    path("holds/<int:pk>/cancel/", queue.leave_queue, name="leave-queue"),
]
