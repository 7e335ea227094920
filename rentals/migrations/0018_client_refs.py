"""Adds the callers' own names for the rentals and payments that they make."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("rentals", "0017_payments_by_actor"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ClientRef",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ref", models.CharField(max_length=100, verbose_name="client reference")),
                ("content", models.CharField(max_length=64, verbose_name="digest of the content")),
                ("made_at", models.DateTimeField(verbose_name="created")),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="client_refs",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="account",
                    ),
                ),
                (
                    "entry",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="client_ref",
                        to="rentals.ledgerentry",
                        verbose_name="ledger entry",
                    ),
                ),
                (
                    "rental",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="client_ref",
                        to="rentals.rental",
                        verbose_name="rental",
                    ),
                ),
            ],
            options={
                "verbose_name": "client reference",
                "verbose_name_plural": "client references",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "ref"), name="client_ref_unique_for_its_account"
                    ),
                    models.CheckConstraint(condition=~Q(ref=""), name="client_ref_not_blank"),
                    models.CheckConstraint(
                        condition=Q(rental=None) | Q(entry=None), name="client_ref_names_one_thing"
                    ),
                ],
            },
        ),
    ]
