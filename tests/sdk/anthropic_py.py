"""The unmodified anthropic package: base URL and key are the only two strings that differ."""

import anthropic

from trip import BASE, KEY, REFUSED, STRANGER, Pace, raised, same, told

REQUEST = {
    "model": "claude-emulated",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello"}],
}


def client(key):
    return anthropic.Anthropic(api_key=key, base_url=f"{BASE}/anthropic", max_retries=0)


whole = client(KEY).messages.create(**REQUEST)
same("a whole answer", whole.content[0].text, "Hello from the emulator.")

pace, kinds = Pace(), []
for event in client(KEY).messages.create(**REQUEST, stream=True):
    pace.note()
    kinds.append(event.type)
same(
    "a stream in order",
    [kind for kind in kinds if kind != "ping"],
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ],
)
pace.check()

models = [model.id for model in client(KEY).models.list()]
same("three pages", models, [f"claude-emulated-{page}" for page in (1, 2, 3)])

for what, key, word in [
    ("a wrong key", STRANGER, "unauthorized"),
    ("a refused key", REFUSED, "authentication_error"),
]:
    ask = client(key).messages.create
    error = raised(what, anthropic.AuthenticationError, lambda: ask(**REQUEST))
    same(what, (error.status_code, word in error.response.text), (401, True))

told("anthropic (Python)", "whole answer, stream, three pages")
