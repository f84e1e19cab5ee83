"""Verifies a webhook as a receiver does, with the library of Standard Webhooks.

The file holds secret, headers and body. A body, a time or an id that was changed must not verify.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

with open(sys.argv[1], encoding="utf-8") as file:
    kept = json.load(file)
webhook = Webhook(kept["secret"])
event = webhook.verify(kept["body"], kept["headers"])
assert event["type"] == "alert.fired", event
assert event["data"]["incidents"], event

for change in ("body", "webhook-id", "webhook-timestamp", "webhook-signature"):
    headers, body = dict(kept["headers"]), kept["body"]
    if change == "body":
        body = body.replace("alert.fired", "alert.wired")
    elif change == "webhook-timestamp":
        headers[change] = str(int(headers[change]) - 1)
    else:
        headers[change] = headers[change][:-2] + "AA"
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        continue
    raise SystemExit(f"verified with another {change}")
