"""Index copies by status and condition, for the staff's filtered lists."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("books", "0003_words_of_books")]

    operations = [
        migrations.AddIndex(
            model_name="copy",
            index=models.Index(
                fields=["status", "id"], condition=~models.Q(status="in_service"), name="copy_not_in_service"
            ),
        ),
        migrations.AddIndex(
            model_name="copy", index=models.Index(fields=["condition", "id"], name="copy_by_condition")
        ),
    ]
