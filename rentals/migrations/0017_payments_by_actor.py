"""Adds an index for the payments that one member of staff took."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("rentals", "0016_reversals_keep_the_method")]

    operations = [
        migrations.AddIndex(
            "ledgerentry",
            models.Index(fields=["actor", "id"], condition=Q(kind="payment"), name="ledger_payment_by_actor"),
        ),
    ]
