"""Plain labels and messages. Changes nothing in the database."""

import django.core.validators
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_rename_renewed_outside_browser"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.AlterField(
            model_name="user",
            name="language",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="For pages and e-mails. Leave blank for the shop's default.",
                max_length=10,
                verbose_name="language",
            ),
        ),
        migrations.AlterField(
            model_name="user",
            name="username",
            field=models.CharField(
                error_messages={"unique": "An account with this username already exists."},
                max_length=150,
                unique=True,
                validators=[
                    django.core.validators.RegexValidator(
                        "\\A[\\w.+-]+\\Z",
                        "A username can only contain letters, digits and . + - _",
                        code="invalid_username",
                    )
                ],
                verbose_name="username",
            ),
        ),
        migrations.AlterConstraint(
            model_name="user",
            name="account_username_unique_in_any_case",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Upper("username"),
                name="account_username_unique_in_any_case",
                violation_error_message="An account with this username already exists.",
            ),
        ),
        migrations.AlterConstraint(
            model_name="user",
            name="account_email_unique_in_any_case",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Upper("email"),
                condition=models.Q(("email", ""), _negated=True),
                name="account_email_unique_in_any_case",
                violation_error_message="An account with this e-mail address already exists.",
            ),
        ),
        migrations.AlterConstraint(
            model_name="user",
            name="account_superuser_is_staff",
            constraint=models.CheckConstraint(
                condition=models.Q(("is_superuser", False), ("is_staff", True), _connector="OR"),
                name="account_superuser_is_staff",
                violation_error_message="A superuser must also be staff.",
            ),
        ),
    ]
