// What a caller writes: the address of the proxy and his key, in three languages.

/** As the settings say it in `proxy.public_url`. */
export const proxyUrl = () => document.querySelector<HTMLMetaElement>("meta[name=sealgate-proxy]")?.content || "http://127.0.0.1:8080";

const firstPaths: Record<string, string> = {
  sandbox: "/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09",
  polygon: "/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09",
  massive: "/v2/aggs/ticker/AAPL/range/1/day/2026-01-05/2026-01-09",
  alpaca: "/v2/account", "alpaca-paper": "/v2/account", openai: "/v1/models", anthropic: "/v1/models", fmp: "/stable/quote?symbol=AAPL",
};
/** The first provider that the rules name. */
export const likeliest = (scopes: string[] | null | undefined) => scopes?.find((scope) => !/^[!*]/.test(scope))?.split(":")[0] ?? "sandbox";

/** What a caller may do, and what the catalogue asks this provider first. */
export interface Way {
  scopes?: string[] | null | undefined;
  usual?: string | undefined;
}

/** A first call that the scopes allow: the usual one, else what the first rule for this provider names. */
export function firstCall(provider: string, { scopes, usual }: Way = {}): { method: string; path: string; isUsual: boolean } {
  const path = firstPaths[provider] ?? usual ?? "/";
  const rules = (scopes ?? []).filter((scope) => !scope.startsWith("!")).map((scope) => scope.split(":")).filter(([id]) => id === provider || id === "*");
  const fits = ([, methods = "*", ...rest]: string[]) => {
    const pattern = rest.join(":").replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("**", "\0").replaceAll("*", "[^/]*").replaceAll("\0", ".*");
    return /\*|GET/.test(methods) && new RegExp(`^${pattern}$`).test(path.replace(/\?.*/, ""));
  };
  const rule = rules[0];
  if (!rule || rules.some(fits)) return { method: "GET", path, isUsual: true };
  const [, methods = "*", ...rest] = rule;
  const named = rest.join(":").replaceAll("**", "").replaceAll("*", "x");
  return { method: methods === "*" ? "GET" : (methods.split(",")[0] ?? "GET"), path: named.startsWith("/") ? named : `/${named}`, isUsual: false };
}

interface Sdk {
  python: (base: string, key: string) => string;
  javascript: (base: string, key: string) => string;
}

const polygon: Sdk = {
  python: (base, key) => `from polygon import RESTClient\n\nclient = RESTClient(api_key="${key}", base="${base}")\nfor bar in client.list_aggs("AAPL", 1, "day", "2026-01-05", "2026-01-09"):\n    print(bar)`,
  javascript: (base, key) => `import { restClient } from "@polygon.io/client-js";\n\nconst client = restClient("${key}", "${base}");\nconsole.log(await client.getStocksAggregates("AAPL", 1, "day", "2026-01-05", "2026-01-09"));`,
};
const sdks: Record<string, Sdk> = {
  polygon,
  massive: {
    python: (base, key) => polygon.python(base, key).replace("polygon", "massive"),
    javascript: (base, key) => polygon.javascript(base, key).replace("@polygon.io/client-js", "@massive.com/client-js"),
  },
  openai: {
    python: (base, key) => `from openai import OpenAI\n\nclient = OpenAI(api_key="${key}", base_url="${base}/v1")\nprint(client.models.list())`,
    javascript: (base, key) => `import OpenAI from "openai";\n\nconst client = new OpenAI({ apiKey: "${key}", baseURL: "${base}/v1" });\nconsole.log(await client.models.list());`,
  },
  anthropic: {
    python: (base, key) => `from anthropic import Anthropic\n\nclient = Anthropic(api_key="${key}", base_url="${base}")\nprint(client.models.list())`,
    javascript: (base, key) => `import Anthropic from "@anthropic-ai/sdk";\n\nconst client = new Anthropic({ apiKey: "${key}", baseURL: "${base}" });\nconsole.log(await client.models.list());`,
  },
  alpaca: {
    python: (base, key) => `from alpaca.trading.client import TradingClient\n\nclient = TradingClient("${key}", "any", url_override="${base}")\nprint(client.get_account())`,
    javascript: (base, key) => `const answer = await fetch("${base}/v2/account", { headers: { "APCA-API-KEY-ID": "${key}" } });\nconsole.log(answer.status, await answer.json());`,
  },
};
const plain = {
  python: (method: string, url: string, key: string) => `import httpx\n\nanswer = httpx.${method === "GET" ? "get(" : `request("${method}", `}"${url}", headers={"X-API-Key": "${key}"})\nprint(answer.status_code, answer.text)`,
  javascript: (method: string, url: string, key: string) => `const answer = await fetch("${url}", { ${method === "GET" ? "" : `method: "${method}", `}headers: { "X-API-Key": "${key}" } });\nconsole.log(answer.status, await answer.text());`,
};

export function snippet(language: string, provider: string, key: string, way?: Way): string {
  const base = `${proxyUrl()}/${provider}`;
  const sdk = sdks[provider.replace("-paper", "")];
  const { method, path, isUsual } = firstCall(provider, way);
  if (language === "curl") return `curl ${method === "GET" ? "" : `-X ${method} `}'${base}${path}' \\\n  -H 'X-API-Key: ${key}'`;
  const write = language === "python" ? "python" : "javascript";
  return sdk && isUsual ? sdk[write](base, key) : plain[write](method, base + path, key);
}
