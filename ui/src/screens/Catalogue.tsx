// What may be reached: providers by category, what each needs, and the way to add a key.

import { Button, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { providers, secrets } from "../api/queries";
import { plural, sentence } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon } from "../icons";
import { Empty, Loaded, Page, Status } from "../parts/basic";
import { titleOf } from "../parts/SecretField";
import { providersRoute } from "../router";
import { may, useWho } from "../session";

type Provider = Schemas["Provider"];

export const hostOf = (url: string) => url.replace(/^\w+:\/\//, "").replace(/:443(?=\/|$)/, "").replace(/\/$/, "");

function Card({ provider, keys, pick, mayAdd }: { provider: Provider; keys: Schemas["Secret"][]; pick?: ((provider: Provider) => void) | undefined; mayAdd: boolean }) {
  const bad = keys.filter((key) => key.active && (key.health === "refused" || !key.usable)).length;
  const limits = [
    provider.requests_per_minute > 0 && `${provider.requests_per_minute} a minute`,
    provider.max_concurrent > 0 && `${provider.max_concurrent} at once`,
    provider.websocket_url && "streams",
    provider.price && "priced",
  ].filter(Boolean);
  return (
    <article className="card">
      <div className="card-head">
        <span className="card-mark" aria-hidden="true">{provider.title.slice(0, 2)}</span>
        <div>
          <h3>{pick ? provider.title : <Link to="/providers/$id" params={{ id: provider.id }}>{provider.title}</Link>}</h3>
          <p className="faint small clip">{hostOf(provider.base_url)}</p>
        </div>
      </div>
      <p className="small muted">Needs {provider.fields.map((field) => titleOf(field)).join(" and ")}{limits.length > 0 && <> · {limits.join(" · ")}</>}</p>
      <div className="card-foot">
        {keys.length > 0 ? <Status tone={bad > 0 ? "bad" : "good"}>{plural(keys.length, "key")}</Status> : <span className="faint small">no key</span>}
        <span className="row-tight">
          {provider.docs_url && <a className="small" href={provider.docs_url} target="_blank" rel="noreferrer">Docs<span className="hidden"> of {provider.title}</span></a>}
          {pick ? (
            <Button size="xs" variant="light" onClick={() => pick(provider)} aria-label={`Choose ${provider.title}`}>Choose</Button>
          ) : (
            mayAdd && <ButtonLink size="xs" variant="light" to="/secrets/new" search={{ provider: provider.id }} aria-label={`Add key of ${provider.title}`}>Add key</ButtonLink>
          )}
        </span>
      </div>
    </article>
  );
}

interface CardsProps {
  all: Provider[];
  pick?: (provider: Provider) => void;
  q?: string | undefined;
  category?: string | undefined;
  onSearch?: (q: string | undefined) => void;
  onCategory?: (category: string | undefined) => void;
}

export function ProviderCards({ all, pick, q, category, onSearch, onCategory }: CardsProps) {
  const [own, setOwn] = useState("");
  const [ownCategory, setOwnCategory] = useState<string>();
  const held = useQuery(secrets);
  const who = useWho();
  const text = (onSearch ? q : own) ?? "";
  const chosen = onCategory ? category : ownCategory;
  const search = (value: string) => (onSearch ? onSearch(value || undefined) : setOwn(value));
  const choose = (value: string | undefined) => (onCategory ? onCategory(value) : setOwnCategory(value));
  const categories = [...new Set(all.map((provider) => provider.category))].sort();
  const found = all.filter((provider) => (!chosen || provider.category === chosen) && `${provider.title} ${provider.id} ${provider.category} ${provider.base_url}`.toLowerCase().includes(text.toLowerCase()));
  return (
    <div className="stack">
      <div className="toolbar toolbar-bare">
        <TextInput aria-label="Search" placeholder={`Search ${plural(all.length, "provider")}`} leftSection={<Icon name="search" size={16} />} value={text} onChange={(event) => search(event.currentTarget.value)} className="grow" />
        <div className="chips" role="group" aria-label="Category">
          {[undefined, ...categories].map((one) => (
            <button key={one ?? ""} type="button" className="chip" aria-pressed={chosen === one} onClick={() => choose(one)}>{one ? sentence(one).replace("-", " ").replace(/^Ai$/, "AI") : "All"}</button>
          ))}
        </div>
      </div>
      {found.length === 0 && <Empty icon="search" title="No provider fits">Any other HTTP API can be added by the settings or the API; see the documentation on providers.</Empty>}
      {categories.filter((one) => found.some((provider) => provider.category === one)).map((one) => (
        <section key={one} className="stack-tight">
          <h2 className="group-title">{sentence(one).replace("-", " ").replace(/^Ai$/, "AI")}</h2>
          <div className="cards">
            {found.filter((provider) => provider.category === one).sort((a, b) => a.title.localeCompare(b.title)).map((provider) => (
              <Card key={provider.id} provider={provider} keys={held.data?.filter((key) => key.provider === provider.id) ?? []} pick={pick} mayAdd={may.operate(who.role)} />
            ))}
          </div>
        </section>
      ))}
    </div>
  );
}

export function Catalogue() {
  const asked = useQuery(providers);
  const { q, category } = providersRoute.useSearch();
  const go = useNavigate({ from: providersRoute.fullPath });
  return (
    <Page title="Catalogue" about="The providers that Sealgate knows how to speak to.">
      <Loaded of={asked} what="The catalogue" rows={8}>
        {(all) => (
          <ProviderCards all={all} q={q} category={category}
            onSearch={(text) => void go({ search: (before) => ({ ...before, q: text }), replace: true })}
            onCategory={(one) => void go({ search: (before) => ({ ...before, category: one }), replace: true })} />
        )}
      </Loaded>
    </Page>
  );
}
