"""The unmodified realtime client of openai: base URL and key are all that differ."""

from openai import OpenAI
from websockets.exceptions import InvalidStatus

from trip import BASE, KEY, REFUSED, STRANGER, raised, same, told


def heard(key):
    client = OpenAI(api_key=key, base_url=f"{BASE}/openai/v1")
    events = []
    with client.realtime.connect(model="gpt-emulated") as connection:
        for event in connection:
            events.append(event.type)
            if event.type == "session.created":
                connection.response.create()
            if event.type == "response.output_text.done":
                return events


wanted = ["session.created", "response.output_text.delta", "response.output_text.done"]
same("one answer", heard(KEY), wanted)

for what, key in [("a wrong key", STRANGER), ("a refused key", REFUSED)]:
    refused = raised(what, InvalidStatus, lambda: heard(key))
    same("the status", refused.response.status_code, 401)

told("openai", "a session by header")
