"""URLs of the catalogue's pages."""

from django.urls import path

from books import views

urlpatterns = [
    path("home", views.home, name="home"),
    path("books/<int:pk>/", views.book, name="book"),
]
