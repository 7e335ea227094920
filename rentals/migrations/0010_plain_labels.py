"""Plain labels and messages. Changes nothing in the database."""

from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import lori_assignment.clock


class Migration(migrations.Migration):
    dependencies = [
        ("books", "0005_plain_labels"),
        ("rentals", "0009_price_list_clock"),
    ]

    operations = [
        migrations.AlterField(
            model_name="calendarfeed",
            name="made_at",
            field=models.DateTimeField(verbose_name="created"),
        ),
        migrations.AlterField(
            model_name="hold",
            name="copy",
            field=models.ForeignKey(
                blank=True,
                help_text="The copy that is, or was last, set aside.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="holds",
                to="books.copy",
                verbose_name="copy",
            ),
        ),
        migrations.AlterField(
            model_name="hold",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[("picked_up", "collected"), ("cancelled", "cancelled"), ("expired", "expired")],
                max_length=10,
                verbose_name="outcome",
            ),
        ),
        migrations.AlterField(
            model_name="hold",
            name="pick_up_by",
            field=models.DateTimeField(blank=True, null=True, verbose_name="collect by"),
        ),
        migrations.AlterField(
            model_name="hold",
            name="rental",
            field=models.OneToOneField(
                blank=True,
                help_text="The rental that began when the book was collected.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="hold",
                to="rentals.rental",
                verbose_name="rental",
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="balance",
            field=models.DecimalField(
                decimal_places=2,
                help_text="The member's balance after this entry.",
                max_digits=14,
                verbose_name="balance",
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("rent", "rental charge"),
                    ("lost_book", "lost book"),
                    ("payment", "payment"),
                    ("waiver", "waiver"),
                    ("refund", "refund"),
                    ("reversal", "reversal"),
                ],
                max_length=10,
                verbose_name="type",
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="number",
            field=models.PositiveIntegerField(
                help_text="Numbers each member's entries from 1, without gaps.", verbose_name="number"
            ),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="working",
            field=models.JSONField(blank=True, null=True, verbose_name="calculation"),
        ),
        migrations.AlterField(
            model_name="policy",
            name="debt_limit",
            field=models.DecimalField(
                decimal_places=2,
                default=Decimal("50.00"),
                help_text="Members who owe more than this can't rent.",
                max_digits=8,
                validators=[
                    django.core.validators.MinValueValidator(Decimal("0.00")),
                    django.core.validators.MaxValueValidator(Decimal("999999.99")),
                ],
                verbose_name="debt limit",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="max_holds",
            field=models.PositiveSmallIntegerField(
                default=10,
                help_text="The most holds a member can have at a time. 0 turns holds off.",
                verbose_name="holds per member",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="max_open_rentals",
            field=models.PositiveSmallIntegerField(
                default=10,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="books on loan per member",
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="pick_up_days",
            field=models.PositiveSmallIntegerField(
                default=3,
                help_text="How long a copy is set aside for a member with a hold.",
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="days to collect",
            ),
        ),
        migrations.AlterField(
            model_name="pricelist",
            name="in_force_from",
            field=models.DateTimeField(
                default=lori_assignment.clock.now,
                error_messages={"unique": "Another price list takes effect at the same time."},
                unique=True,
                verbose_name="in force from",
            ),
        ),
        migrations.AlterField(
            model_name="pricelist",
            name="name",
            field=models.CharField(
                error_messages={"unique": "Another price list already has this name."},
                max_length=100,
                unique=True,
                verbose_name="name",
            ),
        ),
        migrations.AlterField(
            model_name="rate",
            name="first_days",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="How many days the first rate applies to; 0 for none.",
                verbose_name="first days",
            ),
        ),
        migrations.AlterField(
            model_name="rate",
            name="kind",
            field=models.PositiveSmallIntegerField(
                choices=[(1, "standard"), (2, "fiction"), (3, "novel")], verbose_name="category"
            ),
        ),
        migrations.AlterField(
            model_name="rate",
            name="late_fee",
            field=models.DecimalField(
                decimal_places=2,
                default=Decimal("0.00"),
                max_digits=8,
                validators=[
                    django.core.validators.MinValueValidator(Decimal("0.00")),
                    django.core.validators.MaxValueValidator(Decimal("9999.99")),
                ],
                verbose_name="late fee per day",
            ),
        ),
        migrations.AlterField(
            model_name="rental",
            name="due_before",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="For each renewal: when it was made and the due date before it.",
                verbose_name="due dates before renewals",
            ),
        ),
        migrations.AlterField(
            model_name="rental",
            name="rent_entry",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="charged_rental",
                to="rentals.ledgerentry",
                verbose_name="charge",
            ),
        ),
        migrations.AlterField(
            model_name="rental",
            name="replacement_price",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Replacement price of the copy when it was rented.",
                max_digits=8,
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(Decimal("0.00")),
                    django.core.validators.MaxValueValidator(Decimal("999999.99")),
                ],
                verbose_name="replacement price",
            ),
        ),
        migrations.AlterConstraint(
            model_name="rate",
            name="rate_first_day_costs_something",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("minimum__gt", 0),
                    models.Q(("daily_rate__gt", 0), ("first_days", 0)),
                    models.Q(("first_days__gt", 0), ("first_days_rate__gt", 0)),
                    _connector="OR",
                ),
                name="rate_first_day_costs_something",
                violation_error_message="The price of the first day must be above zero.",
            ),
        ),
    ]
