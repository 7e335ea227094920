"""The shop's tables, as far as the calls that are measured read them."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models


class User(AbstractBaseUser):
    username = models.CharField(max_length=150, unique=True)
    is_active = models.BooleanField()
    is_staff = models.BooleanField()

    USERNAME_FIELD = "username"

    class Meta:
        managed = False
        db_table = "accounts_user"


class Book(models.Model):
    name = models.CharField(max_length=300)
    author = models.CharField(max_length=1000)
    isbn = models.CharField(max_length=13)
    description = models.TextField()
    kind = models.PositiveSmallIntegerField()
    published = models.SmallIntegerField(null=True)
    language = models.CharField(max_length=8)
    cover = models.ImageField()

    class Meta:
        managed = False
        db_table = "books_book"

    def __str__(self) -> str:
        return self.name


class Copy(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    status = models.CharField(max_length=10)

    class Meta:
        managed = False
        db_table = "books_copy"

    def __str__(self) -> str:
        return str(self.pk)


class PriceList(models.Model):
    name = models.CharField(max_length=100)

    class Meta:
        managed = False
        db_table = "rentals_pricelist"

    def __str__(self) -> str:
        return self.name


class Rate(models.Model):
    price_list = models.ForeignKey(PriceList, models.CASCADE)
    first_days = models.PositiveSmallIntegerField()
    first_days_rate = models.DecimalField(max_digits=8, decimal_places=2)
    daily_rate = models.DecimalField(max_digits=8, decimal_places=2)
    minimum = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        managed = False
        db_table = "rentals_rate"

    def __str__(self) -> str:
        return str(self.pk)


class Entry(models.Model):
    user = models.ForeignKey(User, models.CASCADE)
    amount = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        managed = False
        db_table = "rentals_ledgerentry"

    def __str__(self) -> str:
        return str(self.pk)


class Rental(models.Model):
    ref = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, models.CASCADE)
    copy = models.ForeignKey(Copy, models.CASCADE)
    rate = models.ForeignKey(Rate, models.CASCADE)
    rent_entry = models.ForeignKey(Entry, models.CASCADE, null=True)
    rented_at = models.DateTimeField()
    due_at = models.DateTimeField()
    returned_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    renewals = models.PositiveSmallIntegerField()

    class Meta:
        managed = False
        db_table = "rentals_rental"

    def __str__(self) -> str:
        return f"#{self.ref}"


class Hold(models.Model):
    copy = models.ForeignKey(Copy, models.CASCADE, null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "rentals_hold"

    def __str__(self) -> str:
        return str(self.pk)
