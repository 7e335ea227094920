"""Models of the shop's tables, with the columns that the measured requests use."""

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
    replacement_price = models.DecimalField(max_digits=8, decimal_places=2, null=True)

    class Meta:
        managed = False
        db_table = "books_copy"

    def __str__(self) -> str:
        return str(self.pk)


class Policy(models.Model):
    rental_days = models.PositiveSmallIntegerField()
    max_open_rentals = models.PositiveSmallIntegerField()
    debt_limit = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        managed = False
        db_table = "rentals_policy"

    def __str__(self) -> str:
        return str(self.pk)


class PriceList(models.Model):
    name = models.CharField(max_length=100)
    in_force_from = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "rentals_pricelist"

    def __str__(self) -> str:
        return self.name


class Rate(models.Model):
    price_list = models.ForeignKey(PriceList, models.CASCADE)
    kind = models.PositiveSmallIntegerField()
    first_days = models.PositiveSmallIntegerField()
    first_days_rate = models.DecimalField(max_digits=8, decimal_places=2)
    daily_rate = models.DecimalField(max_digits=8, decimal_places=2)
    minimum = models.DecimalField(max_digits=8, decimal_places=2)
    late_fee = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        managed = False
        db_table = "rentals_rate"

    def __str__(self) -> str:
        return str(self.pk)


class Entry(models.Model):
    user = models.ForeignKey(User, models.CASCADE)
    number = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    balance = models.DecimalField(max_digits=14, decimal_places=2)

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
    replacement_price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    rented_at = models.DateTimeField()
    due_at = models.DateTimeField()
    returned_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    renewals = models.PositiveSmallIntegerField(default=0)
    due_before = models.JSONField(default=list)

    class Meta:
        managed = False
        db_table = "rentals_rental"

    def __str__(self) -> str:
        return f"#{self.ref}"


class Hold(models.Model):
    user = models.ForeignKey(User, models.CASCADE)
    book = models.ForeignKey(Book, models.CASCADE)
    copy = models.ForeignKey(Copy, models.CASCADE, null=True)
    rental = models.ForeignKey(Rental, models.CASCADE, null=True)
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10)

    class Meta:
        managed = False
        db_table = "rentals_hold"

    def __str__(self) -> str:
        return str(self.pk)
