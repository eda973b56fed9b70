"""The unmodified openai package: base URL and key are the only two strings that differ."""

import openai

from trip import BASE, KEY, REFUSED, STRANGER, Pace, raised, same, told

REQUEST = {"model": "gpt-emulated", "messages": [{"role": "user", "content": "Hello"}]}


def client(key):
    return openai.OpenAI(api_key=key, base_url=f"{BASE}/openai/v1", max_retries=0)


whole = client(KEY).chat.completions.create(**REQUEST)
same("a whole answer", whole.choices[0].message.content, "Hello from the emulator.")
same("usage", whole.usage.total_tokens, 10)

pace, pieces = Pace(), []
for chunk in client(KEY).chat.completions.create(**REQUEST, stream=True):
    pace.note()
    pieces.append(chunk.choices[0].delta.content or "")
same("a stream in order", pieces, ["Hello", " from", " the emulator, café.", ""])
pace.check()

files = [file.id for file in client(KEY).files.list(limit=1)]
same("three pages", files, ["file-1", "file-2", "file-3"])

for what, key, code in [
    ("a wrong key", STRANGER, "unauthorized"),
    ("a refused key", REFUSED, "invalid_api_key"),
]:
    ask = client(key).chat.completions.create
    error = raised(what, openai.AuthenticationError, lambda: ask(**REQUEST))
    same(what, (error.status_code, code in error.response.text), (401, True))

told("openai (Python)", "whole answer, stream, three pages")
