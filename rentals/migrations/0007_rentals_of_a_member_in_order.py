"""A member's rentals in their order, so that a page of them costs the same after 20 and after 20,000."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rentals", "0006_calendar_feeds_and_statements")]

    operations = [
        migrations.AddIndex(
            model_name="rental",
            index=models.Index(
                fields=["user", "ref"], condition=models.Q(voided_at=None), name="rental_standing_by_user"
            ),
        ),
    ]
