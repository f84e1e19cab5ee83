"""Those who stand at the ends: a provider that can fail, its API as probes see it, Slack and PagerDuty,
and a mail server."""

import http.server
import json
import socketserver
import ssl
import threading


class Server(http.server.ThreadingHTTPServer):
    """An HTTP server on a free port of the loopback, or on one that is named."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, handler, port=0):
        super().__init__(("127.0.0.1", port), handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request, client_address):
        """Whoever hangs up is none of our business."""

    def end(self):
        self.shutdown()
        self.server_close()


class Quiet(http.server.BaseHTTPRequestHandler):
    """Logs nothing and keeps connections open."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Provider:
    """An OpenAI-compatible API that answers, or is gone."""

    def __init__(self):
        provider = self

        class Handler(Quiet):
            def do_POST(self):
                asked = json.loads(self.body())
                if provider.gone:
                    # Connections that are open already end as well.
                    self.close_connection = True
                    return
                self.answer(200, json.dumps(provider.completion(asked)).encode())

        self.gone = False
        self.handler = Handler
        self.server = Server(Handler)
        self.port = self.server.port

    @staticmethod
    def completion(asked):
        message = {"role": "assistant", "content": "The answer."}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 2000, "completion_tokens": 500, "total_tokens": 2500},
        }

    def fail(self):
        self.gone = True
        self.server.end()

    def recover(self):
        self.gone = False
        self.server = Server(self.handler, self.port)


class ProbeTarget:
    """The providers' APIs over TLS, as somebody without a key sees them. Those in `down` fail."""

    def __init__(self, certificate, key):
        self.down = set()
        target = self

        class Handler(Quiet):
            def do_GET(self):
                down = self.path.strip("/") in target.down
                self.answer(503 if down else 401, b"{}")

        self.server = Server(Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.port


class Hook:
    """Slack and PagerDuty: remembers what was posted, by path."""

    def __init__(self):
        self.posts = []
        hook = self

        class Handler(Quiet):
            def do_POST(self):
                hook.posts.append((self.path, json.loads(self.body())))
                if self.path == "/pagerduty":
                    self.answer(202, b'{"status":"success","message":"Event processed","dedup_key":"x"}')
                else:
                    self.answer(200, b"ok", "text/plain")

        self.port = Server(Handler).port

    def slack(self, status, alert):
        """Messages about an alert that is `FIRING` or `RESOLVED`."""
        attachments = [post["attachments"][0] for path, post in self.posts if path == "/slack"]
        return [
            each
            for each in attachments
            if each["title"].startswith(f"[{status}") and alert in each["title"]
        ]

    def pagerduty(self, action, alert):
        """Events about an alert that `trigger` or `resolve`."""
        events = [post for path, post in self.posts if path == "/pagerduty"]
        return [
            event
            for event in events
            if event["event_action"] == action and alert in event["payload"]["summary"]
        ]


class Mailbox:
    """A mail server that takes everything that comes with the right password."""

    def __init__(self):
        self.mails = []
        box = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, line):
                self.wfile.write(line.encode() + b"\r\n")

            def handle(self):
                self.say("220 mail.test")
                for line in iter(self.rfile.readline, b""):
                    verb = line.split()[0].upper() if line.split() else b""
                    if verb == b"EHLO":
                        self.say("250-mail.test")
                        self.say("250 AUTH PLAIN")
                    elif verb == b"AUTH":
                        self.say("235 accepted")
                    elif verb == b"DATA":
                        self.say("354 go on")
                        box.mails.append(self.mail())
                        self.say("250 taken")
                    elif verb == b"QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 fine")

            def mail(self):
                lines = []
                for line in iter(self.rfile.readline, b".\r\n"):
                    if not line:
                        break
                    lines.append(line)
                return b"".join(lines).decode()

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """Whoever hangs up is none of our business."""

        server = Listener(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def about(self, text):
        return [mail for mail in self.mails if text in mail.replace("=\r\n", "")]
