// What a client key may call, built line by line. A line is a provider, methods and a pattern of paths.

import { ActionIcon, Button, Select, TextInput } from "@mantine/core";
import type { Schemas } from "../api/client";
import { Icon } from "../icons";

export interface Line {
  deny: boolean;
  provider: string;
  methods: string;
  path: string;
}

export const written = ({ deny, provider, methods, path }: Line) => `${deny ? "!" : ""}${provider}:${methods}:${path.startsWith("/") ? path : `/${path}`}`;

export function read(scope: string): Line {
  const deny = scope.startsWith("!");
  const [provider = "*", methods = "*", ...rest] = scope.slice(deny ? 1 : 0).split(":");
  return { deny, provider, methods, path: rest.join(":") || "/**" };
}

/** The routes that the catalogue itself knows of a provider. */
export function known(provider: Schemas["Provider"] | undefined): string[] {
  if (!provider) return [];
  const probed = [provider.probe?.path, ...(provider.probe?.permissions.map((one) => one.path) ?? [])];
  const priced = provider.price?.routes.map((route) => route.split(" ").at(-1)) ?? [];
  const under = provider.paths.flatMap((path) => path.under.map((start) => `${start}/**`));
  const paths = [...probed, ...priced].filter((path): path is string => Boolean(path)).map((path) => path.replace(/\?.*/, ""));
  const above = paths.map((path) => path.split("/").slice(0, 3).join("/")).filter((path) => path.length > 1).map((path) => `${path}/**`);
  return [...new Set(["/**", ...under, ...above, ...paths])];
}

const methodSets = [
  { value: "GET", label: "read (GET, HEAD)" },
  { value: "GET,POST", label: "read and send (GET, POST)" },
  { value: "POST", label: "send (POST)" },
  { value: "*", label: "every method" },
];

interface Props {
  lines: Line[];
  providers: Schemas["Provider"][];
  onChange: (lines: Line[]) => void;
  error?: string | undefined;
}

export function Scopes({ lines, providers, onChange, error }: Props) {
  const set = (at: number, line: Partial<Line>) => onChange(lines.map((before, index) => (index === at ? { ...before, ...line } : before)));
  return (
    <div className="stack-tight">
      {lines.map((line, at) => (
        <div className="scope" key={at}>
          <Select aria-label={`Rule ${at + 1}`} value={line.deny ? "deny" : "allow"} onChange={(value) => set(at, { deny: value === "deny" })} data={[{ value: "allow", label: "Allow" }, { value: "deny", label: "Deny" }]} allowDeselect={false} w={92} />
          <Select aria-label={`Provider of rule ${at + 1}`} value={line.provider} onChange={(value) => set(at, { provider: value ?? "*" })} searchable allowDeselect={false} w={168}
            data={[{ value: "*", label: "every provider" }, { value: "market", label: "market history" }, ...providers.map((one) => ({ value: one.id, label: one.title }))]} />
          <Select aria-label={`Methods of rule ${at + 1}`} value={line.methods} onChange={(value) => set(at, { methods: value ?? "GET" })} allowDeselect={false} w={196}
            data={methodSets.some((one) => one.value === line.methods) ? methodSets : [...methodSets, { value: line.methods, label: line.methods }]} />
          <TextInput aria-label={`Path of rule ${at + 1}`} value={line.path} onChange={(event) => set(at, { path: event.currentTarget.value })} list={`known-${at}`} className="grow mono-input" spellCheck={false} />
          <datalist id={`known-${at}`}>{known(providers.find((one) => one.id === line.provider)).map((path) => <option key={path} value={path} />)}</datalist>
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove rule ${at + 1}`} onClick={() => onChange(lines.filter((_, index) => index !== at))}><Icon name="cross" size={16} /></ActionIcon>
        </div>
      ))}
      {lines.length === 0 && <p className="small text-warn">Without a rule this key may call nothing.</p>}
      {error && <p className="fault">{error}</p>}
      <div className="row">
        <Button variant="default" size="xs" leftSection={<Icon name="plus" size={14} />} onClick={() => onChange([...lines, { deny: false, provider: lines.at(-1)?.provider ?? "*", methods: "GET", path: "/**" }])}>Add a rule</Button>
        <span className="faint small">* is one segment, ** any number. A denial wins.</span>
      </div>
    </div>
  );
}
