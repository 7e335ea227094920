"""Takes the default of `in_force_from` from the shop's clock. Changes nothing in the database."""

from django.db import migrations, models

import lori_assignment.clock


class Migration(migrations.Migration):
    dependencies = [("rentals", "0008_lists_of_the_desk")]

    operations = [
        migrations.AlterField(
            model_name="pricelist",
            name="in_force_from",
            field=models.DateTimeField(
                default=lori_assignment.clock.now,
                error_messages={"unique": "Another price list comes into force at this very time."},
                unique=True,
                verbose_name="in force from",
            ),
        ),
    ]
