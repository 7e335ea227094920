"""The desk's lists of copies by status and by condition, so that one of a few copies reads no others."""

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
