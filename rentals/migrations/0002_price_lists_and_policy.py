"""Creates the three price lists, of which "Tiered" is in force, and the policy with its defaults."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import migrations

REGULAR, FICTION, NOVEL = 1, 2, 3

# By kind: first days, rate in them, daily rate after, minimum.
PRICE_LISTS = [
    (
        "Flat",
        datetime(2000, 1, 1, tzinfo=UTC),
        {REGULAR: (0, 0, "1.00", 0), FICTION: (0, 0, "1.00", 0), NOVEL: (0, 0, "1.00", 0)},
    ),
    (
        "By kind",
        datetime(2010, 1, 1, tzinfo=UTC),
        {REGULAR: (0, 0, "1.50", 0), FICTION: (0, 0, "3.00", 0), NOVEL: (0, 0, "1.50", 0)},
    ),
    (
        "Tiered",
        datetime(2020, 1, 1, tzinfo=UTC),
        {REGULAR: (2, "1.00", "1.50", "2.00"), FICTION: (0, 0, "3.00", 0), NOVEL: (0, 0, "1.50", "4.50")},
    ),
]


def fill(apps, schema_editor):
    database = schema_editor.connection.alias
    PriceList = apps.get_model("rentals", "PriceList")
    Rate = apps.get_model("rentals", "Rate")
    for name, in_force_from, rates in PRICE_LISTS:
        price_list = PriceList.objects.using(database).create(name=name, in_force_from=in_force_from)
        Rate.objects.using(database).bulk_create(
            Rate(
                price_list=price_list,
                kind=kind,
                first_days=first_days,
                first_days_rate=Decimal(first_days_rate),
                daily_rate=Decimal(daily_rate),
                minimum=Decimal(minimum),
            )
            for kind, (first_days, first_days_rate, daily_rate, minimum) in rates.items()
        )
    apps.get_model("rentals", "Policy").objects.using(database).create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("rentals", "0001_circulation_and_ledger")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
