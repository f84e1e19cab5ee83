"""A real SMTP server (aiosmtpd) with STARTTLS and a login, in the folder that it is given.

It makes an authority and a certificate for localhost, prints its port, and appends every message
to mail.jsonl: who it is for, its headers decoded, its text, and how it came.
"""

import email
import email.policy
import json
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

folder = Path(sys.argv[1])


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)


openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-days", "2", "-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "keyUsage=critical,keyCertSign")
openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr",
        "-subj", "/CN=localhost")
(folder / "server.ext").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", "-days", "2", "-extfile", "server.ext")


class Keep:
    """Appends each message to the file."""

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = message.get_body(preferencelist=("plain",))
        kept = {
            "recipients": envelope.rcpt_tos,
            "headers": {name: str(value) for name, value in message.items()},
            "text": body.get_content(),
            "tls": session.ssl is not None,
            "login": session.auth_data,
            "longest_line": max(len(line) for line in envelope.content.split(b"\r\n")),
        }
        with open(folder / "mail.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    """Takes one login and no other."""
    good = isinstance(data, LoginPassword) and data.login == b"ops" and data.password == b"s3cret"
    return AuthResult(success=good, auth_data="ops") if good else AuthResult(success=False, handled=False)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "server.pem", folder / "server.key")
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
controller = Controller(Keep(), hostname="127.0.0.1", port=port, tls_context=context,
                        require_starttls=True, authenticator=login, auth_required=True)
controller.start()
print(port, flush=True)
signal.pause()
