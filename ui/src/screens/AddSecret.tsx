// A provider's key is entered, checked with the provider step by step, and sealed. What is typed leaves the page once,
// in the body of one call, and is taken out of the fields as it goes.

import { Alert, Button, Checkbox, Collapse, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { Refused, type Schemas, asRefused } from "../api/client";
import { events } from "../api/events";
import { providers, queries, secrets } from "../api/queries";
import { fromInput } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon } from "../icons";
import { Facts, Loaded, Page, Panel } from "../parts/basic";
import { SecretField } from "../parts/SecretField";
import { type Step, Steps } from "../parts/Steps";
import { addRoute } from "../router";
import { ProviderCards } from "./Catalogue";

type Provider = Schemas["Provider"];
type Secret = Schemas["Secret"];

function Progress({ at }: { at: number }) {
  const names = ["Provider", "Key", "Check", "Done"];
  return (
    <ol className="progress" aria-label="Progress">
      {names.map((name, index) => (
        <li key={name} aria-current={index === at ? "step" : undefined} className={index < at ? "past" : index === at ? "now" : ""}>
          <span className="progress-mark" aria-hidden="true">{index < at ? <Icon name="check" size={12} /> : index + 1}</span>
          {name}
        </li>
      ))}
    </ol>
  );
}

export function AddSecret() {
  const catalogue = useQuery(providers);
  const { provider: id } = addRoute.useSearch();
  const go = useNavigate({ from: addRoute.fullPath });
  return (
    <Page title="Add a provider key" above={<Link to="/secrets">Provider keys</Link>}>
      <Loaded of={catalogue} what="The catalogue">
        {(all) => {
          const provider = all.find((one) => one.id === id);
          if (provider) return <Enter key={provider.id} provider={provider} all={all} onOther={() => void go({ search: { provider: undefined } })} />;
          return (
            <div className="stack">
              <Progress at={0} />
              <ProviderCards all={all} pick={(picked) => void go({ search: { provider: picked.id } })} />
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

type Stage = { at: "enter" } | { at: "checking"; steps: Step[] } | { at: "done"; secret: Secret; steps: Step[] };

function Enter({ provider, all, onOther }: { provider: Provider; all: Provider[]; onOther: () => void }) {
  const [stage, setStage] = useState<Stage>({ at: "enter" });
  const [refused, setRefused] = useState<Refused | null>(null);
  const [failed, setFailed] = useState<Step[]>([]);
  const [more, setMore] = useState(false);
  const [unasked, setUnasked] = useState(false);
  const existing = useQuery(secrets);
  const taken = existing.data?.filter((secret) => secret.provider === provider.id).map((secret) => secret.name) ?? [];
  const [name, setName] = useState("default");
  const [owner, setOwner] = useState("");
  const [ends, setEnds] = useState("");
  const fields = useRef(new Map<string, HTMLInputElement>());
  const form = useRef<HTMLFormElement>(null);
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  // Whoever goes away leaves nothing behind in the fields.
  useEffect(() => {
    const held = fields.current;
    return () => held.forEach((input) => { input.value = ""; });
  }, []);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const values: Record<string, string> = {};
    for (const field of provider.fields) {
      const input = fields.current.get(field);
      values[field] = input?.value ?? "";
      if (input) input.value = "";
    }
    setRefused(null);
    setFailed([]);
    setStage({ at: "checking", steps: [] });
    const steps: Step[] = [];
    try {
      const body = { provider: provider.id, name, fields: values, validate: !unasked, ...(owner ? { owner } : {}), ...(ends ? { expires_at: fromInput(ends) } : {}) };
      stop.current = new AbortController();
      for await (const { event: kind, data } of events("/api/v1/admin/secrets", { method: "POST", body, signal: stop.current.signal })) {
        if (kind === "step") {
          steps.push(data as Step);
          setStage({ at: "checking", steps: [...steps] });
        } else if (kind === "stored") {
          await queries.invalidateQueries({ queryKey: ["secrets"] });
          setStage({ at: "done", secret: data as Secret, steps });
          return;
        } else if (kind === "failed") {
          const told = data as { status: number };
          throw new Refused(told.status, told as ConstructorParameters<typeof Refused>[1]);
        }
      }
      throw Refused.unreached();
    } catch (fault) {
      const said = asRefused(fault);
      setRefused(said);
      setFailed(said.report?.steps ?? steps);
      setStage({ at: "enter" });
      form.current?.reset();
    }
  };

  if (stage.at === "checking") {
    return (
      <div className="stack narrow">
        <Progress at={2} />
        <Panel title={`Asking ${provider.title}`} about="Nothing is stored until the provider has said yes."><Steps steps={stage.steps} running /></Panel>
      </div>
    );
  }
  if (stage.at === "done") {
    const { secret } = stage;
    return (
      <div className="stack narrow">
        <Progress at={4} />
        <Panel title={`${provider.title} is sealed and in service`} about="The value was sealed and is shown to nobody from now on.">
          <div className="stack">
            {stage.steps.length > 0 && <Steps steps={stage.steps} />}
            <Facts items={[
              { name: "Name", value: secret.name },
              { name: "Version", value: `v${secret.version ?? 1}` },
              { name: "Fingerprint", value: <code className="mono">{secret.fingerprint.slice(0, 16)}</code> },
              secret.permissions ? { name: "May", value: secret.permissions.join(", ") || "nothing that was asked about" } : null,
            ]} />
            <div className="row">
              <ButtonLink to="/keys/new" search={{ provider: provider.id }}>Create a client key</ButtonLink>
              <ButtonLink to="/secrets/$id" params={{ id: secret.id }} variant="default">Open this key</ButtonLink>
            </div>
          </div>
        </Panel>
      </div>
    );
  }
  const general = refused && refused.fields.every((fault) => !fault.field.startsWith("fields") && fault.field !== "name");
  return (
    <div className="stack narrow">
      <Progress at={1} />
      {refused && (
        <Alert color={refused.status === 422 ? "red" : "yellow"} title={refused.status === 422 ? `${provider.title} refused it` : refused.title} icon={<Icon name="warn" />} role="alert">
          {general || refused.report ? refused.message : refused.fields.map((fault) => `${fault.field.replace("fields.", "")} ${fault.fault}`).join("; ")}
        </Alert>
      )}
      {failed.length > 0 && <Panel title="What the check found"><Steps steps={failed} /></Panel>}
      <Panel
        title={provider.title}
        about={<>Goes to <code className="mono">{provider.base_url.replace(/:443(?=\/|$)/, "").replace(/\/$/, "")}</code> and nowhere else.</>}
        actions={<Button variant="subtle" color="gray" size="xs" onClick={onOther}>Another provider</Button>}
      >
        <form ref={form} className="stack" onSubmit={(event) => void submit(event)} autoComplete="off">
          {provider.fields.map((field, at) => (
            <SecretField key={field} field={field} own={provider} all={all} autoFocus={at === 0}
              error={refused?.fields.find((fault) => fault.field === `fields.${field}`)?.fault}
              ref={(input) => { if (input) fields.current.set(field, input); }} />
          ))}
          {provider.docs_url && <p className="small muted">Where to find it: <a href={provider.docs_url} target="_blank" rel="noreferrer">the documentation of {provider.title}</a></p>}
          {taken.length > 0 && (
            <TextInput label="Name" description={`There ${taken.length === 1 ? "is" : "are"} ${taken.join(", ")} already; callers name the one they mean in X-Sealgate-Secret.`} value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name") ?? (taken.includes(name) ? "This name is taken." : undefined)} required />
          )}
          <button type="button" className="more" aria-expanded={more} onClick={() => setMore(!more)}><Icon name="chevron" size={14} /> More</button>
          <Collapse expanded={more}>
            <div className="stack">
              {taken.length === 0 && <TextInput label="Name" description="Unique within the provider" value={name} onChange={(event) => setName(event.currentTarget.value)} error={refused?.of("name")} required />}
              <TextInput label="Owner" description="Who answers for it" value={owner} onChange={(event) => setOwner(event.currentTarget.value)} error={refused?.of("owner")} />
              <TextInput label="Ends" description="You are warned 30, 7 and 1 days before" type="datetime-local" value={ends} onChange={(event) => setEnds(event.currentTarget.value)} error={refused?.of("expires_at")} />
              <Checkbox checked={unasked} onChange={(event) => setUnasked(event.currentTarget.checked)} label="Store it without asking the provider" description="For a provider that cannot be reached now. The key's health stays unknown." />
            </div>
          </Collapse>
          <div className="row-end"><Button type="submit">{unasked ? "Seal" : "Check and seal"}</Button></div>
        </form>
      </Panel>
    </div>
  );
}
