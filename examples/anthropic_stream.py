"""A streamed answer with the anthropic package: base URL and key differ, nothing else.

SEALGATE_URL is where the proxy is (http://127.0.0.1:8080), SEALGATE_KEY a client key (mdw_…).
"""

import os

import anthropic

client = anthropic.Anthropic(
    base_url=os.environ["SEALGATE_URL"] + "/anthropic", api_key=os.environ["SEALGATE_KEY"]
)
events = client.messages.create(
    model="claude-haiku-4-5",
    max_tokens=64,
    messages=[{"role": "user", "content": "Say hello."}],
    stream=True,
)
for event in events:
    if event.type == "content_block_delta":
        print(event.delta.text, end="", flush=True)
print()
