"""Plain labels and messages. Changes nothing in the database."""

from decimal import Decimal

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0004_copies_by_state"),
    ]

    operations = [
        migrations.AlterField(
            model_name="book",
            name="isbn",
            field=models.CharField(
                blank=True, help_text="13 digits, or leave blank.", max_length=13, verbose_name="ISBN"
            ),
        ),
        migrations.AlterField(
            model_name="book",
            name="kind",
            field=models.PositiveSmallIntegerField(
                choices=[(1, "standard"), (2, "fiction"), (3, "novel")], default=1, verbose_name="category"
            ),
        ),
        migrations.AlterField(
            model_name="book",
            name="published",
            field=models.SmallIntegerField(
                blank=True,
                help_text="Year of first publication; negative for BC.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(-5000),
                    django.core.validators.MaxValueValidator(2200),
                ],
                verbose_name="published",
            ),
        ),
        migrations.AlterField(
            model_name="copy",
            name="barcode",
            field=models.CharField(
                error_messages={"unique": "Another copy already has this barcode."},
                max_length=40,
                unique=True,
                verbose_name="barcode",
            ),
        ),
        migrations.AlterField(
            model_name="copy",
            name="replacement_price",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="The most a rental can cost, including late fees. Leave blank for no limit.",
                max_digits=8,
                null=True,
                validators=[django.core.validators.MinValueValidator(Decimal("0.01"))],
                verbose_name="replacement price",
            ),
        ),
        migrations.AlterConstraint(
            model_name="book",
            name="book_isbn_unique_when_present",
            constraint=models.UniqueConstraint(
                condition=models.Q(("isbn", ""), _negated=True),
                fields=("isbn",),
                name="book_isbn_unique_when_present",
                violation_error_message="Another book already has this ISBN.",
            ),
        ),
    ]
