"""Creates the accounts of the demo shop.

All people are made up. Their e-mail domain delivers no mail; their phone numbers are reserved for fiction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password

from accounts.models import User
from lori_assignment import clock


@dataclass(frozen=True, slots=True)
class Person:
    """`joined` is how many days ago the account was opened.

    `pause` is the average number of days until a member without a book on loan visits again; 0 for members
    who visit only at the times of their story in `rentals.demo.history`.
    """

    username: str
    name: str
    address: str
    joined: int
    pause: int = 0


SUPERUSER = Person("lori", "Lori Hale", "1 Bookbinder's Yard, Lindenport", 400)
STAFF = [
    Person("mara", "Mara Lindqvist", "23 Lighthouse Road, Lindenport", 400),
    Person("otto", "Otto Berger", "8 Mill Lane, Lindenport", 390),
]
MEMBERS = [
    Person("nora", "Nora Vance", "14 Quay Street, Lindenport", 361, 14),
    Person("theo", "Theo Marsh", "Flat 3, 70 Station Road, Lindenport", 150),
    Person("amir", "Amir Haddad", "5 Orchard Way, Lindenport", 358, 24),
    Person("bea", "Beatrice Holm", "31 Quay Street, Lindenport", 350, 20),
    Person("dora", "Dora Kovács", "2 Chapel Row, Lindenport", 345, 45),
    Person("elias", "Elias Brandt", "19 Mill Lane, Lindenport", 340, 34),
    Person("farah", "Farah Siddiqui", "44 Harbour View, Lindenport", 326, 26),
    Person("gus", "Gus O'Leary", "7 Ferry Steps, Lindenport", 310),
    Person("hana", "Hana Novotná", "12 Linden Square, Lindenport", 300, 40),
    Person("ivan", "Ivan Petrenko", "88 Station Road, Lindenport", 291, 60),
    Person("june", "June Whitlock", "The Old Bakery, Upper Wick", 280, 35),
    Person("kofi", "Kofi Mensah", "3 Schoolhouse Lane, Upper Wick", 262, 28),
    Person("lucia", "Lucía Romero", "27 Linden Square, Lindenport", 240, 30),
    Person("milo", "Milo Janssen", "16 Ferry Steps, Lindenport", 231, 50),
    Person("nadia", "Nadia Rahman", "9 Orchard Way, Lindenport", 215, 26),
    Person("oscar", "Oscar Lund", "52 Harbour View, Lindenport", 196, 70),
    Person("priya", "Priya Nair", "Flat 1, 6 Chapel Row, Lindenport", 180, 18),
    Person("quinn", "Quinn Harper", "35 Lighthouse Road, Lindenport", 162, 32),
    Person("rosa", "Rosa Bianchi", "20 Mill Lane, Lindenport", 140, 24),
    Person("ruth", "Ruth Adeyemi", "11 Quay Street, Lindenport", 133),
    Person("sam", "Sam Okafor", "4 Bookbinder's Yard, Lindenport", 128, 24),
    Person("vera", "Vera Sokol", "61 Station Road, Lindenport", 75, 14),
    Person("yuki", "Yuki Tanabe", "18 Schoolhouse Lane, Upper Wick", 40, 8),
    Person("tara", "Tara Menon", "29 Orchard Way, Lindenport", 1),
]
EVERYBODY = [SUPERUSER, *STAFF, *MEMBERS]


def email_of(person: Person) -> str:
    return f"{person.username}@example.org"


def open_accounts(*, password: str, now: datetime) -> dict[str, User]:
    """Create the accounts of EVERYBODY with one password and verified addresses; return them by username."""
    # Hashing is slow by design, so all share one hash. It shows that they share a password, which is no
    # secret in a demo.
    shared_hash = make_password(password)
    users = User.objects.bulk_create(
        User(
            username=person.username,
            password=shared_hash,
            name=person.name,
            email=email_of(person),
            # 555-0100 to 555-0199 are reserved for fiction.
            phone=f"+1 202-555-{number:04}",
            address=person.address,
            date_joined=clock.add_days(now, -person.joined),
            is_staff=person is SUPERUSER or person in STAFF,
            is_superuser=person is SUPERUSER,
        )
        for number, person in enumerate(EVERYBODY, start=100)
    )
    EmailAddress.objects.bulk_create(
        EmailAddress(user=user, email=user.email, primary=True, verified=True) for user in users
    )
    return {user.username: user for user in users}
