"""Stores amounts with three decimal places, as KWD has, and higher ones, as VND needs.

Until the previous version has ended, it shows a third decimal place. On SQLite the type of a column is the
same for every number of digits and places, so no table with triggers is re-created.
"""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

# By table: each column with its type before and after.
TYPES = {
    "rentals_ledgerentry": {"amount": ("12, 2", "15, 3"), "balance": ("14, 2", "17, 3")},
    "rentals_rental": {"replacement_price": ("8, 2", "10, 3")},
    "rentals_policy": {"debt_limit": ("8, 2", "10, 3")},
    "rentals_rate": {
        "first_days_rate": ("8, 2", "10, 3"),
        "daily_rate": ("8, 2", "10, 3"),
        "minimum": ("8, 2", "10, 3"),
        "late_fee": ("8, 2", "10, 3"),
    },
}
BOUNDS = [MinValueValidator(Decimal(0)), MaxValueValidator(Decimal("999999.99"))]


def alter(schema_editor, which):
    """Give the columns of each table their types in one statement, since it writes the whole table again."""
    if schema_editor.connection.vendor == "postgresql":
        for table, columns in TYPES.items():
            parts = (f"ALTER {column} TYPE numeric({types[which]})" for column, types in columns.items())
            schema_editor.execute(f"ALTER TABLE {table} {', '.join(parts)}")


def widen(apps, schema_editor):
    alter(schema_editor, 1)


def narrow(apps, schema_editor):
    alter(schema_editor, 0)


def amount(label, digits=10, **options):
    return models.DecimalField(label, max_digits=digits, decimal_places=3, **options)


class Migration(migrations.Migration):
    dependencies = [("rentals", "0013_reasons_and_limits")]

    operations = [
        migrations.RunPython(widen, narrow),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "ledgerentry",
                    "amount",
                    amount("amount", 15, help_text="Positive: a charge. Negative: a credit."),
                ),
                migrations.AlterField(
                    "ledgerentry",
                    "balance",
                    amount("balance", 17, help_text="The member's balance after this entry."),
                ),
                migrations.AlterField(
                    "policy",
                    "debt_limit",
                    amount(
                        "debt limit",
                        default=Decimal("50.00"),
                        validators=BOUNDS,
                        help_text="Members who owe more than this can't rent.",
                    ),
                ),
                migrations.AlterField(
                    "rate",
                    "first_days_rate",
                    amount("rate in the first days", default=Decimal(0), validators=BOUNDS),
                ),
                migrations.AlterField("rate", "daily_rate", amount("daily rate after", validators=BOUNDS)),
                migrations.AlterField(
                    "rate", "minimum", amount("minimum", default=Decimal(0), validators=BOUNDS)
                ),
                migrations.AlterField(
                    "rate", "late_fee", amount("late fee per day", default=Decimal(0), validators=BOUNDS)
                ),
                migrations.AlterField(
                    "rental",
                    "replacement_price",
                    amount(
                        "replacement price",
                        null=True,
                        blank=True,
                        validators=BOUNDS,
                        help_text="Replacement price of the copy when it was rented.",
                    ),
                ),
            ]
        ),
        migrations.RemoveConstraint("rate", "rate_amounts_within_bounds"),
        migrations.AddConstraint(
            "rate",
            models.CheckConstraint(
                condition=models.Q(
                    first_days_rate__range=(0, Decimal("999999.99")),
                    daily_rate__range=(0, Decimal("999999.99")),
                    minimum__range=(0, Decimal("999999.99")),
                    late_fee__range=(0, Decimal("999999.99")),
                ),
                name="rate_amounts_within_bounds",
            ),
        ),
    ]
