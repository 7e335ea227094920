"""Adds indexes for the filters of the desk's lists of rentals, holds and ledger entries."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rentals", "0007_rentals_of_a_member_in_order")]

    operations = [
        migrations.AddIndex(
            model_name="rental", index=models.Index(fields=["rented_at", "ref"], name="rental_by_time")
        ),
        migrations.AddIndex(
            model_name="rental",
            index=models.Index(
                fields=["ref"], condition=models.Q(voided_at__isnull=False), name="rental_void"
            ),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(
                fields=["outcome", "id"], condition=~models.Q(outcome=""), name="hold_ended_by_outcome"
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry", index=models.Index(fields=["posted_at", "id"], name="ledger_by_time")
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(
                fields=["kind", "id"],
                condition=models.Q(kind="lost_book")
                | models.Q(kind="waiver")
                | models.Q(kind="refund")
                | models.Q(kind="reversal"),
                name="ledger_rare_by_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(
                fields=["kind", "method", "id"], condition=~models.Q(method=""), name="ledger_by_method"
            ),
        ),
    ]
