"""Checks messages with the reference library of Standard Webhooks: a line of JSON for each, with
secret, headers and body; says how many are right, and ends with 1 at the first that is not."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

count = 0
for line in sys.stdin:
    message = json.loads(line)
    hook = Webhook(message["secret"])
    hook.verify(message["body"], message["headers"])
    # What was altered on its way is refused.
    try:
        hook.verify(message["body"] + " ", message["headers"])
    except WebhookVerificationError:
        count += 1
    else:
        sys.exit("an altered body was taken for right")
print(count)
