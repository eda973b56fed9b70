"""Takes e-mail on a port of this machine and prints each message as a line of JSON. With a
certificate it demands STARTTLS and the account `gate`, whose password is `letter-box`. Mail to
busy@… is put off once, mail to nobody@… is refused for good."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

turned_away = set()


class Box:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 there is no such mailbox"
        if address.startswith("busy@") and address not in turned_away:
            turned_away.add(address)
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "user": session.authenticated,
            "text": envelope.content.decode(),
        }
        print(json.dumps(told), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, login):
    fits = isinstance(login, LoginPassword) and login == LoginPassword(b"gate", b"letter-box")
    # Not handled: a refusal is said by the server.
    return AuthResult(success=fits, handled=False)


async def main(port, files):
    more = {}
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        more = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": authenticate,
        }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Box(), **more), "127.0.0.1", port)
    print(json.dumps({"ready": True}), flush=True)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[2]), sys.argv[3:]))
