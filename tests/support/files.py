"""Lines of password files, as mosquitto_passwd writes them."""

import base64
import hashlib
import os

ITERATIONS = 101  # Mosquitto's.


def password_line(user, password, iterations=ITERATIONS):
    """`user:$7$iterations$salt$hash`: PBKDF2 with SHA-512."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, 64)
    salt_text, digest_text = (base64.b64encode(b).decode() for b in (salt, digest))
    return f"{user}:$7${iterations}${salt_text}${digest_text}\n"


def sha512_line(user, password):
    """`user:$6$salt$hash`: the older form, SHA-512 of password and salt."""
    salt = os.urandom(12)
    digest = hashlib.sha512(password.encode() + salt).digest()
    salt_text, digest_text = (base64.b64encode(b).decode() for b in (salt, digest))
    return f"{user}:$6${salt_text}${digest_text}\n"


def password_file(**users):
    return "".join(password_line(user, password) for user, password in users.items())
