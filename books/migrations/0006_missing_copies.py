"""Adds the status of a copy whose rental was voided while the book was out, until somebody has it in hand."""

from django.db import migrations, models

STATUSES = ["in_service", "in_repair", "missing", "lost", "withdrawn"]


class Migration(migrations.Migration):
    dependencies = [("books", "0005_plain_labels")]

    operations = [
        migrations.RemoveConstraint(model_name="copy", name="copy_status_is_known"),
        migrations.AddConstraint(
            model_name="copy",
            constraint=models.CheckConstraint(
                condition=models.Q(status__in=STATUSES), name="copy_status_is_known"
            ),
        ),
        migrations.AlterField(
            model_name="copy",
            name="status",
            field=models.CharField(
                choices=[(status, status.replace("_", " ")) for status in STATUSES],
                default="in_service",
                max_length=10,
                verbose_name="status",
            ),
        ),
    ]
