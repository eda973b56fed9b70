"""A streamed answer with the openai package: base URL and key differ, nothing else.

SEALGATE_URL is where the proxy is (http://127.0.0.1:8080), SEALGATE_KEY a client key (mdw_…).
"""

import os

import openai

client = openai.OpenAI(
    base_url=os.environ["SEALGATE_URL"] + "/openai/v1", api_key=os.environ["SEALGATE_KEY"]
)
stream = client.chat.completions.create(
    model="gpt-4.1-mini",
    messages=[{"role": "user", "content": "Say hello."}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
