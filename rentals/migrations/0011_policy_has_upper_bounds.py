"""Gives the policy's values upper bounds, and lowers those that are above them.

On SQLite this re-creates the policy's table, which has no triggers, but not the ledger or the rentals.
"""

from decimal import Decimal

import django.core.validators
from django.db import migrations, models
from django.db.models import F
from django.db.models.functions import Least

BOUNDS = {
    "rental_days": 365,
    "max_renewals": 99,
    "max_open_rentals": 1000,
    "debt_limit": Decimal("999999.99"),
    "pick_up_days": 90,
    "max_holds": 1000,
}


def lower(apps, schema_editor):
    Policy = apps.get_model("rentals", "Policy")
    Policy.objects.update(**{field: Least(F(field), bound) for field, bound in BOUNDS.items()})


class Migration(migrations.Migration):
    dependencies = [
        ("rentals", "0010_plain_labels"),
    ]

    operations = [
        migrations.AlterField(
            model_name="policy",
            name="max_holds",
            field=models.PositiveSmallIntegerField(
                default=10,
                help_text="The most holds a member can have at a time. 0 turns holds off.",
                validators=[django.core.validators.MaxValueValidator(1000)],
                verbose_name="holds per member",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="max_open_rentals",
            field=models.PositiveSmallIntegerField(
                default=10,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
                verbose_name="books on loan per member",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="max_renewals",
            field=models.PositiveSmallIntegerField(
                default=2,
                validators=[django.core.validators.MaxValueValidator(99)],
                verbose_name="renewals per rental",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="pick_up_days",
            field=models.PositiveSmallIntegerField(
                default=3,
                help_text="How long a copy is set aside for a member with a hold.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(90),
                ],
                verbose_name="days to collect",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="rental_days",
            field=models.PositiveSmallIntegerField(
                default=14,
                help_text="In days.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(365),
                ],
                verbose_name="rental period",
            ),
        ),
        migrations.AlterField(
            model_name="rate",
            name="first_days",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="How many days the first rate applies to; 0 for none.",
                validators=[django.core.validators.MaxValueValidator(365)],
                verbose_name="first days",
            ),
        ),
        migrations.RunPython(lower, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("debt_limit__lte", Decimal("999999.99")),
                    ("max_holds__lte", 1000),
                    ("max_open_rentals__lte", 1000),
                    ("max_renewals__lte", 99),
                    ("pick_up_days__lte", 90),
                    ("rental_days__lte", 365),
                ),
                name="policy_has_upper_bounds",
            ),
        ),
    ]
